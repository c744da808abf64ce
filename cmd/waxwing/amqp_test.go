package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"math"
	"net"
	"reflect"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// TestArguments: what is JSON is read as JSON, the rest as a text.
func TestArguments(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for text, want := range map[string]any{
		"10": int64(10), "-9223372036854775808": int64(math.MinInt64), "1.0": 1.0, "1e3": 1000.0, "true": true, "null": nil,
		"": "", "drop-head": "drop-head", "007": "007", "1,2": "1,2", "True": "True", "a=b": "a=b",
		`"10"`: "10", `[1,"a",[true]]`: []any{int64(1), "a", []any{true}},
		`{"a":{"b":1}}`:      amqp.Table{"a": amqp.Table{"b": int64(1)}},
		`{"$base64":"AP8="}`: []byte{0, 255}, `{"$time":"2026-01-02T03:04:05Z"}`: at,
		`{"$base64":"AP8=","more":1}`: amqp.Table{"$base64": "AP8=", "more": int64(1)},
	} {
		got, err := parseArgument(text)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q is %#v, %v; want %#v", text, got, err, want)
		}
	}
	for _, text := range []string{`{"a"`, `[1,`, `"open`, "99999999999999999999", "1e999", `{"$base64":"!"}`, `{"$time":"soon"}`} {
		if got, err := parseArgument(text); err == nil {
			t.Errorf("%q is %#v, and no error", text, got)
		}
	}
}

// TestTableValues: every type of a table becomes JSON, and what can be told
// apart in JSON comes back.
func TestTableValues(t *testing.T) {
	for _, tt := range []struct {
		value any
		text  string
		back  any
	}{
		{int8(-1), "-1", int64(-1)}, {uint32(math.MaxUint32), "4294967295", int64(math.MaxUint32)}, {true, "true", true}, {nil, "null", nil},
		{float32(0.1), "0.1", 0.1}, {2.0, "2.0", 2.0}, {1e300, "1e+300", 1e300}, {math.Inf(1), `"+Inf"`, "+Inf"},
		{amqp.Decimal{Scale: 2, Value: 125}, "125e-2", 1.25}, {"<t>", `"<t>"`, "<t>"}, {"\xff", `{"$base64":"/w=="}`, []byte{255}},
		{[]byte("b"), `{"$base64":"Yg=="}`, []byte("b")},
		{time.Unix(0, 0), `{"$time":"1970-01-01T00:00:00Z"}`, time.Unix(0, 0).UTC()},
		{[]any{amqp.Table{"f": float32(1)}}, `[{"f":1.0}]`, []any{amqp.Table{"f": 1.0}}},
	} {
		text := bytes.TrimSpace(plainJSON(toJSON(tt.value)))
		if string(text) != tt.text {
			t.Errorf("%#v is %s, want %s", tt.value, text, tt.text)
		}
		back, err := parseTableValue(text)
		if err != nil || !reflect.DeepEqual(back, tt.back) {
			t.Errorf("%s comes back as %#v, %v; want %#v", text, back, err, tt.back)
		}
	}
}

// TestRabbitMQArguments: RabbitMQ writes empty arguments as a list.
func TestRabbitMQArguments(t *testing.T) {
	var rows []queueRow
	text := `[{"name":"a","arguments":[]},{"name":"b","arguments":{"x-max-length":5},"unknown":1}]`
	if err := json.Unmarshal([]byte(text), &rows); err != nil {
		t.Fatal(err)
	}
	if got := argumentsText(rows[0].Arguments) + "|" + argumentsText(rows[1].Arguments); got != "|x-max-length=5" {
		t.Errorf("got %q", got)
	}
}

// TestGatheringConn: everything arrives, in order, from buffers that are used
// again at once; writing after the end is an error.
func TestGatheringConn(t *testing.T) {
	client, server := net.Pipe()
	c := newGatheringConn(client)
	var got []byte
	read := make(chan error, 1)
	go func() {
		var err error
		got, err = io.ReadAll(server)
		read <- err
	}()
	var want []byte
	buf := make([]byte, 1000)
	for i := range 2000 {
		for k := range buf {
			buf[k] = byte(i)
		}
		want = append(want, buf...)
		if _, err := c.Write(buf); err != nil {
			t.Fatal(err)
		}
	}
	for deadline := time.Now().Add(10 * time.Second); ; {
		c.mu.Lock()
		idle := len(c.pending) == 0 && !c.writing
		c.mu.Unlock()
		if idle || time.Now().After(deadline) {
			break
		}
		time.Sleep(time.Millisecond)
	}
	c.Close()
	if err := <-read; err != nil || !bytes.Equal(got, want) {
		t.Fatalf("%d bytes of %d arrived as they were: %v", len(got), len(want), err)
	}
	if _, err := c.Write(buf); !errors.Is(err, net.ErrClosed) {
		t.Fatalf("writing after the end: %v", err)
	}
}

// TestGatheringConnBlocks: who writes to a peer that does not read waits, and
// is let go when the connection ends.
func TestGatheringConnBlocks(t *testing.T) {
	client, server := net.Pipe()
	defer server.Close()
	c := newGatheringConn(client)
	wrote := 0
	done := make(chan error, 1)
	go func() {
		for {
			if _, err := c.Write(make([]byte, 64<<10)); err != nil {
				done <- err
				return
			}
			wrote++
		}
	}()
	select {
	case err := <-done:
		t.Fatal("did not wait: ", err)
	case <-time.After(100 * time.Millisecond):
	}
	c.Close()
	if err := <-done; err == nil || wrote > 12 {
		t.Fatalf("wrote %d times 64 KiB to nobody: %v", wrote, err)
	}
}

// TestAMQPBenchReportsLoss: what was confirmed and not delivered is lost, and
// makes the run fail; so does what came twice.
func TestAMQPBenchReportsLoss(t *testing.T) {
	run := newAMQPRun(&benchAMQP{publishers: 1, consume: newEnum("after", "live")}, nil)
	publisher := &amqpPublisher{run: run}
	run.publishers = []*amqpPublisher{publisher}
	pass := &amqpPass{run: run, ledgers: make([]ledger, 1)}
	body := make([]byte, stampBytes)
	deliver := func(id, sequence uint64) {
		stamp(body, id, 0, 0, sequence)
		pass.count(&amqp.Delivery{Body: body})
	}
	for n := range uint64(10) {
		publisher.ledger.add(n)
		if n != 4 {
			deliver(run.id, n)
		}
	}
	deliver(run.id, warmUpSequence)
	deliver(run.id+1, 4) // another run's
	result := &amqpResult{Consuming: "after"}
	result.addPass(pass)
	if result.Lost != 1 || result.verdict() == nil || result.verdict().Error() != "1 confirmed message lost" || result.Consume.Messages != 9 {
		t.Fatalf("lost %d, verdict %v", result.Lost, result.verdict())
	}
	deliver(run.id, 4)
	deliver(run.id, 5)
	again := &amqpResult{Consuming: "after"}
	again.addPass(pass)
	if again.Lost != 0 || again.Duplicated != 1 || again.verdict() == nil {
		t.Fatalf("a duplicate was no failure: lost %d, verdict %v", again.Lost, again.verdict())
	}
}

// TestAMQPRatios: means over the runs; what was not measured has no ratio.
func TestAMQPRatios(t *testing.T) {
	run := func(rate, p99 float64) *amqpResult {
		return &amqpResult{Publish: amqpPublished{amqpRate: amqpRate{MessagesPerSecond: rate}, Latency: &latencyResult{P50: 1, P99: p99}}}
	}
	c := amqpComparison{A: []*amqpResult{run(200, 2), run(400, 4)}, B: []*amqpResult{run(100, 12), run(100, 12)}}
	want := amqpRatios{PublishRate: 3, PublishP50: 1, PublishP99: 0.25}
	if got := c.ratios(); got != want {
		t.Fatalf("got %+v, want %+v", got, want)
	}
}

// BenchmarkAMQPBenchConfirm is what the bench adds to each confirm.
func BenchmarkAMQPBenchConfirm(b *testing.B) {
	run := newAMQPRun(&benchAMQP{inflight: 1000}, nil)
	p := &amqpPublisher{run: run, due: make([]time.Duration, 1000), stop: func() {}}
	b.ReportAllocs()
	for n := uint64(0); b.Loop(); n++ {
		p.settle(amqp.Confirmation{DeliveryTag: n%ledgerMax + 1, Ack: true}, 0, time.Duration(n))
	}
}
