package kafka_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/waxwing-mq/waxwing/internal/kafka"
)

// panics counts what the server logs about panics.
type panics struct{ n *atomic.Int64 }

func (p panics) Enabled(context.Context, slog.Level) bool { return true }
func (p panics) Handle(_ context.Context, r slog.Record) error {
	if strings.Contains(r.Message, "bug") {
		p.n.Add(1)
	}
	return nil
}
func (p panics) WithAttrs([]slog.Attr) slog.Handler { return p }
func (p panics) WithGroup(string) slog.Handler      { return p }

// FuzzConnection sends a connection anything, to a broker that is real. The
// seeds are one request of each version of each API. Whatever comes, the
// connection ends when its client leaves, without a panic, and the memory of
// its requests comes back.
func FuzzConnection(f *testing.F) {
	b, kc := newBroker(f)
	n := &node{Broker: b}
	n.topic(f, "seen", 3)
	var bugs atomic.Int64
	kc.Logger = slog.New(panics{&bugs})
	kc.Advertised = func() (string, int32) { return "127.0.0.1", 9092 }
	s := kafka.New(kc)
	for _, req := range requests(f, n) {
		for v := int16(0); v <= req.MaxVersion(); v++ {
			f.Add(encode(req, v, 1))
		}
	}
	f.Fuzz(func(t *testing.T, input []byte) {
		client, server := net.Pipe()
		done := make(chan struct{})
		go func() {
			defer close(done)
			s.ServeConn(context.Background(), server)
		}()
		go io.Copy(io.Discard, client)
		client.SetWriteDeadline(time.Now().Add(10 * time.Second))
		client.Write(input) // fails when the server has had enough
		client.Close()
		select {
		case <-done:
		case <-time.After(20 * time.Second):
			t.Fatal("the connection does not end")
		}
		if bugs.Load() != 0 {
			t.Fatal("a handler panicked")
		}
		eventually(t, "all memory of requests is given back", s.MemoryIsFree)
	})
}

// TestMutatedRequests changes single bytes of requests, which a fuzzer does
// too, but not in every run of the tests.
func TestMutatedRequests(t *testing.T) {
	n := start(t)
	n.topic(t, "seen", 3)
	for _, req := range requests(t, n) {
		if k := req.Key(); k == kmsg.DeleteTopics.Int16() || k == kmsg.JoinGroup.Int16() {
			continue
		}
		whole := encode(req, req.MaxVersion(), 1)
		conn := discarding(t, n)
		for at := 14; at < len(whole); at++ {
			for _, change := range []byte{0x01, 0x80, 0xff} {
				b := bytes.Clone(whole)
				b[at] ^= change
				if _, err := conn.Write(b); err != nil {
					conn = discarding(t, n)
				}
			}
		}
		conn.Close()
	}
	// logTo fails the test if a handler panics.
	if resp := n.dial(t).ask(&kmsg.MetadataRequest{}, 0).(*kmsg.MetadataResponse); len(resp.Topics) == 0 {
		t.Error("no topics")
	}
}

// discarding is a connection that drops what it is told.
func discarding(t testing.TB, n *node) net.Conn {
	conn := n.dial(t)
	go io.Copy(io.Discard, conn.Conn)
	return conn.Conn
}
