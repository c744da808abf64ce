package record_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"github.com/waxwing-mq/waxwing/internal/record"
)

func TestReadHeader(t *testing.T) {
	b := record.Append(nil, record.BatchSpec{
		BaseOffset: 1 << 40, LeaderEpoch: 7, Codec: record.LZ4, Transactional: true, Control: true,
		Producer: &record.Producer{ID: 1 << 50, Epoch: 300, Sequence: math.MaxInt32},
		Records:  mixedRecords(),
	})
	h, err := record.ReadHeader(b[:record.HeaderLen]) // the records need not be there
	if err != nil {
		t.Fatal(err)
	}
	want := record.Header{
		BaseOffset: 1 << 40, Length: int32(len(b) - 12), LeaderEpoch: 7, Magic: 2, CRC: h.CRC, Attributes: 0x33,
		LastOffsetDelta: 5, BaseTimestamp: goldenTime, MaxTimestamp: goldenTime + 100_000,
		ProducerID: 1 << 50, ProducerEpoch: 300, BaseSequence: math.MaxInt32, NumRecords: 6,
	}
	if h != want {
		t.Errorf("got %+v, want %+v", h, want)
	}
	if h.Size() != len(b) || h.LastOffset() != 1<<40+5 || h.Codec() != record.LZ4 || h.LastSequence() != 4 ||
		h.LogAppendTime() || !h.Transactional() || !h.Control() || !h.Idempotent() {
		t.Error("helpers")
	}
	if !record.VerifyCRC(b) || record.VerifyCRC(b[:len(b)-1]) || record.VerifyCRC(b[:5]) {
		t.Error("VerifyCRC")
	}
}

func TestPeekSize(t *testing.T) {
	for _, c := range []struct {
		length int32
		cut    int
		size   int
		ok     bool
	}{
		{49, 0, 61, true},
		{49, 49, 61, true}, // the length field suffices
		{49, 50, 0, false},
		{48, 0, 0, false},
		{0, 0, 0, false},
		{-1, 0, 0, false},
		{math.MinInt32, 0, 0, false},
		{math.MaxInt32 - 12, 0, math.MaxInt32, true},
		{math.MaxInt32, 0, 0, false}, // the size would not fit an int32
	} {
		b := make([]byte, 61)
		binary.BigEndian.PutUint32(b[8:], uint32(c.length))
		if size, ok := record.PeekSize(b[:61-c.cut]); size != c.size || ok != c.ok {
			t.Errorf("%+v: got %d, %v", c, size, ok)
		}
	}
	if _, ok := record.PeekSize(nil); ok {
		t.Error("size of nothing")
	}
}

func TestBatches(t *testing.T) {
	var all []byte
	var want [][]byte
	for _, c := range codecs {
		b := record.Append(nil, record.BatchSpec{Codec: c, Records: mixedRecords()})
		all, want = append(all, b...), append(want, b)
	}
	for cut := range len(all) + 1 {
		n, used := 0, 0
		for b := range record.Batches(all[:cut]) {
			if !bytes.Equal(b, want[n]) {
				t.Fatalf("cut at %d: batch %d differs", cut, n)
			}
			n, used = n+1, used+len(b)
		}
		if next := n < len(want) && used+len(want[n]) <= cut; next {
			t.Fatalf("cut at %d: batch %d is missing", cut, n)
		}
	}
	for b := range record.Batches(all) {
		if cap(b) != len(b) {
			t.Error("appending to a batch would overwrite the next")
		}
		break // must not panic
	}
	copy(all[len(want[0])+8:], be32(3))
	n := 0
	for range record.Batches(all) {
		n++
	}
	if n != 1 {
		t.Errorf("%d batches before a bad length", n)
	}
}

func TestPatch(t *testing.T) {
	b := good()
	record.Patch(b, math.MaxInt64-2, math.MaxInt32)
	h, err := record.ReadHeader(b)
	if err != nil || h.BaseOffset != math.MaxInt64-2 || h.LastOffset() != math.MaxInt64 || h.LeaderEpoch != math.MaxInt32 {
		t.Errorf("%+v %v", h, err)
	}
	if !record.VerifyCRC(b) {
		t.Error("the checksum covers what Patch writes")
	}
	record.Patch(b, 0, 0)
	if !bytes.Equal(b, good()) {
		t.Error("Patch writes elsewhere")
	}
}

func TestIterateStops(t *testing.T) {
	for _, c := range codecs {
		n := 0
		err := record.Iterate(record.Append(nil, record.BatchSpec{Codec: c, Records: longRecords()}), func(record.Record) bool {
			n++
			return n < 3
		})
		if n != 3 || err != nil {
			t.Errorf("%v: %d records, %v", c, n, err)
		}
	}
}

// TestIterateNested: an iteration may run within another.
func TestIterateNested(t *testing.T) {
	for _, c := range codecs {
		b := record.Append(nil, record.BatchSpec{Codec: c, Records: mixedRecords()})
		want := recordsOf(t, b)
		i := 0
		err := record.Iterate(b, func(r record.Record) bool {
			if got := recordsOf(t, b); !reflect.DeepEqual(got, want) {
				t.Errorf("%v: inner %v", c, got)
			}
			if !bytes.Equal(r.Value, want[i].Value) || len(r.Headers) != len(want[i].Headers) {
				t.Errorf("%v: outer record %d changed", c, i)
			}
			i++
			return true
		})
		if err != nil || i != len(want) {
			t.Errorf("%v: %d records, %v", c, i, err)
		}
	}
}

// TestIterateFaults: batches that are not what was validated give an error,
// behind the records before it.
func TestIterateFaults(t *testing.T) {
	for _, c := range recordFaults {
		if c.kind == record.InvalidTimestamp || c.name == "offset delta gap" {
			continue // no reader cares
		}
		for _, codec := range codecs {
			t.Run(fmt.Sprintf("%s/%v", c.name, codec), func(t *testing.T) {
				n := 0
				err := record.Iterate(withRecords(t, codec, c.count, c.plain), func(record.Record) bool { n++; return true })
				if err == nil {
					t.Fatal("no error")
				}
				if c.record >= 0 && n != c.record {
					t.Errorf("%d records before the fault, want %d", n, c.record)
				}
			})
		}
	}
	for n := range good() {
		if err := record.Iterate(good()[:n], func(record.Record) bool { return true }); err == nil {
			t.Errorf("first %d bytes pass", n)
		}
	}
	for name, b := range map[string][]byte{"trailing byte": append(good(), 0), "codec 5": patched(22, 5), "magic 1": patched(16, 1)} {
		if err := record.Iterate(b, func(record.Record) bool { return true }); record.KindOf(err) == 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestKeepOffsets: what compaction leaves, down to nothing.
func TestKeepOffsets(t *testing.T) {
	for _, c := range codecs {
		spec := record.BatchSpec{
			BaseOffset: 100, LastOffset: 120, KeepOffsets: true, Codec: c,
			Producer: &record.Producer{ID: 1, Epoch: 0, Sequence: 50},
			Records: []record.Record{
				{Offset: 103, Timestamp: 7, Key: []byte("a"), Value: []byte("1")},
				{Offset: 119, Timestamp: 5, Key: []byte("b")},
			},
		}
		b := record.Append(nil, spec)
		h, err := record.ReadHeader(b)
		if err != nil || h.LastOffset() != 120 || h.NumRecords != 2 || h.LastSequence() != 70 || h.MaxTimestamp != 7 {
			t.Errorf("%v: %+v %v", c, h, err)
		}
		if got := recordsOf(t, b); !reflect.DeepEqual(got, spec.Records) {
			t.Errorf("%v: %v", c, got)
		}
		_, err = record.Validate(b, record.ValidateOptions{ZstdAllowed: true})
		wantKind(t, err, record.InvalidRecord, "last offset delta 20")

		spec.Records = nil
		b = record.Append(nil, spec)
		h, err = record.ReadHeader(b)
		if err != nil || len(b) != record.HeaderLen || h.LastOffset() != 120 || h.NumRecords != 0 || h.Codec() != record.None || !record.VerifyCRC(b) {
			t.Errorf("%v, empty: %+v %v", c, h, err)
		}
		if got := recordsOf(t, b); len(got) != 0 {
			t.Errorf("%v, empty: %v", c, got)
		}
	}
}

func TestAppendPanics(t *testing.T) {
	one := []record.Record{{}}
	for name, spec := range map[string]record.BatchSpec{
		"no records":           {},
		"unknown codec":        {Records: one, Codec: 5},
		"last before base":     {KeepOffsets: true, BaseOffset: 5, LastOffset: 4},
		"too many offsets":     {KeepOffsets: true, BaseOffset: 0, LastOffset: math.MaxInt32},
		"offset before base":   {KeepOffsets: true, BaseOffset: 5, LastOffset: 9, Records: []record.Record{{Offset: 4}}},
		"offset behind last":   {KeepOffsets: true, BaseOffset: 5, LastOffset: 9, Records: []record.Record{{Offset: 10}}},
		"offsets not in order": {KeepOffsets: true, BaseOffset: 5, LastOffset: 9, Records: []record.Record{{Offset: 7}, {Offset: 7}}},
		"timestamps too far":   {Records: []record.Record{{Timestamp: math.MinInt64}, {Timestamp: 1}}},
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			record.Append(nil, spec)
		})
	}
}

// nullable draws a byte slice that may be null.
func nullable(t *rapid.T, label string) []byte {
	if rapid.Bool().Draw(t, label+" is null") {
		return nil
	}
	return rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, label)
}

func drawRecords(t *rapid.T) []record.Record {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) record.Record {
		r := record.Record{
			Timestamp: rapid.Int64Range(-1, math.MaxInt64/2).Draw(t, "timestamp"),
			Key:       nullable(t, "key"),
			Value:     nullable(t, "value"),
		}
		for range rapid.IntRange(0, 3).Draw(t, "headers") {
			r.Headers = append(r.Headers, record.RecordHeader{
				Key:   rapid.SliceOfN(rapid.Byte(), 0, 100).Draw(t, "header key"),
				Value: nullable(t, "header value"),
			})
		}
		return r
	}), 1, 40).Draw(t, "records")
}

// TestRoundTrip: any records come back as they were, and the batch validates
// without being changed.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		spec := record.BatchSpec{
			BaseOffset:  rapid.Int64Range(0, 1<<60).Draw(t, "base offset"),
			LeaderEpoch: rapid.Int32().Draw(t, "leader epoch"),
			Codec:       rapid.SampledFrom(codecs).Draw(t, "codec"),
			Records:     drawRecords(t),
		}
		if rapid.Bool().Draw(t, "idempotent") {
			spec.Producer = &record.Producer{
				ID:       rapid.Int64Min(0).Draw(t, "producer id"),
				Epoch:    rapid.Int16Min(0).Draw(t, "epoch"),
				Sequence: rapid.Int32Min(0).Draw(t, "sequence"),
			}
			spec.Transactional = rapid.Bool().Draw(t, "transactional")
		}
		b := record.Append(nil, spec)
		before := bytes.Clone(b)
		info, err := record.Validate(b, record.ValidateOptions{ZstdAllowed: true, MaxBytes: len(b)})
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(b, before) {
			t.Fatal("Validate changed the batch")
		}
		if int(info.NumRecords) != len(spec.Records) || info.LastOffset() != spec.BaseOffset+int64(len(spec.Records))-1 ||
			info.Transactional() != spec.Transactional || info.Idempotent() != (spec.Producer != nil) {
			t.Fatalf("%+v", info)
		}
		numbered(spec.Records, spec.BaseOffset)
		i := 0
		err = record.Iterate(b, func(r record.Record) bool {
			if len(r.Headers) == 0 {
				r.Headers = nil
			}
			if !reflect.DeepEqual(r, spec.Records[i]) {
				t.Fatalf("record %d: got %v, want %v", i, r, spec.Records[i])
			}
			i++
			return true
		})
		if err != nil || i != len(spec.Records) {
			t.Fatalf("%d records, %v", i, err)
		}
	})
}
