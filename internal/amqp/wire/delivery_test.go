package wire_test

import (
	"bytes"
	"testing"

	"github.com/waxwing-mq/waxwing/internal/amqp/wire"
)

// headers are what a traced, once dead-lettered message carries.
func headers() wire.Table {
	text := func(key, v string) wire.Field { return wire.Field{Key: key, Value: wire.TextValue(v)} }
	death := wire.MakeTable(
		wire.Field{Key: "count", Value: wire.IntValue(1)},
		text("reason", "expired"), text("queue", "orders"), text("exchange", ""),
		wire.Field{Key: "routing-keys", Value: wire.ArrayValue(wire.MakeArray(wire.TextValue("orders.paid")))},
	)
	return wire.MakeTable(
		text("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
		text("x-tenant", "acme"),
		wire.Field{Key: "attempt", Value: wire.Int32Value(3)},
		wire.Field{Key: "x-death", Value: wire.ArrayValue(wire.MakeArray(wire.TableValue(death)))},
	)
}

func properties() wire.Properties {
	p := wire.Properties{
		ContentType: "application/json", Headers: headers(), DeliveryMode: wire.Persistent,
		MessageID: "5f0c1b1e-7f4e-4a55-9b0e-3f0b5e0c9c11", Timestamp: 1_700_000_000,
	}
	for _, which := range []wire.Property{wire.PropContentType, wire.PropHeaders, wire.PropDeliveryMode, wire.PropMessageID, wire.PropTimestamp} {
		p.Flags.Set(which)
	}
	return p
}

// delivery is a message of 1 KB.
func delivery() wire.Delivery {
	return wire.Delivery{
		ConsumerTag: "amq.ctag-6hv0mJPnYKmPZHjwyBeXKg", DeliveryTag: 1 << 40, Redelivered: true,
		Exchange: []byte("orders"), RoutingKey: []byte("orders.paid.eu"),
		Properties: properties().Encode(), Body: bytes.Repeat([]byte{0xCE}, 1024),
	}
}

func TestDeliveryIsMethodHeaderAndBody(t *testing.T) {
	full := delivery()
	empty := wire.Delivery{}
	for _, d := range []*wire.Delivery{&full, &empty} {
		for _, frameMax := range []uint32{0, wire.FrameMaxMin, 1024, 100} {
			want := wire.AppendMethod([]byte("before"), 9, &wire.BasicDeliver{
				ConsumerTag: d.ConsumerTag, DeliveryTag: d.DeliveryTag, Redelivered: d.Redelivered,
				Exchange: string(d.Exchange), RoutingKey: string(d.RoutingKey),
			})
			want = wire.AppendContentHeader(want, 9, wire.ContentHeader{BodySize: uint64(len(d.Body)), Properties: d.Properties})
			want = wire.AppendBody(want, 9, frameMax, d.Body)
			if got := wire.AppendDelivery([]byte("before"), 9, frameMax, d); !bytes.Equal(got, want) {
				t.Errorf("frame-max %d:\n%x, not\n%x", frameMax, got, want)
			}
		}
	}
}

// The hot paths: a publish and an acknowledgement come in, a delivery goes out.
func TestHotPathsDoNotAllocate(t *testing.T) {
	d := delivery()
	buf := wire.AppendDelivery(nil, 1, wire.FrameMaxMin, &d)
	publish := payloadOf(t, wire.AppendMethod(nil, 1, &wire.BasicPublish{Exchange: "orders", RoutingKey: "orders.paid.eu"}))
	header := payloadOf(t, wire.AppendContentHeader(nil, 1, wire.ContentHeader{BodySize: 1024, Properties: d.Properties}))
	ack := payloadOf(t, wire.AppendMethod(nil, 1, &wire.BasicAck{DeliveryTag: 5}))
	var p wire.BasicPublish
	var a wire.BasicAck
	for name, f := range map[string]func(){
		"deliver": func() { buf = wire.AppendDelivery(buf[:0], 1, wire.FrameMaxMin, &d) },
		"none":    func() { buf = wire.AppendDelivery(buf[:0], 1, wire.FrameMaxMin, &wire.Delivery{Body: d.Body}) },
		"publish": func() { must(t, wire.DecodeInto(publish, &p)) },
		"header": func() {
			h, err := wire.ParseContentHeader(header)
			must(t, err)
			if mode, _ := h.Properties.DeliveryMode(); mode != wire.Persistent {
				t.Fatal("not persistent")
			}
			if table, _ := h.Properties.Headers(); table.Len() != 4 {
				t.Fatal("headers are missing")
			}
		},
		"ack":     func() { must(t, wire.DecodeInto(ack, &a)) },
		"confirm": func() { buf = wire.AppendMethod(buf[:0], 1, &a) },
	} {
		if n := testing.AllocsPerRun(100, f); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
	// One, but the race detector's slices.Grow takes two.
	if n := testing.AllocsPerRun(100, func() { wire.AppendDelivery(nil, 1, wire.FrameMaxMin, &d) }); n > 2 {
		t.Errorf("into no buffer: %v allocations", n)
	}
}

func must(t testing.TB, err error) {
	if err != nil {
		t.Fatal(err)
	}
}
