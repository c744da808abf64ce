// Package bustest is the suite that every implementation of bus passes, against
// every broker that it is for.
package bustest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/waxwing-mq/waxwing/bus"
)

// A Peer is an implementation and a broker.
type Peer struct {
	// New is a new bus to the broker. The suite closes it.
	New func(t *testing.T) bus.Bus
	// Log says that what it reads is a log: groups read independently of each other,
	// and messages have positions.
	Log bool
	// Refusing is a bus, and a message for the topic, or one that is derived from it,
	// that it or the broker refuses. The suite closes the bus.
	Refusing func(t *testing.T, topic string) (bus.Bus, bus.Message)
	// Restart stops the broker as roughly as it can be and starts it on what it has
	// stored; nil if that is not possible.
	Restart func(t *testing.T)
}

const patience = 30 * time.Second // for what should take less than a second

// Run runs the suite.
func Run(t *testing.T, p Peer) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, Peer)
	}{
		{"attributes", attributes}, {"large batch", largeBatch}, {"order per key", orderPerKey}, {"lanes", lanes},
		{"partitions as lanes", partitionsAsLanes}, {"batches", batches}, {"batches that fail", batchesFail}, {"retry", retry}, {"crash", crash}, {"takeover", takeover},
		{"refused", refused}, {"end", end}, {"restart", restart},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, p) })
	}
}

// open is a bus that is closed when t ends.
func (p Peer) open(t *testing.T) bus.Bus {
	t.Helper()
	b := p.New(t)
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return b
}

// topic is a name that nobody has used.
func topic(t *testing.T) string {
	name := t.Name()[strings.LastIndexByte(t.Name(), '/')+1:]
	return "bus-" + name + "-" + strings.ToLower(rand.Text()[:8])
}

// publish fails t unless all messages are durable.
func publish(t *testing.T, b bus.Bus, msgs ...bus.Message) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := b.Publish(ctx, msgs); err != nil {
		t.Fatalf("Publish: %v", err)
	}
}

// numbered are messages of a topic that take turns among some keys, with ids from
// 1 on.
func numbered(topic string, keys, n int) (out []bus.Message) {
	for i := range n {
		out = append(out, bus.Message{Topic: topic, Key: fmt.Sprint("key-", i%keys), ID: fmt.Sprint(i + 1), Body: []byte("body")})
	}
	return out
}

// A seen is what came, in order.
type seen struct {
	mu     sync.Mutex
	all    []bus.Delivery
	change chan struct{} // closed when one more came
}

func newSeen() *seen { return &seen{change: make(chan struct{})} }

// add notes a delivery.
func (s *seen) add(d *bus.Delivery) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = append(s.all, *d)
	close(s.change)
	s.change = make(chan struct{})
}

// snapshot is what came until now.
func (s *seen) snapshot() []bus.Delivery {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]bus.Delivery(nil), s.all...)
}

// await waits until what came is enough.
func (s *seen) await(t *testing.T, what string, enough func([]bus.Delivery) bool) []bus.Delivery {
	t.Helper()
	deadline := time.After(patience)
	for {
		s.mu.Lock()
		change := s.change
		s.mu.Unlock()
		if now := s.snapshot(); enough(now) {
			return now
		}
		select {
		case <-change:
		case <-time.After(20 * time.Millisecond): // enough may ask for more than what came
		case <-deadline:
			t.Fatalf("%s: not within %v; %d came", what, patience, len(s.snapshot()))
		}
	}
}

// awaitIDs waits until messages with that many different ids came.
func (s *seen) awaitIDs(t *testing.T, n int) []bus.Delivery {
	t.Helper()
	return s.await(t, fmt.Sprintf("%d messages", n), func(all []bus.Delivery) bool { return len(firsts(all)) >= n })
}

// firsts are the deliveries whose id did not come before.
func firsts(all []bus.Delivery) (out []bus.Delivery) {
	had := map[string]bool{}
	for _, d := range all {
		if !had[d.ID] {
			had[d.ID] = true
			out = append(out, d)
		}
	}
	return out
}

// inOrder fails t unless ids grow within each key, what came again left out.
func inOrder(t *testing.T, all []bus.Delivery) {
	t.Helper()
	last := map[string]int{}
	for _, d := range firsts(all) {
		var id int
		if _, err := fmt.Sscan(d.ID, &id); err != nil {
			t.Fatal(err)
		}
		if id <= last[d.Key] {
			t.Errorf("key %q: %d came after %d", d.Key, id, last[d.Key])
		}
		last[d.Key] = id
	}
}

// subscribe runs a subscription, with a handler of one message, until the function
// that it returns is called, which waits for its end, or t ends.
func subscribe(t *testing.T, b bus.Bus, s bus.Subscription, h func(context.Context, *bus.Delivery) error) (stop func()) {
	t.Helper()
	return subscribeBatches(t, b, s, bus.Each(h))
}

// subscribeBatches is subscribe with a handler of several.
func subscribeBatches(t *testing.T, b bus.Bus, s bus.Subscription, h bus.Handler) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- b.Subscribe(ctx, s, h) }()
	stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("Subscribe: %v", err)
			}
		case <-time.After(patience):
			t.Errorf("Subscribe did not end within %v", patience)
		}
	})
	t.Cleanup(stop)
	return stop
}

// one is a subscription of one topic, with a pause between attempts that suits a
// test.
func one(topic string, lanes int) bus.Subscription {
	return bus.Subscription{Group: "g-" + topic, Topics: []string{topic}, Lanes: lanes, RetryMin: 5 * time.Millisecond, RetryMax: 50 * time.Millisecond}
}

var errHandler = errors.New("the handler fails")
