package wire_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"reflect"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/waxwing-mq/waxwing/internal/amqp/wire"
)

// peer is the server's side of a conversation with RabbitMQ's Go client: it
// writes down every method that comes, and answers each as a server would that
// says yes to everything.
type peer struct {
	conn    io.ReadWriteCloser
	buf     []byte
	methods []wire.Method
	content *content // of the publish that is coming in
	arrived []content
}

// content is a message that was published.
type content struct {
	method     *wire.BasicPublish
	size       uint64
	properties wire.RawProperties
	body       []byte
}

const peerFrameMax = wire.FrameMaxMin

// serve converses until the client has closed the connection.
func (p *peer) serve() error {
	var header [wire.ProtocolHeaderLen]byte
	if _, err := io.ReadFull(p.conn, header[:]); err != nil {
		return err
	}
	if got := wire.ParseProtocol(header); got != wire.ProtocolAMQP091 {
		return fmt.Errorf("the client speaks %v", got)
	}
	if err := p.send(0, &wire.ConnectionStart{
		VersionMinor: 9, Mechanisms: []byte("PLAIN"), Locales: []byte("en_US"),
		ServerProperties: wire.MakeTable(wire.Field{Key: "product", Value: wire.TextValue("Waxwing")}),
	}); err != nil {
		return err
	}
	for {
		f, err := p.next()
		if err == io.EOF {
			return nil
		}
		if err == nil {
			err = p.take(f)
		}
		if err != nil {
			return err
		}
	}
}

func (p *peer) next() (wire.Frame, error) {
	for {
		f, n, err := wire.ParseFrame(p.buf, peerFrameMax)
		if err != nil || n > 0 {
			p.buf = p.buf[n:]
			return f, err
		}
		more := make([]byte, 4096)
		n, err = p.conn.Read(more)
		if err != nil {
			return f, err
		}
		p.buf = append(p.buf[:len(p.buf):len(p.buf)], more[:n]...)
	}
}

func (p *peer) send(channel uint16, m wire.Method) error {
	_, err := p.conn.Write(wire.AppendMethod(nil, channel, m))
	return err
}

func (p *peer) take(f wire.Frame) error {
	switch f.Type {
	case wire.TypeMethod:
		m, err := wire.DecodeMethod(f.Payload)
		if err != nil {
			return err
		}
		if again := wire.AppendMethod(nil, f.Channel, m); !bytes.Equal(again[wire.FrameHeaderLen:len(again)-1], f.Payload) {
			return fmt.Errorf("%v: %x became %x", m.ID(), f.Payload, again)
		}
		p.methods = append(p.methods, m)
		if publish, ok := m.(*wire.BasicPublish); ok {
			p.content = &content{method: publish}
			return nil
		}
		return p.answer(f.Channel, m)
	case wire.TypeHeader:
		h, err := wire.ParseContentHeader(f.Payload)
		if err != nil {
			return err
		}
		if again := h.Properties.Decode().Encode(); !bytes.Equal(again.Bytes(), h.Properties.Bytes()) {
			return fmt.Errorf("properties %x became %x", h.Properties.Bytes(), again.Bytes())
		}
		p.content.size, p.content.properties = h.BodySize, h.Properties
	case wire.TypeBody:
		p.content.body = append(p.content.body, f.Payload...)
	}
	if p.content != nil && uint64(len(p.content.body)) == p.content.size {
		return p.published(f.Channel)
	}
	return nil
}

// published confirms the message, gives it back, and delivers it.
func (p *peer) published(channel uint16) error {
	c := *p.content
	p.content = nil
	p.arrived = append(p.arrived, c)
	out := wire.AppendMethod(nil, channel, &wire.BasicReturn{
		ReplyCode: wire.NoRoute, ReplyText: wire.NoRoute.String(), Exchange: c.method.Exchange, RoutingKey: c.method.RoutingKey,
	})
	out = wire.AppendContentHeader(out, channel, wire.ContentHeader{BodySize: c.size, Properties: c.properties})
	out = wire.AppendBody(out, channel, peerFrameMax, c.body)
	out = wire.AppendMethod(out, channel, &wire.BasicAck{DeliveryTag: uint64(len(p.arrived))})
	out = wire.AppendDelivery(out, channel, peerFrameMax, &wire.Delivery{
		ConsumerTag: "tag", DeliveryTag: uint64(len(p.arrived)), Redelivered: true,
		Exchange: []byte(c.method.Exchange), RoutingKey: []byte(c.method.RoutingKey),
		Properties: c.properties, Body: c.body,
	})
	_, err := p.conn.Write(out)
	return err
}

func (p *peer) answer(channel uint16, m wire.Method) error {
	var reply wire.Method
	switch m := m.(type) {
	case *wire.ConnectionStartOk:
		reply = &wire.ConnectionTune{ChannelMax: 9, FrameMax: peerFrameMax}
	case *wire.ConnectionTuneOk, *wire.BasicAck, *wire.BasicNack, *wire.BasicReject:
		return nil
	case *wire.ConnectionUpdateSecret:
		if err := p.send(0, &wire.ConnectionBlocked{Reason: "disk"}); err != nil {
			return err
		}
		if err := p.send(0, &wire.ConnectionUnblocked{}); err != nil {
			return err
		}
		reply = &wire.ConnectionUpdateSecretOk{}
	case *wire.QueueDeclare:
		reply = &wire.QueueDeclareOk{Queue: m.Queue, MessageCount: 11, ConsumerCount: 12}
	case *wire.QueuePurge:
		reply = &wire.QueuePurgeOk{MessageCount: 13}
	case *wire.QueueDelete:
		reply = &wire.QueueDeleteOk{MessageCount: 14}
	case *wire.BasicConsume:
		reply = &wire.BasicConsumeOk{ConsumerTag: m.ConsumerTag}
	case *wire.BasicCancel:
		reply = &wire.BasicCancelOk{ConsumerTag: m.ConsumerTag}
	case *wire.ChannelFlow:
		reply = &wire.ChannelFlowOk{Active: m.Active}
	case *wire.BasicGet:
		if m.Queue == "empty" {
			reply = &wire.BasicGetEmpty{}
			break
		}
		c := p.arrived[0]
		out := wire.AppendMethod(nil, channel, &wire.BasicGetOk{
			DeliveryTag: 1 << 60, Redelivered: true, Exchange: c.method.Exchange, RoutingKey: c.method.RoutingKey, MessageCount: 15,
		})
		out = wire.AppendContentHeader(out, channel, wire.ContentHeader{BodySize: c.size, Properties: c.properties})
		_, err := p.conn.Write(wire.AppendBody(out, channel, peerFrameMax, c.body))
		return err
	default:
		// The answer to the others has the number after theirs, but one.
		id := m.ID() + 1
		if m.ID() == wire.IDExchangeUnbind {
			id = wire.IDExchangeUnbindOk
		}
		if reply = wire.NewMethod(id); reply == nil {
			return fmt.Errorf("no answer to %v", m.ID())
		}
	}
	return p.send(channel, reply)
}

// publishing has everything that the client can say about a message, and each
// type of header that it knows.
func publishing() amqp.Publishing {
	when := time.Unix(1_700_000_000, 0).UTC()
	return amqp.Publishing{
		Headers: amqp.Table{
			"bool": true, "byte": byte(200), "int8": int8(-5), "int16": int16(-300), "uint16": uint16(60000),
			"int32": int32(-70000), "uint32": uint32(3_000_000_000), "int64": int64(-5_000_000_000),
			"float32": float32(1.5), "float64": -2.5, "decimal": amqp.Decimal{Scale: 2, Value: 314},
			"string": "text", "bytes": []byte{0, 0xff}, "time": when, "nil": nil,
			"table": amqp.Table{"inner": amqp.Table{"deep": int32(1)}},
			"array": []any{"a", int32(1), []any{true, nil}, amqp.Table{"k": "v"}},
		},
		ContentType: "application/json", ContentEncoding: "gzip", DeliveryMode: amqp.Persistent, Priority: 9,
		CorrelationId: "correlation", ReplyTo: "reply", Expiration: "60000", MessageId: "message",
		Timestamp: when, Type: "type", UserId: "guest", AppId: "app",
		Body: bytes.Repeat([]byte("\xCEbody"), 3000),
	}
}

// TestGoClient has RabbitMQ's Go client say all that it can. What arrives is
// what was said, and what is sent back is understood: the client's encoder and
// decoder are somebody else's.
func TestGoClient(t *testing.T) {
	ours, theirs := net.Pipe()
	p := &peer{conn: ours}
	served := make(chan error, 1)
	go func() { served <- p.serve() }()

	conn, err := amqp.Open(theirs, amqp.Config{
		SASL: []amqp.Authentication{&amqp.PlainAuth{Username: "guest", Password: "secret"}}, Vhost: "/",
		Locale: "en_US",
	})
	must(t, err)
	blocked := conn.NotifyBlocked(make(chan amqp.Blocking, 2))
	must(t, conn.UpdateSecret("new", "expired"))
	if b := []amqp.Blocking{<-blocked, <-blocked}; b[0] != (amqp.Blocking{Active: true, Reason: "disk"}) || b[1].Active {
		t.Errorf("blocked: %+v", b)
	}
	ch, err := conn.Channel()
	must(t, err)
	declare(t, ch)
	exchangeMessages(t, ch)
	must(t, ch.Close())
	must(t, conn.Close())
	must(t, <-served)

	checkCapabilities(t, p.methods[0].(*wire.ConnectionStartOk))
	if want := said(); !reflect.DeepEqual(p.methods, want) {
		for i := range max(len(want), len(p.methods)) {
			if i >= len(want) || i >= len(p.methods) || !reflect.DeepEqual(want[i], p.methods[i]) {
				t.Fatalf("method %d of %d and %d: %+v", i, len(p.methods), len(want), p.methods[min(i, len(p.methods)-1)])
			}
		}
	}
	checkArrived(t, p.arrived)
}

// checkCapabilities looks at what the client says of itself, in an order that
// differs from run to run, and takes it away.
func checkCapabilities(t *testing.T, m *wire.ConnectionStartOk) {
	v, _ := m.ClientProperties.Get("capabilities")
	capabilities, _ := v.Table()
	if b, ok := capabilities.Get("basic.nack"); !ok || b.String() != "true" {
		t.Errorf("the client's properties are %v", m.ClientProperties)
	}
	m.ClientProperties = wire.Table{}
}

// declare says everything that is about exchanges and queues.
func declare(t *testing.T, ch *amqp.Channel) {
	args := amqp.Table{"n": int32(1)}
	must(t, ch.ExchangeDeclare("e", "topic", true, false, true, false, args))
	must(t, ch.ExchangeDeclarePassive("e", "topic", false, true, false, false, nil))
	must(t, ch.ExchangeBind("dst", "key", "src", false, args))
	must(t, ch.ExchangeUnbind("dst", "key", "src", false, args))
	must(t, ch.ExchangeDelete("e", true, false))
	q, err := ch.QueueDeclare("q", true, false, true, false, args)
	must(t, err)
	if q != (amqp.Queue{Name: "q", Messages: 11, Consumers: 12}) {
		t.Errorf("declared %+v", q)
	}
	_, err = ch.QueueDeclarePassive("q", false, true, false, false, nil)
	must(t, err)
	must(t, ch.QueueBind("q", "key", "e", false, args))
	must(t, ch.QueueUnbind("q", "key", "e", args))
	purged, err := ch.QueuePurge("q", false)
	must(t, err)
	deleted, err := ch.QueueDelete("q", true, false, false)
	must(t, err)
	if purged != 13 || deleted != 14 {
		t.Errorf("purged %d, deleted %d", purged, deleted)
	}
	must(t, ch.Qos(7, 8, true))
	must(t, ch.Tx())
	must(t, ch.TxCommit())
	must(t, ch.TxRollback())
	must(t, ch.Flow(true))
	//lint:ignore SA1019 deprecated, and still part of the protocol
	must(t, ch.Recover(true))
	must(t, ch.Confirm(false))
}

// exchangeMessages publishes, and checks what comes back in three ways.
func exchangeMessages(t *testing.T, ch *amqp.Channel) {
	deliveries, err := ch.Consume("q", "tag", false, true, true, false, amqp.Table{"n": int32(1)})
	must(t, err)
	returns := ch.NotifyReturn(make(chan amqp.Return, 1))
	confirms := ch.NotifyPublish(make(chan amqp.Confirmation, 1))
	m := publishing()
	must(t, ch.Publish("e", "key", true, true, m))
	r := <-returns
	if r.ReplyCode != 312 || r.ReplyText != "NO_ROUTE" || r.Exchange != "e" || r.RoutingKey != "key" || !bytes.Equal(r.Body, m.Body) {
		t.Errorf("returned %+v", r)
	}
	if c := <-confirms; c != (amqp.Confirmation{DeliveryTag: 1, Ack: true}) {
		t.Errorf("confirmed %+v", c)
	}
	d := <-deliveries
	if d.ConsumerTag != "tag" || d.DeliveryTag != 1 || !d.Redelivered || d.Exchange != "e" || d.RoutingKey != "key" {
		t.Errorf("delivered %+v", d)
	}
	checkSame(t, d, m)
	got, ok, err := ch.Get("q", true)
	must(t, err)
	if !ok || got.DeliveryTag != 1<<60 || got.MessageCount != 15 || !got.Redelivered {
		t.Errorf("got %+v", got)
	}
	checkSame(t, got, m)
	if _, ok, err := ch.Get("empty", false); ok || err != nil {
		t.Errorf("got a message from an empty queue (%v)", err)
	}
	must(t, ch.Ack(3, true))
	must(t, ch.Nack(4, false, true))
	must(t, ch.Reject(5, true))
	must(t, ch.Cancel("tag", false))
}

// checkSame compares a message that came back with the one that was sent.
func checkSame(t *testing.T, d amqp.Delivery, m amqp.Publishing) {
	t.Helper()
	back := amqp.Publishing{
		Headers: d.Headers, ContentType: d.ContentType, ContentEncoding: d.ContentEncoding, DeliveryMode: d.DeliveryMode,
		Priority: d.Priority, CorrelationId: d.CorrelationId, ReplyTo: d.ReplyTo, Expiration: d.Expiration,
		MessageId: d.MessageId, Timestamp: d.Timestamp.UTC(), Type: d.Type, UserId: d.UserId, AppId: d.AppId, Body: d.Body,
	}
	if when, ok := back.Headers["time"].(time.Time); ok {
		back.Headers["time"] = when.UTC()
	}
	if !reflect.DeepEqual(back, m) {
		t.Errorf("came back as\n%+v, not\n%+v", back, m)
	}
}

// said is what the conversation of TestGoClient is in our structs.
func said() []wire.Method {
	args := wire.MakeTable(wire.Field{Key: "n", Value: wire.Int32Value(1)})
	return []wire.Method{
		&wire.ConnectionStartOk{Mechanism: "PLAIN", Response: []byte("\x00guest\x00secret"), Locale: "en_US"},
		&wire.ConnectionTuneOk{ChannelMax: 9, FrameMax: peerFrameMax},
		&wire.ConnectionOpen{VirtualHost: "/"},
		&wire.ConnectionUpdateSecret{NewSecret: []byte("new"), Reason: "expired"},
		&wire.ChannelOpen{},
		&wire.ExchangeDeclare{Exchange: "e", Type: "topic", Durable: true, Internal: true, Arguments: args},
		&wire.ExchangeDeclare{Exchange: "e", Type: "topic", Passive: true, AutoDelete: true},
		&wire.ExchangeBind{Destination: "dst", Source: "src", RoutingKey: "key", Arguments: args},
		&wire.ExchangeUnbind{Destination: "dst", Source: "src", RoutingKey: "key", Arguments: args},
		&wire.ExchangeDelete{Exchange: "e", IfUnused: true},
		&wire.QueueDeclare{Queue: "q", Durable: true, Exclusive: true, Arguments: args},
		&wire.QueueDeclare{Queue: "q", Passive: true, AutoDelete: true},
		&wire.QueueBind{Queue: "q", Exchange: "e", RoutingKey: "key", Arguments: args},
		&wire.QueueUnbind{Queue: "q", Exchange: "e", RoutingKey: "key", Arguments: args},
		&wire.QueuePurge{Queue: "q"},
		&wire.QueueDelete{Queue: "q", IfUnused: true},
		&wire.BasicQos{PrefetchSize: 8, PrefetchCount: 7, Global: true},
		&wire.TxSelect{}, &wire.TxCommit{}, &wire.TxRollback{},
		&wire.ChannelFlow{Active: true},
		&wire.BasicRecover{Requeue: true},
		&wire.ConfirmSelect{},
		&wire.BasicConsume{Queue: "q", ConsumerTag: "tag", NoLocal: true, Exclusive: true, Arguments: args},
		&wire.BasicPublish{Exchange: "e", RoutingKey: "key", Mandatory: true, Immediate: true},
		&wire.BasicGet{Queue: "q", NoAck: true},
		&wire.BasicGet{Queue: "empty"},
		&wire.BasicAck{DeliveryTag: 3, Multiple: true},
		&wire.BasicNack{DeliveryTag: 4, Requeue: true},
		&wire.BasicReject{DeliveryTag: 5, Requeue: true},
		&wire.BasicCancel{ConsumerTag: "tag"},
		&wire.ChannelClose{ReplyCode: wire.ReplySuccess},
		&wire.ConnectionClose{ReplyCode: wire.ReplySuccess, ReplyText: "kthxbai"},
	}
}

// checkArrived compares what was published with what the client was told to
// publish.
func checkArrived(t *testing.T, arrived []content) {
	if len(arrived) != 1 {
		t.Fatalf("%d messages arrived", len(arrived))
	}
	m := publishing()
	if !bytes.Equal(arrived[0].body, m.Body) {
		t.Errorf("a body of %d bytes arrived, not of %d", len(arrived[0].body), len(m.Body))
	}
	headers, _ := arrived[0].properties.Headers()
	if headers.Len() != len(m.Headers) {
		t.Errorf("%d headers arrived, not %d", headers.Len(), len(m.Headers))
	}
	want := map[string]string{
		"bool": "t true", "byte": "B 200", "int8": "b -5", "int16": "s -300", "uint16": "u 60000",
		"int32": "I -70000", "uint32": "i 3000000000", "int64": "l -5000000000",
		"float32": "f 1.5", "float64": "d -2.5", "decimal": "D 314e-2", "string": "S text", "bytes": "x \x00\xff",
		"time": "T 1700000000", "nil": "V void",
		"table": "F {inner: {deep: 1}}", "array": "A [a, 1, [true, void], {k: v}]",
	}
	for key, v := range headers.All() {
		if got := fmt.Sprintf("%c %v", v.Kind(), v); got != want[string(key)] {
			t.Errorf("%s is %q, not %q", key, got, want[string(key)])
		}
	}
}
