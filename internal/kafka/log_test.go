package kafka_test

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/waxwing-mq/waxwing/internal/broker"
	"github.com/waxwing-mq/waxwing/internal/kafka"
	"github.com/waxwing-mq/waxwing/internal/record"
)

// logLines keeps what is logged as a warning or worse.
type logLines struct {
	mu    sync.Mutex
	lines []string
}

func (l *logLines) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelWarn }
func (l *logLines) Handle(_ context.Context, r slog.Record) error {
	text := r.Message
	r.Attrs(func(a slog.Attr) bool { text += " " + a.String(); return true })
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, text)
	return nil
}
func (l *logLines) WithAttrs([]slog.Attr) slog.Handler { return l }
func (l *logLines) WithGroup(string) slog.Handler      { return l }

func (l *logLines) all() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string(nil), l.lines...)
}

func (l *logLines) option(_ *broker.Config, c *kafka.Config) { c.Logger = slog.New(l) }

// TestOtherProtocolsAreNamed: who points a client of another protocol at the
// port finds one line in the log that says so.
func TestOtherProtocolsAreNamed(t *testing.T) {
	for name, c := range map[string]struct{ input, want string }{
		"TLS":        {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "TLS ClientHello"},
		"HTTP":       {"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "looks like HTTP"},
		"HTTP POST":  {"POST /topics HTTP/1.1\r\n\r\n", "looks like HTTP"},
		"HTTP/2":     {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "looks like HTTP/2"},
		"AMQP":       {"AMQP\x00\x00\x09\x01", "looks like AMQP"},
		"something":  {"\x7fsomething", "frame of 2138271597 bytes, allowed are 8 to 104857600"},
		"half a TLS": {"\x16\x03\x01\x02", "TLS ClientHello"},
	} {
		t.Run(name, func(t *testing.T) {
			var log logLines
			n := start(t, log.option)
			conn := n.dial(t)
			if _, err := conn.Write([]byte(c.input)); err != nil {
				t.Fatal(err)
			}
			conn.closed()
			eventually(t, "it is logged", func() bool { return len(log.all()) > 0 })
			if lines := log.all(); len(lines) != 1 || !strings.Contains(lines[0], c.want) {
				t.Errorf("got %q", lines)
			}
		})
	}
}

// TestPeersDoNotFillTheLog: many connections that break the protocol are a few
// lines, and none is forgotten.
func TestPeersDoNotFillTheLog(t *testing.T) {
	var log logLines
	n := start(t, log.option)
	rude := func() {
		conn := n.dial(t)
		if _, err := conn.Write([]byte("GET / HTTP/1.1\r\n\r\n")); err != nil {
			t.Fatal(err)
		}
		conn.closed()
	}
	begun := time.Now()
	for range 200 {
		rude()
	}
	most := 1 + int(time.Since(begun)/time.Second)
	if got := len(log.all()); got < 1 || got > most {
		t.Errorf("%d lines, at most %d are due", got, most)
	}
	time.Sleep(1100 * time.Millisecond)
	rude()
	eventually(t, "the others are counted", func() bool {
		lines := log.all()
		return strings.Contains(lines[len(lines)-1], "left out before")
	})
}

// TestTransactionsAreRefusedInTheLog: the code that a client gets reads as if
// it had no right; the log says which client it was and what is the matter.
func TestTransactionsAreRefusedInTheLog(t *testing.T) {
	id := "tx" + strings.Repeat("x", 200)
	marked := func(t testing.TB) []byte {
		return record.Append(nil, record.BatchSpec{
			Transactional: true, Producer: &record.Producer{ID: 1},
			Records: []record.Record{{Timestamp: time.Now().UnixMilli(), Value: []byte("v")}},
		})
	}
	for name, c := range map[string]struct {
		request func(*asker) kmsg.Request
		version int16
		want    string
	}{
		"InitProducerId": {func(*asker) kmsg.Request { return &kmsg.InitProducerIDRequest{TransactionalID: &id} }, 4, "api=InitProducerId transactional id=txxx"},
		"FindCoordinator": {func(*asker) kmsg.Request {
			return &kmsg.FindCoordinatorRequest{CoordinatorType: 1, CoordinatorKey: id}
		}, 3, "api=FindCoordinator transactional id=txxx"},
		"FindCoordinator of several": {func(*asker) kmsg.Request {
			return &kmsg.FindCoordinatorRequest{CoordinatorType: 1, CoordinatorKeys: []string{id, "other"}}
		}, 4, "api=FindCoordinator transactional id=txxx"},
		"Produce": {func(a *asker) kmsg.Request {
			req := a.produce("v")
			req.TransactionID = &id
			return req
		}, 9, "api=Produce transactional id=txxx"},
		"a batch of a transaction": {func(a *asker) kmsg.Request { return a.produceBatch(marked(t)) }, 9, "api=Produce transactional id="},
	} {
		t.Run(name, func(t *testing.T) {
			var log logLines
			n := start(t, log.option)
			n.topic(t, "orders", 1)
			conn, req := n.dial(t), c.request(requestsFor(t, n, "orders"))
			begun := time.Now()
			for range 5 {
				conn.ask(req, c.version)
			}
			lines := log.all()
			if most := 1 + int(time.Since(begun)/time.Second); len(lines) == 0 || len(lines) > most {
				t.Fatalf("%d lines: %q", len(lines), lines)
			}
			if !strings.Contains(lines[0], c.want) || !strings.Contains(lines[0], "client=tester from=127.0.0.1") || len(lines[0]) > 400 {
				t.Errorf("got %q", lines[0])
			}
		})
	}
	var log logLines
	n := start(t, log.option)
	n.topic(t, "orders", 1)
	if err := n.client(t, kgo.DefaultProduceTopic("orders")).ProduceSync(context30(t), kgo.StringRecord("v")).FirstErr(); err != nil {
		t.Fatal(err)
	}
	if lines := log.all(); len(lines) != 0 {
		t.Errorf("an idempotent producer: %q", lines)
	}
}
