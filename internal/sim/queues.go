package sim

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/waxwing-mq/waxwing/internal/broker"
	mq "github.com/waxwing-mq/waxwing/internal/broker/queue"
	"github.com/waxwing-mq/waxwing/internal/broker/route"
	"github.com/waxwing-mq/waxwing/internal/engine/mem"
)

// The queues of a run: a classic and a quorum queue, bound to a fanout exchange
// that publishes to both. What a publisher was confirmed is in each until it is
// settled; what was settled, and answered, never comes again.

var queueNames = []string{"classic", "quorum"}

// queueModel is what the clients know of a queue.
type queueModel struct {
	name    string
	waits   map[string]bool   // confirmed, and not known to be settled
	settled map[string]bool   // settled, and answered
	doubt   map[string]bool   // a settlement was not answered: it may be there or not
	seen    map[string]uint32 // delivered to the consumer, and how often it had come back
}

// work is the clients of the queues.
type work struct {
	queues  []*queueModel
	sent    map[string]bool
	session *broker.Session
	channel mq.ChannelID
	made    bool // the queues are there

	consumer *consumer // nil: none is there
}

type nobody struct{}

func (nobody) Deliver([]mq.Delivery)    {}
func (nobody) Cancelled([]mq.Cancelled) {}

func newWork() *work {
	k := &work{sent: map[string]bool{}}
	for _, name := range queueNames {
		k.queues = append(k.queues, &queueModel{name: name, waits: map[string]bool{}, settled: map[string]bool{}, doubt: map[string]bool{}, seen: map[string]uint32{}})
	}
	return k
}

// queueStep does one thing with the queues.
func (w *world) queueStep() {
	if !w.quiet() {
		return
	}
	k := w.work
	v, ok := w.b.VHost("/")
	w.must(ok, "the vhost is gone")
	if k.session == nil {
		k.session, k.channel = v.NewSession(nobody{}), w.b.NewChannelID()
	}
	if !k.made {
		w.declareQueues(v)
		return
	}
	for _, q := range k.queues {
		_, there := v.Queue(q.name)
		w.must(there, "queue %s is gone", q.name)
	}
	if w.one(2) {
		w.publishSome(v)
	} else {
		w.takeSome(v, k.queues[w.rng.IntN(len(k.queues))])
	}
}

// call is a command whose answer is durable. It reports false when the disk
// crashed instead.
func (w *world) call(cmd mq.Command) (mq.Reply, bool) {
	reply, err := w.work.session.Call(context.Background(), cmd)
	if err != nil && isFailed(err) {
		w.crash("in a queue command")
		return nil, false
	}
	w.note()
	return reply, err == nil
}

func (w *world) declareQueues(v *broker.VHost) {
	for i, name := range queueNames {
		spec := mq.Spec{Name: name, Kind: mq.Kind(i), Durable: true, Settings: mq.NoSettings()}
		reply, ok := w.call(&mq.Declare{Spec: spec})
		if !ok {
			return
		}
		w.must(reply.(*mq.DeclareReply).Err == mq.OK, "declare %s: %v", name, reply.(*mq.DeclareReply).Err)
	}
	for _, name := range queueNames {
		err := v.Bind(context.Background(), route.Bind{Source: "amq.fanout", Destination: route.Destination{Kind: route.ToQueue, Name: name}})
		if isFailed(err) {
			w.crash("while binding")
			return
		}
		w.note()
		if err != nil {
			return // the disk is full
		}
	}
	w.work.made = true
	w.logf("queues declared\n")
}

// publishSome publishes to both queues and waits for the confirm.
func (w *world) publishSome(v *broker.VHost) {
	k := w.work
	var r route.Result
	err := v.Match(&r, "amq.fanout", &route.Message{Keys: []string{""}})
	w.must(err == nil && len(r.Queues) == len(queueNames), "the exchange leads to %v, %v", r.Queues, err)
	var targets []mq.ID
	for _, name := range r.Queues {
		q, _ := v.Queue(name)
		targets = append(targets, q.ID)
	}
	b := &broker.SessionBatch{}
	var bodies []string
	for range 1 + w.rng.IntN(3) {
		w.names++
		body := fmt.Sprintf("m:%08d:%s", w.names, strings.Repeat("y", w.rng.IntN(900)))
		m := broker.Message{Exchange: "amq.fanout", Body: []byte(body), Time: w.now.UnixMilli()}
		k.sent[body] = true
		bodies = append(bodies, body)
		b.Items = append(b.Items, broker.SessionItem{Publish: &broker.Publish{
			Targets: targets, Message: mq.Message{Size: int64(len(body)), ExpiresAfter: mq.None}, Batch: m.AppendBatch(nil),
		}})
	}
	confirmed := false
	b.Done = func(b *broker.SessionBatch) { confirmed = b.Err == nil }
	if err := k.session.Submit(context.Background(), b); err != nil {
		return
	}
	if !w.quiet() {
		return
	}
	w.must(confirmed, "a batch is durable and not confirmed")
	for i, body := range bodies {
		if b.Items[i].Refused() {
			w.report.Refused++
			continue
		}
		w.report.Confirmed++
		for _, q := range k.queues {
			q.waits[body] = true
		}
	}
	w.logf("%d messages published\n", len(bodies))
}

// takeSome takes messages of a queue and settles them.
func (w *world) takeSome(v *broker.VHost, q *queueModel) {
	info, _ := v.Queue(q.name)
	for range 1 + w.rng.IntN(4) {
		ref, body, ok := w.take(q, info.ID)
		if !ok {
			return
		}
		kind := mq.Acknowledge
		if w.one(4) {
			kind = mq.Release
		}
		if kind == mq.Acknowledge {
			delete(q.waits, body)
			q.doubt[body] = true
		}
		at := mq.Range{Queue: ref.Queue, Level: ref.Level, From: ref.Offset, To: ref.Offset + 1}
		if _, ok := w.call(&mq.Settle{Kind: kind, Channel: w.work.channel, Refs: []mq.Range{at}}); !ok {
			return
		}
		if kind == mq.Acknowledge {
			delete(q.doubt, body)
			q.settled[body] = true
			w.report.Settled++
		}
		w.logf("%s: settled %d\n", q.name, ref.Offset)
	}
}

// take takes one message and checks that it may be there.
func (w *world) take(q *queueModel, id mq.ID) (mq.Ref, string, bool) {
	reply, ok := w.call(&mq.Get{Channel: w.work.channel, Queue: id})
	if !ok {
		return mq.Ref{}, "", false
	}
	got := reply.(*mq.GetReply)
	w.must(got.Err == mq.OK, "get from %s: %v", q.name, got.Err)
	if !got.Found {
		return mq.Ref{}, "", false
	}
	m, err := w.work.session.Messages().Read(context.Background(), got.Delivery.Log, got.Delivery.Ref.Offset)
	if errors.Is(err, mem.ErrCrashed) || errors.Is(err, mem.ErrIO) {
		w.crash("while reading a message")
		return mq.Ref{}, "", false
	}
	w.must(err == nil, "%s: message %d cannot be read: %v", q.name, got.Delivery.Ref.Offset, err)
	body := string(m.Body)
	w.must(w.work.sent[body], "%s: a message that nobody sent", q.name)
	w.must(!q.settled[body], "%s: message %.12s was settled, and comes again", q.name, body)
	return got.Delivery.Ref, body, true
}

// drainQueues takes everything and looks for what is missing or doubled.
func (w *world) drainQueues() {
	k := w.work
	if !k.made {
		return
	}
	v, _ := w.b.VHost("/")
	k.session, k.channel = v.NewSession(nobody{}), w.b.NewChannelID()
	for _, q := range k.queues {
		info, ok := v.Queue(q.name)
		w.must(ok, "queue %s is gone", q.name)
		came := map[string]bool{}
		for {
			_, body, ok := w.take(q, info.ID)
			if !ok {
				break
			}
			w.must(!came[body], "%s: message %.12s is there twice", q.name, body)
			came[body] = true
		}
		for body := range q.waits {
			w.must(came[body], "%s: message %.12s was confirmed and is gone", q.name, body)
		}
		w.logf("%s: %d messages left\n", q.name, len(came))
	}
}

// forgetSession is for after a crash: the connections are gone.
func (k *work) forgetSession() { k.session, k.consumer = nil, nil }
