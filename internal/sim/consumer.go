package sim

import (
	"context"
	"errors"

	"github.com/waxwing-mq/waxwing/internal/broker"
	mq "github.com/waxwing-mq/waxwing/internal/broker/queue"
	"github.com/waxwing-mq/waxwing/internal/engine/mem"
)

// consumer takes what the queues deliver, a few messages at once, and settles it
// without waiting. What it was shown once is there until it is settled, is
// redelivered when it comes again, and its count does not go back.
type consumer struct {
	w       *world
	session *broker.Session
	channel mq.ChannelID
	reader  *broker.MessageReader
	queues  map[mq.ConsumerID]*queueModel
	held    []heldMessage // oldest first
}

// heldMessage is one that was delivered and is not settled.
type heldMessage struct {
	q    *queueModel
	ref  mq.Ref
	body string
}

// prefetch is how many messages of each queue a consumer holds.
const prefetch = 3

// consumeStep subscribes, or settles some of what was delivered.
func (w *world) consumeStep() {
	k := w.work
	if !k.made {
		return
	}
	if k.consumer == nil {
		w.subscribe()
		return
	}
	c := k.consumer
	for range min(len(c.held), 1+w.rng.IntN(3)) {
		h := c.held[0]
		c.held = c.held[1:]
		c.settle(h, w.one(4))
	}
	w.decide()
}

// subscribe begins to consume both queues.
func (w *world) subscribe() {
	v, ok := w.b.VHost("/")
	w.must(ok, "the vhost is gone")
	c := &consumer{w: w, channel: w.b.NewChannelID(), queues: map[mq.ConsumerID]*queueModel{}}
	c.session = v.NewSession(c)
	c.reader = c.session.Messages()
	w.work.consumer = c
	for _, q := range w.work.queues {
		info, _ := v.Queue(q.name)
		cmd := &mq.Subscribe{Channel: c.channel, Consumer: w.b.NewConsumerID(), Queue: info.ID, Prefetch: prefetch}
		c.queues[cmd.Consumer] = q
		if _, err := c.session.Call(context.Background(), cmd); isFailed(err) {
			w.crash("while subscribing")
			return
		}
		w.note()
	}
}

// Deliver implements broker.SessionSink.
func (c *consumer) Deliver(ds []mq.Delivery) {
	w := c.w
	for i := range ds {
		d, q := &ds[i], c.queues[ds[i].Consumer]
		m, err := c.reader.Read(context.Background(), d.Log, d.Ref.Offset)
		if errors.Is(err, mem.ErrCrashed) || errors.Is(err, mem.ErrIO) {
			continue
		}
		w.must(err == nil, "%s: message %d was delivered and cannot be read: %v", q.name, d.Ref.Offset, err)
		body := string(m.Body)
		w.must(w.work.sent[body], "%s: a message that nobody sent", q.name)
		w.must(!q.settled[body], "%s: message %.12s was settled, and comes again", q.name, body)
		before, seen := q.seen[body]
		w.must(!seen || d.Redelivered, "%s: message %.12s was delivered before, and is not redelivered", q.name, body)
		w.must(d.Count >= before, "%s: message %.12s came back %d times, and now %d", q.name, body, before, d.Count)
		q.seen[body] = d.Count
		q.waits[body] = true
		c.held = append(c.held, heldMessage{q, d.Ref, body})
		w.report.Delivered++
		w.logf("%s: delivered %d\n", q.name, d.Ref.Offset)
	}
}

// Cancelled implements broker.SessionSink.
func (c *consumer) Cancelled([]mq.Cancelled) {}

// settle acknowledges a message, or gives it back.
func (c *consumer) settle(h heldMessage, back bool) {
	kind := mq.Acknowledge
	if back {
		kind = mq.Release
	} else {
		delete(h.q.waits, h.body)
		h.q.doubt[h.body] = true
	}
	at := mq.Range{Queue: h.ref.Queue, Level: h.ref.Level, From: h.ref.Offset, To: h.ref.Offset + 1}
	b := &broker.SessionBatch{Items: []broker.SessionItem{{Settle: &mq.Settle{Kind: kind, Channel: c.channel, Refs: []mq.Range{at}}}}}
	b.Done = func(b *broker.SessionBatch) {
		if b.Err == nil && !back {
			delete(h.q.doubt, h.body)
			h.q.settled[h.body] = true
			c.w.report.Settled++
		}
	}
	_ = c.session.Submit(context.Background(), b) // only an ended context fails
}
