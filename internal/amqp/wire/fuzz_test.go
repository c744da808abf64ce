package wire_test

import (
	"bytes"
	"reflect"
	"runtime"
	"testing"

	"github.com/waxwing-mq/waxwing/internal/amqp/wire"
)

// withinMemory runs f, which decodes in, and fails if that took more memory
// than the input could account for.
func withinMemory(t *testing.T, in []byte, f func()) {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	if took := after.TotalAlloc - before.TotalAlloc; took > uint64(2*len(in))+8192 {
		t.Fatalf("%d bytes were taken for %d bytes of input", took, len(in))
	}
}

// typed fails if err is not one of the codes.
func typed(t *testing.T, err error, codes ...wire.ReplyCode) {
	t.Helper()
	for _, c := range codes {
		if wire.CodeOf(err) == c {
			return
		}
	}
	t.Fatalf("untyped error %v", err)
}

// FuzzFrame: a stream of frames is taken apart without a panic, an error is
// typed, and each frame put together again is what it was.
func FuzzFrame(f *testing.F) {
	d := delivery()
	f.Add(wire.AppendHeartbeat(wire.AppendDelivery(nil, 1, 512, &d)))
	f.Fuzz(func(t *testing.T, in []byte) {
		for rest := in; ; {
			var frame wire.Frame
			var n int
			var err error
			withinMemory(t, rest, func() { frame, n, err = wire.ParseFrame(rest, wire.FrameMaxMin) })
			if err != nil {
				typed(t, err, wire.FrameError, wire.UnexpectedFrame)
				return
			}
			if n == 0 {
				if len(rest) >= wire.FrameMaxMin+wire.FrameOverhead {
					t.Fatalf("%d bytes are no frame yet", len(rest))
				}
				return
			}
			again := wire.AppendFrameHeader(nil, frame.Type, frame.Channel, uint32(len(frame.Payload)))
			again = append(append(again, frame.Payload...), wire.FrameEnd)
			if !bytes.Equal(again, rest[:n]) {
				t.Fatalf("%x became %x", rest[:n], again)
			}
			if frame.Type == wire.TypeHeader {
				checkContentHeader(t, frame)
			}
			rest = rest[n:]
		}
	})
}

func checkContentHeader(t *testing.T, frame wire.Frame) {
	h, err := wire.ParseContentHeader(frame.Payload)
	if err != nil {
		typed(t, err, wire.FrameError, wire.UnexpectedFrame, wire.SyntaxError)
		return
	}
	again := wire.AppendContentHeader(nil, frame.Channel, h)
	if !bytes.Equal(again[wire.FrameHeaderLen:len(again)-1], frame.Payload) {
		t.Fatalf("%x became %x", frame.Payload, again)
	}
}

// FuzzMethod: what decodes is encoded to something that decodes to the same
// and is encoded to the same: only reserved fields and unused bits are lost.
func FuzzMethod(f *testing.F) {
	f.Add(payloadOf(f, wire.AppendMethod(nil, 1, &wire.QueueDeclare{Queue: "q", Durable: true, Arguments: headers()})))
	f.Fuzz(func(t *testing.T, in []byte) {
		var m wire.Method
		var err error
		withinMemory(t, in, func() { m, err = wire.DecodeMethod(in) })
		if err != nil {
			typed(t, err, wire.FrameError, wire.SyntaxError, wire.NotImplemented)
			return
		}
		frame := wire.AppendMethod(nil, 1, m)
		if len(frame) > len(in)+wire.FrameOverhead {
			t.Fatalf("%d bytes became %d", len(in), len(frame))
		}
		again, err := wire.DecodeMethod(payloadOf(t, frame))
		if err != nil || !reflect.DeepEqual(again, m) {
			t.Fatalf("%+v became %+v (%v)", m, again, err)
		}
		if second := wire.AppendMethod(nil, 1, again); !bytes.Equal(second, frame) {
			t.Fatalf("%x became %x", frame, second)
		}
	})
}

// FuzzTable: a table that parses, made anew from its fields, is the same bytes.
func FuzzTable(f *testing.F) {
	f.Add(headers().Bytes())
	f.Add(nested(wire.TableDepthMax + 1))
	f.Fuzz(func(t *testing.T, in []byte) {
		var table wire.Table
		var err error
		withinMemory(t, in, func() { table, err = wire.ParseTable(in) })
		if err != nil {
			typed(t, err, wire.SyntaxError)
			return
		}
		if again := rebuilt(table); !bytes.Equal(again.Bytes(), in) || !bytes.Equal(table.Bytes(), in) {
			t.Fatalf("%x became %x", in, again.Bytes())
		}
		seen := map[string]bool{}
		for key, v := range table.All() {
			if k := string(key); !seen[k] {
				seen[k] = true
				if got, ok := table.Get(k); !ok || !reflect.DeepEqual(got, v) {
					t.Fatalf("%q is %v, not %v", k, got, v)
				}
				if again := table.With(k, v); !bytes.Equal(again.Bytes(), in) {
					t.Fatalf("%x became %x", in, again.Bytes())
				}
			}
			if len(seen) == 10 {
				break
			}
		}
		_ = table.String()
	})
}

// FuzzProperties: properties that parse are encoded to the same bytes after
// they were decoded, and reading one gives what decoding all gives.
func FuzzProperties(f *testing.F) {
	f.Add(properties().Encode().Bytes())
	f.Fuzz(func(t *testing.T, in []byte) {
		var raw wire.RawProperties
		var p wire.Properties
		var err error
		withinMemory(t, in, func() {
			if raw, err = wire.ParseProperties(in); err == nil {
				p = raw.Decode()
			}
		})
		if err != nil {
			typed(t, err, wire.SyntaxError)
			return
		}
		if again := p.Encode(); !bytes.Equal(again.Bytes(), in) || !bytes.Equal(raw.Bytes(), in) {
			t.Fatalf("%x became %x", in, again.Bytes())
		}
		checkReadings(t, raw, p)
	})
}

func checkReadings(t *testing.T, raw wire.RawProperties, p wire.Properties) {
	texts := map[wire.Property]string{
		wire.PropContentType: p.ContentType, wire.PropContentEncoding: p.ContentEncoding,
		wire.PropCorrelationID: p.CorrelationID, wire.PropReplyTo: p.ReplyTo, wire.PropExpiration: p.Expiration,
		wire.PropMessageID: p.MessageID, wire.PropType: p.Type, wire.PropUserID: p.UserID, wire.PropAppID: p.AppID,
		wire.PropClusterID: p.ClusterID,
	}
	for which := wire.PropContentType; which <= wire.PropClusterID; which++ {
		got, ok := raw.Text(which)
		if want, isText := texts[which]; string(got) != want || ok != (isText && p.Flags.Has(which)) {
			t.Fatalf("%v is %q, %v, not %q", which, got, ok, want)
		}
	}
	mode, ok1 := raw.DeliveryMode()
	priority, ok2 := raw.Priority()
	timestamp, ok3 := raw.Timestamp()
	table, ok4 := raw.Headers()
	if mode != p.DeliveryMode || priority != p.Priority || timestamp != p.Timestamp || !reflect.DeepEqual(table, p.Headers) {
		t.Fatalf("%d, %d, %d, %v, not %+v", mode, priority, timestamp, table, p)
	}
	there := [...]bool{p.Flags.Has(wire.PropDeliveryMode), p.Flags.Has(wire.PropPriority), p.Flags.Has(wire.PropTimestamp), p.Flags.Has(wire.PropHeaders)}
	if there != [...]bool{ok1, ok2, ok3, ok4} {
		t.Fatalf("%v, %v, %v, %v there, not %v", ok1, ok2, ok3, ok4, there)
	}
}
