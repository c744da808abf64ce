package broker_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/waxwing-mq/waxwing/internal/broker"
	"github.com/waxwing-mq/waxwing/internal/broker/queue"
	"github.com/waxwing-mq/waxwing/internal/datafile"
)

// consumer is a session that consumes and notes what it is told.
type consumer struct {
	f       *fixture
	session *broker.Session
	channel queue.ChannelID
	queue   queue.ID
	told    []string
	refs    []queue.Ref
	logs    []datafile.LogID
}

// Deliver implements broker.SessionSink.
func (c *consumer) Deliver(ds []queue.Delivery) {
	for _, d := range ds {
		text := fmt.Sprint(d.Ref.Offset)
		if d.Redelivered {
			text += " redelivered"
		}
		c.told = append(c.told, text)
		c.refs = append(c.refs, d.Ref)
		c.logs = append(c.logs, d.Log)
	}
}

// Cancelled implements broker.SessionSink.
func (c *consumer) Cancelled(gone []queue.Cancelled) {
	c.told = append(c.told, fmt.Sprint(len(gone), " cancelled"))
}

// newConsumer declares a queue, in which there are n messages, and a session that
// does not consume yet.
func newConsumer(f *fixture, name string, n int) *consumer {
	v, _ := f.VHost("/")
	c := &consumer{f: f, channel: f.NewChannelID()}
	c.session = v.NewSession(c)
	r, err := c.session.Call(context.Background(), &queue.Declare{Spec: queue.Spec{Name: name, Durable: true, Settings: queue.NoSettings()}})
	if err != nil {
		f.t.Fatal(err)
	}
	c.queue = r.(*queue.DeclareReply).Queue
	for range n {
		c.publish()
	}
	c.decide()
	c.flush()
	return c
}

func (c *consumer) subscribe(prefetch int) {
	cmd := &queue.Subscribe{Channel: c.channel, Consumer: c.f.NewConsumerID(), Queue: c.queue, Prefetch: prefetch}
	_, err := c.session.CallThen(context.Background(), cmd, func(queue.Reply) { c.told = append(c.told, "subscribed") })
	if err != nil {
		c.f.t.Fatal(err)
	}
}

func (c *consumer) submit(items ...broker.SessionItem) {
	b := &broker.SessionBatch{Items: items}
	b.Done = func(b *broker.SessionBatch) {
		if b.Err == nil {
			c.told = append(c.told, "done")
		}
	}
	if err := c.session.Submit(context.Background(), b); err != nil {
		c.f.t.Fatal(err)
	}
}

func (c *consumer) publish() {
	m := broker.Message{Body: []byte("m"), Time: c.f.clock.Now().UnixMilli()}
	c.submit(broker.SessionItem{Publish: &broker.Publish{
		Targets: []queue.ID{c.queue}, Message: queue.Message{Size: 1, ExpiresAfter: queue.None}, Batch: m.AppendBatch(nil),
	}})
}

// settle settles the n-th delivery.
func (c *consumer) settle(kind queue.SettleKind, n int) {
	r := c.refs[n]
	at := queue.Range{Queue: r.Queue, Level: r.Level, From: r.Offset, To: r.Offset + 1}
	c.submit(broker.SessionItem{Settle: &queue.Settle{Kind: kind, Channel: c.channel, Refs: []queue.Range{at}}})
}

func (c *consumer) decide() { c.f.Decide() }

func (c *consumer) flush() {
	if err := c.f.Flush(); err != nil {
		c.f.t.Fatal(err)
	}
}

// expect says what the session must have been told since the last call.
func (c *consumer) expect(when string, want ...string) {
	c.f.t.Helper()
	got := c.told
	c.told = nil
	if !slices.Equal(got, want) {
		c.f.t.Fatalf("%s: told %q, want %q", when, strings.Join(got, ", "), strings.Join(want, ", "))
	}
}

// TestDeliveryDoesNotWaitForTheAcknowledgement that made room for it: its message
// is durable.
func TestDeliveryDoesNotWaitForTheAcknowledgement(t *testing.T) {
	c := newConsumer(newFixture(t, 1), "q", 5)
	c.told = nil
	c.subscribe(2)
	c.expect("subscribed", "subscribed", "0", "1")
	c.settle(queue.Acknowledge, 0)
	c.decide()
	c.expect("an acknowledgement was decided", "2")
	c.settle(queue.Acknowledge, 1)
	c.settle(queue.Acknowledge, 2)
	c.decide()
	c.expect("two more were", "3", "4")
	c.flush()
	c.expect("all is durable", "done", "done", "done")
}

// TestDeliveryWaitsForWhatItShows: for its message, for the fact that it came
// back, for what was to be told before.
func TestDeliveryWaitsForWhatItShows(t *testing.T) {
	c := newConsumer(newFixture(t, 1), "q", 5)
	c.told = nil
	c.subscribe(2)
	c.expect("subscribed", "subscribed", "0", "1")

	c.settle(queue.Release, 0)
	c.decide()
	c.expect("a release was decided")
	c.settle(queue.Acknowledge, 1)
	c.decide()
	c.expect("2 may go out, but comes after 0")
	c.flush()
	c.expect("the release is durable", "0 redelivered", "done", "2", "done")

	c.settle(queue.Acknowledge, 2)
	c.settle(queue.Acknowledge, 3)
	c.decide()
	c.expect("room for two", "3", "4")
	c.settle(queue.Acknowledge, 4)
	c.decide()
	c.expect("room for one more")
	c.publish()
	c.decide()
	c.expect("a message was published, and is not durable")
	c.flush()
	c.expect("the message is durable", "done", "done", "done", "5", "done")
}

// TestDeliveryOfAnotherQueue: what one queue and session wait for holds up no
// other.
func TestDeliveryOfAnotherQueue(t *testing.T) {
	f := newFixture(t, 1)
	a, b := newConsumer(f, "a", 2), newConsumer(f, "b", 2)
	for _, c := range []*consumer{a, b} {
		c.told = nil
		c.subscribe(1)
		c.expect("subscribed", "subscribed", "0")
	}
	a.settle(queue.Release, 0)
	b.settle(queue.Acknowledge, 0)
	f.Decide()
	a.expect("a release was decided")
	b.expect("an acknowledgement was", "1")
	a.flush()
	a.expect("all is durable", "0 redelivered", "done")
	b.expect("all is durable", "done")
}

// TestDeliveryComesAfterTheAnswer: what a command brings about comes after its
// answer, though that waits and the message need not.
func TestDeliveryComesAfterTheAnswer(t *testing.T) {
	f := newFixture(t, 1)
	first := newConsumer(f, "q", 3)
	first.subscribe(1) // now the mark is ahead
	other := &consumer{f: f, channel: f.NewChannelID(), queue: first.queue}
	v, _ := f.VHost("/")
	other.session = v.NewSession(other)
	first.publish()
	f.Decide()
	other.subscribe(1)
	other.expect("subscribed while something is not durable", "subscribed", "1")
}

// TestDeliveriesRunAheadOfTheDiskWithinBounds: no further than the mark by which
// they are redelivered after a crash.
func TestDeliveriesRunAheadOfTheDiskWithinBounds(t *testing.T) {
	const messages = 200
	f := newFixture(t, 1)
	c := newConsumer(f, "q", messages)
	c.told = nil
	c.subscribe(1)
	n := 0
	for i := 0; i < len(c.refs); i++ {
		c.settle(queue.Acknowledge, i)
		c.decide()
		n = len(c.refs)
	}
	if n < 8 || n > 16 {
		t.Fatalf("%d deliveries went ahead of the disk, and the mark was at 16", n)
	}
	c.flush()
	if len(c.refs) != n+1 {
		t.Fatalf("%d deliveries, want the one that waited for the mark", len(c.refs)-n)
	}
}
