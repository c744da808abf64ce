package kafka

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// eachVersion calls fn for each API and version that is served.
func eachVersion(fn func(a *served, version int16, flexible bool)) {
	for _, a := range byKey {
		if a == nil {
			continue
		}
		for v := a.min; v <= a.max; v++ {
			fn(a, v, v >= a.flexibleFrom)
		}
	}
}

func TestTheTableHasOnlyVersionsThatTheDecoderKnows(t *testing.T) {
	for i := range apis {
		a := &apis[i]
		if a.max > a.key.Request().MaxVersion() || a.min > a.max {
			t.Errorf("%s: versions %d to %d, the decoder knows %d", a.key.Name(), a.min, a.max, a.key.Request().MaxVersion())
		}
		if byKey[a.key].api != a {
			t.Errorf("%s is there twice", a.key.Name())
		}
	}
	eachVersion(func(a *served, v int16, flexible bool) {
		req := a.key.Request()
		req.SetVersion(v)
		if req.IsFlexible() != flexible {
			t.Errorf("%s version %d: flexible is %v", a.key.Name(), v, req.IsFlexible())
		}
	})
}

// TestShapes walks requests that kmsg has encoded: whole ones pass and are
// walked to their end; no beginning of one passes.
func TestShapes(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	eachVersion(func(a *served, v int16, flexible bool) {
		for range 50 {
			body := filled(a.key.Int16(), v, rng).AppendTo(nil)
			w := walker{b: body, version: v, flexible: flexible, left: elementsMax}
			w.walkStruct(a.shape)
			if w.err != nil || len(w.b) != 0 {
				t.Fatalf("%s version %d: %v, %d of %d bytes left: %x", a.key.Name(), v, w.err, len(w.b), len(body), body)
			}
			if len(body) == 0 {
				continue
			}
			if _, err := checkShape(a.shape, v, flexible, body[:rng.IntN(len(body))]); err == nil {
				t.Fatalf("%s version %d: passes though it is cut", a.key.Name(), v)
			}
		}
	})
}

// TestBombs has requests that are small on the wire and would be large in
// memory, or keep the decoder busy for seconds.
func TestBombs(t *testing.T) {
	u32 := func(b []byte, v uint32) []byte { return binary.BigEndian.AppendUint32(b, v) }
	short := append(u32(nil, 150_000), make([]byte, 2*149_999)...) // one empty name is missing
	enough := append(u32(nil, 200_001), make([]byte, 2*200_001)...)
	claims := append(u32(nil, 1<<20), make([]byte, 1<<20)...) // one byte for each element: too few
	tags := append([]byte{1, 1}, 0xff, 0xff, 0xff, 0xff, 0x0f)
	state := []byte{
		0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, // up to the topics
		1, 1, 1, // no topics, no forgotten ones, no rack
		1, 1, 17, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x0f, // tag 1 with 2^32 tags of its own
	}
	for _, c := range []struct {
		name    string
		key     kmsg.Key
		version int16
		body    []byte
		want    error
	}{
		{"names that are not all there", kmsg.Metadata, 0, short, errShape},
		{"one name too many", kmsg.Metadata, 0, enough, errElements},
		{"a topic for each byte", kmsg.ListOffsets, 1, append([]byte{0, 0, 0, 0}, claims...), errElements},
		{"2^32 tags", kmsg.ApiVersions, 3, tags, errShape},
		{"2^32 tags in a tag", kmsg.Fetch, 15, state, errShape},
		{"an array of 2^31-1", kmsg.DescribeGroups, 0, u32(nil, 1<<31-1), errShape},
		{"an array of -2", kmsg.DescribeGroups, 0, u32(nil, 1<<32-2), errShape},
		{"a string of -2", kmsg.Heartbeat, 0, []byte{0xff, 0xfe}, errShape},
		{"null where it must not be", kmsg.Heartbeat, 0, []byte{0xff, 0xff}, errShape},
		{"a varint without end", kmsg.DescribeGroups, 5, []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, errShape},
	} {
		a := findAPI(c.key.Int16())
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := checkShape(a.shape, c.version, c.version >= a.flexibleFrom, c.body)
		runtime.ReadMemStats(&after)
		if !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, err, c.want)
		}
		if took := after.TotalAlloc - before.TotalAlloc; took > 64<<10 {
			t.Errorf("%s: took %d bytes of memory", c.name, took)
		}
	}
}

// FuzzShape: what the walk lets through, the decoder decodes without error,
// and within bounds.
func FuzzShape(f *testing.F) {
	rng := rand.New(rand.NewPCG(3, 4))
	eachVersion(func(a *served, v int16, _ bool) {
		f.Add(a.key.Int16(), v, filled(a.key.Int16(), v, rng).AppendTo(nil))
	})
	f.Fuzz(func(t *testing.T, key, version int16, body []byte) {
		a := findAPI(key)
		if a == nil || version < a.min || version > a.max {
			return
		}
		if _, err := checkShape(a.shape, version, version >= a.flexibleFrom, body); err != nil {
			return
		}
		req := kmsg.RequestForKey(key)
		req.SetVersion(version)
		if err := req.ReadFrom(body); err != nil && key != kmsg.Fetch.Int16() {
			// Fetch has a tagged field with a string, which only brokers
			// send and which is not in its shape.
			t.Errorf("%s version %d: passed and then %v", a.key.Name(), version, err)
		}
	})
}
