package kafka_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/waxwing-mq/waxwing/internal/broker"
	"github.com/waxwing-mq/waxwing/internal/engine/mem"
	"github.com/waxwing-mq/waxwing/internal/kafka"
	"github.com/waxwing-mq/waxwing/internal/listen"
)

// node is a broker and a Kafka server on loopback.
type node struct {
	*broker.Broker
	server *kafka.Server
	addr   string
	stop   func() // begins the stop and waits for the connections
}

type option func(*broker.Config, *kafka.Config)

func shards(n int) option { return func(b *broker.Config, _ *kafka.Config) { b.Shards = n } }

func setting(name, value string) option {
	return func(b *broker.Config, _ *kafka.Config) { b.Settings[name] = value }
}

// onDisk opens the broker on what d holds.
func onDisk(t testing.TB, d *mem.Disk) option {
	return func(b *broker.Config, _ *kafka.Config) {
		eng, err := d.Engine()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { eng.Close() })
		b.Engine = eng
	}
}

// logTo makes everything that is logged a failure of the test.
type logTo struct{ t testing.TB }

func (l logTo) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelError }
func (l logTo) Handle(_ context.Context, r slog.Record) error {
	text := r.Message
	r.Attrs(func(a slog.Attr) bool { text += " " + a.String(); return true })
	l.t.Error("logged: " + text)
	return nil
}
func (l logTo) WithAttrs([]slog.Attr) slog.Handler { return l }
func (l logTo) WithGroup(string) slog.Handler      { return l }

func newBroker(t testing.TB, options ...option) (*broker.Broker, kafka.Config) {
	t.Helper()
	eng, err := mem.New(mem.Options{Seed: 1, FileBytes: 8 << 20}).Engine()
	if err != nil {
		t.Fatal(err)
	}
	bc := broker.Config{Engine: eng, Settings: map[string]string{}, Logger: slog.New(logTo{t})}
	kc := kafka.Config{NodeID: 1, Logger: slog.New(logTo{t})}
	for _, o := range options {
		o(&bc, &kc)
	}
	b, err := broker.Open(context.Background(), bc)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil && b.Err() == nil { // a test may let it fail
			t.Error(err)
		}
		eng.Close()
	})
	kc.Broker = b
	return b, kc
}

func start(t testing.TB, options ...option) *node {
	t.Helper()
	b, kc := newBroker(t, options...)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	host, port, _ := net.SplitHostPort(ln.Addr().String())
	number, _ := strconv.Atoi(port)
	asked := kc.Advertised // a test may want to know
	kc.Advertised = func() (string, int32) {
		if asked != nil {
			asked()
		}
		return host, int32(number)
	}
	s := kafka.New(kc)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- listen.Serve(ctx, ln, listen.Limits{Drain: 5 * time.Second}, s.ServeConn)
	}()
	stop := sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		eventually(t, "all memory of requests is given back", s.MemoryIsFree)
	})
	t.Cleanup(stop)
	return &node{Broker: b, server: s, addr: ln.Addr().String(), stop: stop}
}

// client makes a franz-go client.
func (n *node) client(t testing.TB, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	c, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(n.addr)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// topic creates a topic.
func (n *node) topic(t testing.TB, name string, partitions int, overrides ...string) *broker.Topic {
	t.Helper()
	spec := broker.TopicSpec{Name: name, Partitions: partitions, Settings: map[string]string{}}
	for i := 0; i < len(overrides); i += 2 {
		spec.Settings[overrides[i]] = overrides[i+1]
	}
	topic, err := n.CreateTopic(context.Background(), spec)
	if err != nil {
		t.Fatal(err)
	}
	return topic
}

// raw is a connection on which a test says every byte itself.
type raw struct {
	t testing.TB
	net.Conn
	br   *bufio.Reader
	next int32 // correlation id
}

func (n *node) dial(t testing.TB) *raw {
	t.Helper()
	c, err := net.Dial("tcp", n.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return &raw{t: t, Conn: c, br: bufio.NewReader(c)}
}

func encode(req kmsg.Request, version int16, correlation int32) []byte {
	req.SetVersion(version)
	return kmsg.NewRequestFormatter(kmsg.FormatterClientID("tester")).AppendRequest(nil, req, correlation)
}

// send writes a request and returns its correlation id.
func (r *raw) send(req kmsg.Request, version int16) int32 {
	r.t.Helper()
	r.next++
	if _, err := r.Write(encode(req, version, r.next)); err != nil {
		r.t.Fatal(err)
	}
	return r.next
}

// frame reads a response's frame.
func (r *raw) frame() ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(r.br, head[:]); err != nil {
		return nil, err
	}
	b := make([]byte, binary.BigEndian.Uint32(head[:]))
	_, err := io.ReadFull(r.br, b)
	return b, err
}

// receive reads the response of req, which must be the next one, to its last
// byte.
func (r *raw) receive(req kmsg.Request, correlation int32) kmsg.Response {
	r.t.Helper()
	b, err := r.frame()
	if err != nil {
		r.t.Fatalf("%s version %d: %v", kmsg.NameForKey(req.Key()), req.GetVersion(), err)
	}
	resp, err := parse(req, correlation, b)
	if err != nil {
		r.t.Fatalf("%s version %d: %v in %x", kmsg.NameForKey(req.Key()), req.GetVersion(), err, b)
	}
	return resp
}

func parse(req kmsg.Request, correlation int32, b []byte) (kmsg.Response, error) {
	if len(b) < 4 || int32(binary.BigEndian.Uint32(b)) != correlation {
		return nil, errors.New("another correlation id")
	}
	b = b[4:]
	resp := req.ResponseKind()
	if resp.IsFlexible() && req.Key() != kmsg.ApiVersions.Int16() {
		if len(b) == 0 || b[0] != 0 {
			return nil, errors.New("no tags in the header")
		}
		b = b[1:]
	}
	if err := resp.ReadFrom(b); err != nil {
		return nil, err
	}
	if again := resp.AppendTo(nil); len(again) != len(b) {
		return nil, fmt.Errorf("%d bytes, the message has %d", len(b), len(again))
	}
	return resp, nil
}

// ask sends a request and reads its response.
func (r *raw) ask(req kmsg.Request, version int16) kmsg.Response {
	r.t.Helper()
	return r.receive(req, r.send(req, version))
}

// closed checks that the server closes the connection without another byte.
func (r *raw) closed() {
	r.t.Helper()
	if b, err := r.frame(); err == nil {
		r.t.Errorf("an answer instead of the end of the connection: %x", b)
	} else if ne, ok := err.(net.Error); ok && ne.Timeout() {
		r.t.Error("the connection stays open")
	}
}
