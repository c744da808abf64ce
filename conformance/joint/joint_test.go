// Package joint tests what both protocols do together: KafkaJS and pika on one
// broker, whose streams are topics. docs/streams.md says what is expected here.
package joint

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"testing"

	"github.com/waxwing-mq/waxwing/conformance/amqptest"
	"github.com/waxwing-mq/waxwing/conformance/harness"
)

const waiting = "waiting for messages; Ctrl-C ends"

// pair runs programs with KafkaJS and with pika against one broker.
type pair struct {
	*harness.Broker
	t      *testing.T
	python string
	env    []string
}

func start(t *testing.T) pair {
	b := amqptest.Start(t, "waxwing")
	if b.Bootstrap == "" {
		t.Fatal("this needs a broker that serves Kafka and AMQP")
	}
	env := append(amqptest.Env(b), "BOOTSTRAP="+b.Bootstrap, "NODE_PATH="+harness.Tool(t, "node", "node_modules"))
	return pair{Broker: b, t: t, python: harness.Tool(t, "amqppython", "bin", "python"), env: env}
}

func (p pair) kafka(args ...string) *amqptest.Program {
	p.t.Helper()
	return amqptest.Run(p.t, ".", p.env, append([]string{"node", "kafka.js"}, args...)...)
}

func (p pair) amqp(args ...string) *amqptest.Program {
	p.t.Helper()
	return amqptest.Run(p.t, ".", p.env, append([]string{p.python, "-B", "amqp.py"}, args...)...)
}

// message is what pika got.
type message struct {
	Body        string
	Exchange    string
	RoutingKey  string `json:"routing_key"`
	Redelivered bool
	Properties  map[string]any
	Headers     map[string]any
}

// record is what KafkaJS got.
type record struct {
	Partition, Offset int
	Timestamp         int64
	Key, Value        *string
	Headers           map[string]*string
}

// messages are the lines of a program of pika, without that it waits.
func messages(t *testing.T, p *amqptest.Program) (ms []message) {
	t.Helper()
	for _, line := range p.Lines() {
		if line == waiting {
			continue
		}
		var m message
		harness.Must(t, json.Unmarshal([]byte(line), &m))
		ms = append(ms, m)
	}
	return ms
}

// checkRecord compares message n of kafka.js with what pika got of it.
func checkRecord(t *testing.T, n int, topic string, m message) {
	t.Helper()
	headers := map[string]any{
		"trace": fmt.Sprint("trace ", n), "raw": fmt.Sprintf("ff%02x", n%256), "kafka-timestamp": float64(1700000000007 + 1000*n),
	}
	if n%3 != 2 {
		headers["kafka-key"] = fmt.Sprint("key ", n)
	}
	delete(m.Headers, "x-stream-offset")
	properties := map[string]any{
		"content_type": "text/plain", "priority": float64(n % 5), "delivery_mode": float64(2), "timestamp": float64(1700000000 + n),
	}
	if m.Body != strconv.Itoa(n) || m.RoutingKey != topic || !reflect.DeepEqual(m.Headers, headers) || !reflect.DeepEqual(m.Properties, properties) {
		t.Fatalf("record %d: %+v\nwant headers %v, properties %v", n, m, headers, properties)
	}
}

// TestKafkaJSFeedsPikaWorker: each record of a topic that a queue is bound to
// goes into the queue once, in order, also across a kill -9 of the broker; what a
// killed worker had not acknowledged, another gets.
func TestKafkaJSFeedsPikaWorker(t *testing.T) {
	p := start(t)
	p.kafka("create", "orders.eu", "1").Wait()
	p.kafka("create", "others", "1").Wait()
	p.amqp("bind", "work", "orders.*").Wait()
	worker := p.amqp("work", "work")
	worker.Await(waiting)
	p.kafka("produce", "others", "900", "2").Wait()
	p.kafka("produce", "orders.eu", "0", "20").Wait()
	worker.AwaitCount(1 + 20)
	for n, m := range messages(t, worker) {
		checkRecord(t, n, "orders.eu", m)
		if m.Exchange != "waxwing.topics" || m.Redelivered {
			t.Fatalf("record %d: %+v", n, m)
		}
	}
	worker.Interrupt()

	p.kafka("produce", "orders.eu", "20", "20").Wait()
	p.Kill(t)
	p.Restart(t)
	p.kafka("produce", "orders.eu", "40", "20").Wait()
	const acknowledged, held, until = 10, 10, 60
	worker = p.amqp("work", "work", strconv.Itoa(acknowledged))
	worker.AwaitCount(1 + acknowledged + held)
	worker.Kill()
	next := p.amqp("work", "work")
	next.AwaitCount(1 + until - 20 - acknowledged)
	got := append(messages(t, worker)[:acknowledged], messages(t, next)...)
	if len(got) != until-20 {
		t.Fatalf("%d messages, want %d", len(got), until-20)
	}
	for i, m := range got {
		checkRecord(t, 20+i, "orders.eu", m)
		if i >= acknowledged && m.Redelivered != (i < acknowledged+held) {
			t.Fatalf("record %d: redelivered %v", 20+i, m.Redelivered)
		}
	}
	next.Interrupt()
}

// TestKafkaJSFeedsPikaStream: a consumer of a stream reads the topic, from any
// offset; a partition of several is a stream of its own.
func TestKafkaJSFeedsPikaStream(t *testing.T) {
	p := start(t)
	p.kafka("create", "single", "1").Wait()
	p.kafka("produce", "single", "0", "10").Wait()
	first := p.amqp("read", "single", "first")
	first.AwaitCount(1 + 10)
	seventh := p.amqp("read", "single", "7")
	next := p.amqp("read", "single", "next")
	next.Await(waiting)
	p.kafka("produce", "single", "10", "2").Wait()
	for reader, from := range map[*amqptest.Program]int{first: 0, seventh: 7, next: 10} {
		reader.AwaitCount(1 + 12 - from)
		for i, m := range messages(t, reader) {
			if m.Headers["x-stream-offset"] != float64(from+i) {
				t.Fatalf("offset %v, want %d", m.Headers["x-stream-offset"], from+i)
			}
			checkRecord(t, from+i, "single", m)
		}
		reader.Interrupt()
	}

	p.kafka("create", "several", "3").Wait()
	want := map[int][]int{}
	for _, line := range p.kafka("produce", "several", "0", "30").Wait() {
		var sent struct{ N, Partition, Offset int }
		harness.Must(t, json.Unmarshal([]byte(line), &sent))
		want[sent.Partition] = append(want[sent.Partition], sent.N)
	}
	for partition, numbers := range want {
		reader := p.amqp("read", fmt.Sprint("several-", partition), "first")
		reader.AwaitCount(1 + len(numbers))
		for i, m := range messages(t, reader) {
			checkRecord(t, numbers[i], "several", m)
		}
		reader.Interrupt()
	}
}

// TestPikaFeedsKafkaJS: what is published to a stream queue are records of the
// topic of its name; a stream's consumer gets it back exactly as it was.
func TestPikaFeedsKafkaJS(t *testing.T) {
	p := start(t)
	p.amqp("declare", "events").Wait()
	consumer := p.kafka("consume", "events", "4")
	p.amqp("publish", "events").Wait()
	var records []record
	for _, line := range consumer.Wait() {
		var r record
		harness.Must(t, json.Unmarshal([]byte(line), &r))
		records = append(records, r)
	}
	if len(records) != 4 {
		t.Fatalf("%d records", len(records))
	}
	text := func(s *string) string {
		if s == nil {
			return "null"
		}
		return *s
	}
	for i, want := range []struct {
		key, value string
		headers    map[string]string
	}{
		{"null", "bare", map[string]string{"amqp.exchange": "", "amqp.routing-key": "events"}},
		{"null", "everything", map[string]string{
			"amqp.exchange": "", "amqp.routing-key": "events",
			"text": "wörter", "int": "-7", "yes": "true", "none": "null", "list": "[1, two]", "table": "{deep: 1}",
			"amqp.content-type": "application/json", "amqp.content-encoding": "identity", "amqp.priority": "7", "amqp.correlation-id": "c",
			"amqp.reply-to": "r", "amqp.expiration": "60000", "amqp.message-id": "m", "amqp.type": "t", "amqp.user-id": "guest", "amqp.app-id": "a",
		}},
		{"order.paid", "by an exchange", map[string]string{"amqp.exchange": "amq.topic", "amqp.routing-key": "order.paid"}},
		{"mine", "own key", map[string]string{"amqp.exchange": "", "amqp.routing-key": "events"}},
	} {
		r := records[i]
		if r.Offset != i || r.Partition != 0 || text(r.Key) != want.key || text(r.Value) != want.value {
			t.Errorf("record %d: %+v, key %s, value %s", i, r, text(r.Key), text(r.Value))
		}
		if r.Headers["amqp.properties"] == nil { // what the stream's consumer reads below
			t.Errorf("record %d has no amqp.properties", i)
		}
		delete(r.Headers, "amqp.properties")
		if len(r.Headers) != len(want.headers) {
			t.Errorf("record %d has headers %v", i, r.Headers)
		}
		for name, value := range want.headers {
			if got, ok := r.Headers[name]; !ok || text(got) != value {
				t.Errorf("record %d: header %s is %q, want %q", i, name, text(got), value)
			}
		}
	}
	if records[1].Timestamp != 1700000000000 {
		t.Errorf("timestamp %d", records[1].Timestamp)
	}
	reader := p.amqp("read", "events", "first")
	reader.AwaitCount(1 + 4)
	everything := messages(t, reader)[1]
	delete(everything.Headers, "x-stream-offset")
	want := message{
		Body: "everything", RoutingKey: "events",
		Properties: map[string]any{
			"content_type": "application/json", "content_encoding": "identity", "delivery_mode": 2., "priority": 7., "correlation_id": "c", "reply_to": "r",
			"expiration": "60000", "message_id": "m", "timestamp": 1700000000., "type": "t", "user_id": "guest", "app_id": "a",
		},
		Headers: map[string]any{
			"text": "wörter", "int": -7., "yes": true, "none": nil, "list": []any{1., "two"}, "table": map[string]any{"deep": 1.},
		},
	}
	if !reflect.DeepEqual(everything, want) {
		t.Errorf("got %+v\nwant %+v", everything, want)
	}
	reader.Interrupt()
}
