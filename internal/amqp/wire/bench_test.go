package wire_test

import (
	"testing"

	"github.com/waxwing-mq/waxwing/internal/amqp/wire"
)

// BenchmarkDecodePublish is what a server does with the frames of one message
// of 1 KB: frames, method, content header with headers, delivery mode.
func BenchmarkDecodePublish(b *testing.B) {
	d := delivery()
	in := wire.AppendMethod(nil, 1, &wire.BasicPublish{Exchange: "orders", RoutingKey: "orders.paid.eu", Mandatory: true})
	in = wire.AppendContentHeader(in, 1, wire.ContentHeader{BodySize: uint64(len(d.Body)), Properties: d.Properties})
	in = wire.AppendBody(in, 1, wire.FrameMaxMin, d.Body)
	var m wire.BasicPublish
	b.SetBytes(int64(len(in)))
	b.ReportAllocs()
	for b.Loop() {
		for rest := in; len(rest) > 0; {
			f, n, err := wire.ParseFrame(rest, wire.FrameMaxMin)
			must(b, err)
			switch f.Type {
			case wire.TypeMethod:
				must(b, wire.DecodeInto(f.Payload, &m))
			case wire.TypeHeader:
				h, err := wire.ParseContentHeader(f.Payload)
				must(b, err)
				h.Properties.DeliveryMode()
			}
			rest = rest[n:]
		}
	}
}

// BenchmarkDecodeMethod decodes methods that are not hot, each into a new
// struct.
func BenchmarkDecodeMethod(b *testing.B) {
	for _, m := range []wire.Method{
		&wire.QueueDeclare{Queue: "orders", Durable: true, Arguments: headers()},
		&wire.BasicPublish{Exchange: "orders", RoutingKey: "orders.paid.eu"},
		&wire.BasicAck{DeliveryTag: 5},
	} {
		payload := payloadOf(b, wire.AppendMethod(nil, 1, m))
		b.Run(m.ID().String(), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, err := wire.DecodeMethod(payload)
				must(b, err)
			}
		})
	}
}

func BenchmarkAppendDelivery(b *testing.B) {
	d := delivery()
	buf := wire.AppendDelivery(nil, 1, 131072, &d)
	b.SetBytes(int64(len(buf)))
	b.ReportAllocs()
	for b.Loop() {
		buf = wire.AppendDelivery(buf[:0], 1, 131072, &d)
	}
}

func BenchmarkAppendAck(b *testing.B) {
	var buf []byte
	var m wire.BasicAck
	b.ReportAllocs()
	for b.Loop() {
		m.DeliveryTag++
		buf = wire.AppendMethod(buf[:0], 1, &m)
	}
}

func BenchmarkParseTable(b *testing.B) {
	in := headers().Bytes()
	b.SetBytes(int64(len(in)))
	b.ReportAllocs()
	for b.Loop() {
		_, err := wire.ParseTable(in)
		must(b, err)
	}
}

func BenchmarkTableGet(b *testing.B) {
	table := headers()
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := table.Get("x-death"); !ok {
			b.Fatal("not there")
		}
	}
}

func BenchmarkProperties(b *testing.B) {
	raw := properties().Encode()
	b.Run("Decode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			raw.Decode()
		}
	})
	b.Run("Text", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			raw.Text(wire.PropMessageID)
		}
	})
	b.Run("Encode", func(b *testing.B) {
		p := raw.Decode()
		b.ReportAllocs()
		for b.Loop() {
			p.Encode()
		}
	})
}
