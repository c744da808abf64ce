package amqp_test

import (
	"bytes"
	"context"
	"fmt"
	"testing"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"

	"github.com/waxwing-mq/waxwing/internal/broker"
	"github.com/waxwing-mq/waxwing/internal/engine/mem"
	"github.com/waxwing-mq/waxwing/internal/record"
)

// readTopic reads all records of a topic's first partition.
func (n *node) readTopic(name string) (out []record.Record) {
	n.t.Helper()
	top, ok := n.broker.Topic(name)
	if !ok {
		n.t.Fatalf("no topic %s", name)
	}
	p := top.Partitions[0]
	b := p.Bounds()
	plan, err := n.broker.Plan(context.Background(), p, b.Start, b.HighWatermark, 1<<20, true)
	if err != nil {
		n.t.Fatal(err)
	}
	defer plan.Close()
	var buf bytes.Buffer
	if _, err := plan.WriteTo(&buf); err != nil {
		n.t.Fatal(err)
	}
	for batch := range record.Batches(buf.Bytes()) {
		err := record.Iterate(batch, func(r record.Record) bool {
			r.Headers = append([]record.RecordHeader(nil), r.Headers...)
			out = append(out, r)
			return true
		})
		if err != nil {
			n.t.Fatal(err)
		}
	}
	return out
}

// produce appends a record to a topic as a Kafka client would.
func (n *node) produce(name string, r record.Record) {
	n.t.Helper()
	top, ok := n.broker.Topic(name)
	if !ok {
		n.t.Fatalf("no topic %s", name)
	}
	batch := record.Append(nil, record.BatchSpec{Records: []record.Record{r}})
	h, err := record.ReadHeader(batch)
	if err != nil {
		n.t.Fatal(err)
	}
	done := make(chan error, 1)
	n.broker.Append(context.Background(), &broker.AppendRequest{
		Items: []broker.AppendItem{{Partition: top.Partitions[0], Batch: batch, Header: h}},
		Done:  func(req *broker.AppendRequest) { done <- req.Items[0].Err },
	})
	if err := <-done; err != nil {
		n.t.Fatal(err)
	}
}

func header(r record.Record, name string) string {
	for _, h := range r.Headers {
		if string(h.Key) == name {
			return string(h.Value)
		}
	}
	return ""
}

// TestStreamIsATopic: what AMQP publishes to a stream are records, and what
// Kafka produces its consumers get; both ways as docs/streams.md maps them.
func TestStreamIsATopic(t *testing.T) {
	n := start(t)
	ch := n.channel()
	must(ch.QueueDeclare("events", true, false, false, false, amqp091.Table{"x-queue-type": "stream", "x-max-age": "7D"}))(t)
	if top, ok := n.broker.Topic("events"); !ok || len(top.Partitions) != 1 || top.Settings.RetentionTime != 7*24*time.Hour {
		t.Fatalf("topic: %+v", top)
	}
	if err := ch.QueueBind("events", "order.*", "amq.topic", false, nil); err != nil {
		t.Fatal(err)
	}
	if err := ch.Confirm(false); err != nil {
		t.Fatal(err)
	}
	at := time.Unix(1_700_000_000, 0).UTC()
	sent := amqp091.Publishing{
		ContentType: "text/plain", CorrelationId: "c-1", DeliveryMode: amqp091.Persistent, Priority: 3, Timestamp: at,
		Headers: amqp091.Table{"n": int64(7), "s": "text", "raw": []byte{0xff}, "yes": true}, Body: []byte("paid"),
	}
	if c := must(ch.PublishWithDeferredConfirm("amq.topic", "order.paid", true, false, sent))(t); !c.Wait() {
		t.Fatal("not confirmed")
	}
	rs := n.readTopic("events")
	if len(rs) != 1 {
		t.Fatalf("%d records", len(rs))
	}
	r := rs[0]
	if string(r.Key) != "order.paid" || string(r.Value) != "paid" || r.Timestamp != at.UnixMilli() {
		t.Errorf("record: key %q value %q at %d", r.Key, r.Value, r.Timestamp)
	}
	for name, want := range map[string]string{
		"n": "7", "s": "text", "raw": "\xff", "yes": "true", "amqp.content-type": "text/plain", "amqp.correlation-id": "c-1",
		"amqp.priority": "3", "amqp.exchange": "amq.topic", "amqp.routing-key": "order.paid",
	} {
		if got := header(r, name); got != want {
			t.Errorf("header %s: %q, want %q", name, got, want)
		}
	}
	n.produce("events", record.Record{Timestamp: at.UnixMilli() + 5, Key: []byte("42"), Value: []byte("from kafka"), Headers: []record.RecordHeader{
		{Key: []byte("trace"), Value: []byte("abc")}, {Key: []byte("amqp.content-type"), Value: []byte("application/json")}, {Key: []byte("bin"), Value: []byte{0xfe}},
	}})
	if err := ch.Qos(10, 0, false); err != nil {
		t.Fatal(err)
	}
	ds := must(ch.Consume("events", "", false, false, false, false, amqp091.Table{"x-stream-offset": "first"}))(t)
	d := <-ds
	if d.Exchange != "amq.topic" || d.RoutingKey != "order.paid" || d.ContentType != "text/plain" || d.CorrelationId != "c-1" ||
		d.Priority != 3 || !d.Timestamp.Equal(at) || d.Headers["n"] != int64(7) || d.Headers["yes"] != true || d.Headers["x-stream-offset"] != int64(0) {
		t.Errorf("from AMQP: %+v", d)
	}
	d = <-ds
	if string(d.Body) != "from kafka" || d.RoutingKey != "events" || d.ContentType != "application/json" || d.Headers["trace"] != "abc" ||
		d.Headers["kafka-key"] != "42" || d.Headers["kafka-timestamp"] != at.UnixMilli()+5 || !d.Timestamp.Equal(at) || d.Headers["x-stream-offset"] != int64(1) {
		t.Errorf("from Kafka: %+v", d)
	}
	if b, _ := d.Headers["bin"].([]byte); !bytes.Equal(b, []byte{0xfe}) {
		t.Errorf("binary header: %v", d.Headers["bin"])
	}
}

// TestStreamOffsets: a consumer begins where x-stream-offset says, gets as much
// as its prefetch limit allows, and an acknowledgement is credit for more.
func TestStreamOffsets(t *testing.T) {
	n := start(t)
	ch := n.channel()
	must(ch.QueueDeclare("s", true, false, false, false, amqp091.Table{"x-queue-type": "stream"}))(t)
	base := time.Now().Add(-2 * time.Hour).Truncate(time.Second)
	for i := range 10 {
		n.produce("s", record.Record{Timestamp: base.Add(time.Duration(i) * 20 * time.Minute).UnixMilli(), Value: []byte{byte(i)}})
	}
	if err := ch.Qos(2, 0, false); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		offset any
		first  byte
	}{
		{"first", 0}, {"last", 9}, {int64(4), 4}, {base.Add(time.Hour), 3}, {base.Add(61 * time.Minute), 4}, {"1h", 4},
	} {
		tag := "c"
		ds := must(ch.Consume("s", tag, false, false, false, false, amqp091.Table{"x-stream-offset": c.offset}))(t)
		for want := c.first; want < 10; want++ {
			d := <-ds
			if d.Body[0] != want {
				t.Fatalf("from %v: message %d, want %d", c.offset, d.Body[0], want)
			}
			if want == c.first && c.offset == "first" {
				<-ds
				select {
				case d := <-ds:
					t.Fatalf("message %d beyond the prefetch limit", d.Body[0])
				case <-time.After(50 * time.Millisecond):
				}
				want++
				if err := ch.Ack(d.DeliveryTag+1, true); err != nil {
					t.Fatal(err)
				}
				continue
			}
			if err := d.Ack(false); err != nil {
				t.Fatal(err)
			}
		}
		if err := ch.Cancel(tag, false); err != nil {
			t.Fatal(err)
		}
	}
	next := must(ch.Consume("s", "n", false, false, false, false, nil))(t)
	n.produce("s", record.Record{Timestamp: 1, Value: []byte{77}})
	if d := <-next; d.Body[0] != 77 {
		t.Errorf("next: message %d", d.Body[0])
	}
}

// TestStreamRetention: of a stream with x-max-age what is older goes, and of one with
// x-max-length-bytes what is too much; consumers begin behind it.
func TestStreamRetention(t *testing.T) {
	n := &node{t: t, disk: mem.New(mem.Options{FileBytes: 8 << 20}), checks: time.Millisecond}
	n.open()
	t.Cleanup(func() { n.stop() })
	ch := n.channel()
	if err := ch.Confirm(false); err != nil {
		t.Fatal(err)
	}
	if err := ch.Qos(100, 0, false); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	for _, c := range []struct {
		argument string
		value    any
		first    byte // that is kept of six
	}{
		{"x-max-age", "1h", 3}, {"x-max-length-bytes", int64(20_000), 3}, {"x-max-age", "7D", 0},
	} {
		name := fmt.Sprint(c.argument, c.value)
		must(ch.QueueDeclare(name, true, false, false, false, amqp091.Table{"x-queue-type": "stream", c.argument: c.value}))(t)
		for i := range byte(6) {
			body := bytes.Repeat([]byte{i}, 8000)
			at := now.Add(time.Duration(int(i)-5) * 25 * time.Minute) // 125 minutes ago, and so on
			if err := publishConfirmed(ch, "", name, amqp091.Publishing{Timestamp: at, Body: body}); err != nil {
				t.Fatal(err)
			}
		}
		want := 6 - int(c.first)
		for end := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
			q := must(ch.QueueDeclarePassive(name, true, false, false, false, nil))(t)
			if q.Messages == want {
				break
			}
			if time.Now().After(end) {
				t.Fatalf("%s: %d messages, want %d", name, q.Messages, want)
			}
		}
		ds := must(ch.Consume(name, name, false, false, false, false, amqp091.Table{"x-stream-offset": "first"}))(t)
		for i := c.first; i < 6; i++ {
			if d := <-ds; d.Body[0] != i || d.Headers["x-stream-offset"] != int64(i) {
				t.Fatalf("%s: message %d at %v, want %d", name, d.Body[0], d.Headers["x-stream-offset"], i)
			}
		}
	}
}

// TestEmptyIsNotNull: an empty body is no tombstone, which would delete a key of a
// compacted topic, and an empty text is no null.
func TestEmptyIsNotNull(t *testing.T) {
	n := start(t)
	ch := n.channel()
	must(ch.QueueDeclare("events", true, false, false, false, amqp091.Table{"x-queue-type": "stream"}))(t)
	if err := ch.Confirm(false); err != nil {
		t.Fatal(err)
	}
	c := must(ch.PublishWithDeferredConfirm("", "events", true, false, amqp091.Publishing{
		Type: "x", Headers: amqp091.Table{"kafka-key": "", "text": "", "bytes": []byte{}, "void": nil},
	}))(t)
	if !c.Wait() {
		t.Fatal("not confirmed")
	}
	r := n.readTopic("events")[0]
	if r.Value == nil || r.Key == nil {
		t.Errorf("key %v, value %v", r.Key, r.Value)
	}
	for _, h := range r.Headers {
		if null := h.Value == nil; null != (string(h.Key) == "void") {
			t.Errorf("header %s: null %v", h.Key, null)
		}
	}
}
