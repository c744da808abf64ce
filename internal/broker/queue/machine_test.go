package queue

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestMachine throws random commands, times and crashes at a machine and
// compares it with the model after each: who got what in which order, what was
// dropped and why, what is left. A crash loses some of the last entries, as many
// as were not yet durable.
func TestMachine(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld()
		actions := map[string]func(*rapid.T){"": w.check}
		for _, a := range []struct {
			name   string
			weight int
			do     func(*rapid.T)
		}{
			{"declare", 2, w.declare},
			{"publish", 8, w.publish},
			{"subscribe", 3, w.subscribe},
			{"settle", 8, w.settle},
			{"get", 3, w.get},
			{"acquire", 2, w.acquire},
			{"move", 4, w.move},
			{"commit", 2, w.commit},
			{"advance", 3, w.advance},
			{"channel", 3, w.channel},
			{"rare", 1, w.rare},
			{"crash", 1, w.crash},
		} {
			for i := range a.weight {
				actions[fmt.Sprint(a.name, " ", i)] = a.do
			}
		}
		t.Repeat(actions)
		w.drain(t)
		w.again(t)
	})
}

// world is a machine, its model, and what a crash may take back.
type world struct {
	m        *Machine
	model    *model
	replayed *Durable
	now      time.Time
	consumer ConsumerID
	settled  map[Ref]bool // whose bytes are not needed any more
	past     []moment     // since the last sync
	open     map[ChannelID]bool
	steps    []step
}

// step is one call and what came of it.
type step struct {
	now      time.Time
	cmd      Command // nil: a tick
	snapshot []byte  // of the machine that begins with this call
	stall    time.Duration
	outcome  string
}

func (w *world) note(s step, entry []byte, e *Effects, reply Reply) {
	s.outcome = showOutcome(entry, e, reply)
	w.steps = append(w.steps, s)
}

func showOutcome(entry []byte, e *Effects, reply Reply) string {
	return fmt.Sprintf("%x %+v %+v", entry, *e, reply)
}

// moment is what is there after one call.
type moment struct {
	snapshot []byte
	model    *model
}

func newWorld() *world {
	w := &world{now: start, replayed: NewDurable(), settled: map[Ref]bool{}, model: newModel(start.UnixMilli())}
	w.m = NewMachine(NewDurable(), w.now, firstLog)
	w.remember()
	return w
}

func (w *world) remember() {
	w.past = append(w.past, moment{w.m.Durable().Snapshot(nil), w.model.clone()})
}

// decide has the machine decide, and the model follow.
func (w *world) decide(t *rapid.T, cmd Command, follow func(Reply)) {
	before := w.m.Durable().Snapshot(nil)
	w.noteOpen()
	entry, effects, reply := w.m.Decide(w.now, cmd)
	w.note(step{now: w.now, cmd: cmd}, entry, effects, reply)
	if entry == nil && !bytes.Equal(before, w.m.Durable().Snapshot(nil)) {
		t.Fatalf("%T changed what is durable and logged nothing", cmd)
	}
	follow(reply)
	w.take(t, entry, effects)
}

func (w *world) take(t *rapid.T, entry []byte, e *Effects) {
	if entry != nil {
		if err := w.replayed.Apply(slices.Clone(entry)); err != nil {
			t.Fatalf("replay: %v", err)
		}
	}
	w.model.shed()
	w.model.activate()
	for i := range e.Deliveries {
		w.delivered(t, &e.Deliveries[i])
		w.model.activate()
	}
	w.unserved(t)
	w.model.leftovers()
	w.compareEffects(t, e)
	if rapid.IntRange(0, 3).Draw(t, "synced") == 0 {
		w.past = nil
	}
	w.remember()
}

// noteOpen remembers which channels may get messages. Consumers of one that is
// opened by a call are lined up behind those that were there.
func (w *world) noteOpen() {
	w.open = map[ChannelID]bool{}
	for id, ch := range w.model.channels {
		w.open[id] = w.model.isOpen(ch)
	}
}

// delivered checks a delivery to a consumer.
func (w *world) delivered(t *rapid.T, d *Delivery) {
	q := w.model.queues[d.Ref.Queue]
	if q == nil {
		t.Fatalf("%v: no such queue", d.Ref)
	}
	c := q.consumer(d.Consumer)
	if c == nil || c.channel.id != d.Channel || c.noAck != d.NoAck {
		t.Fatalf("%+v: no such consumer", d)
	}
	if !w.model.may(q, c) {
		t.Fatalf("%+v: the consumer may have no more", d)
	}
	for _, o := range q.consumers {
		if o.priority > c.priority && w.open[o.channel.id] && w.model.may(q, o) {
			t.Fatalf("%+v: consumer %d goes first", d, o.id)
		}
	}
	w.handed(t, q, d)
}

// handed checks a message that was delivered or got.
func (w *world) handed(t *rapid.T, q *modelQueue, d *Delivery) {
	msg := w.model.next(q)
	if msg == nil || msg.ref != d.Ref {
		t.Fatalf("%+v: want %+v", d, msg)
	}
	if d.Count != msg.count || !d.Redelivered && msg.delivered || d.Redelivered && !msg.delivered && !msg.restarted {
		t.Fatalf("%+v of %+v", d, msg)
	}
	if l, _ := q.level(w, d.Ref.Level); l != d.Log {
		t.Fatalf("%+v: log %d", d, l)
	}
	q.take(msg)
	if d.NoAck {
		w.model.settle(q, msg)
		return
	}
	w.model.order++
	msg.state, msg.channel, msg.consumer, msg.order, msg.delivered, msg.ripe = modelFlying, d.Channel, d.Consumer, w.model.order, true, 0
	msg.until = 0
}

// unserved checks that nobody waits for what is there.
func (w *world) unserved(t *rapid.T) {
	for _, id := range sortedKeys(w.model.queues) {
		q := w.model.queues[id]
		for _, c := range q.consumers {
			if w.model.may(q, c) && w.model.next(q) != nil {
				t.Fatalf("consumer %d does not get %v", c.id, w.model.next(q).ref)
			}
		}
	}
}

func (w *world) compareEffects(t *rapid.T, e *Effects) {
	var deleted []ID
	for _, d := range e.Deleted {
		deleted = append(deleted, d.Queue)
	}
	var cancelled []ConsumerID
	for _, c := range e.Cancelled {
		cancelled = append(cancelled, c.Consumer)
	}
	slices.Sort(deleted)
	slices.Sort(w.model.deleted)
	slices.Sort(cancelled)
	slices.Sort(w.model.cancelled)
	if !slices.Equal(deleted, w.model.deleted) || !slices.Equal(cancelled, w.model.cancelled) {
		t.Fatalf("deleted %v, want %v; cancelled %v, want %v", deleted, w.model.deleted, cancelled, w.model.cancelled)
	}
	dropped := map[modelDrop]int64{}
	for _, d := range e.Dropped {
		dropped[modelDrop{d.Queue, d.Reason}] += d.Messages
	}
	if len(dropped) != len(w.model.dropped) {
		t.Fatalf("dropped %v, want %v", dropped, w.model.dropped)
	}
	for d, n := range w.model.dropped {
		if dropped[d] != n {
			t.Fatalf("dropped %v, want %v", dropped, w.model.dropped)
		}
	}
	w.compareSettled(t, e)
	w.compareFetches(t, e)
	w.model.deleted, w.model.cancelled, w.model.dropped, w.model.gone = nil, nil, nil, nil
}

// compareSettled checks that the bytes of what is gone are given back, and no
// others.
func (w *world) compareSettled(t *rapid.T, e *Effects) {
	for _, s := range e.Settled {
		for o := s.From; o < s.To; o++ {
			ref, ok := w.refOf(s.Log, o)
			if !ok {
				continue // its queue was deleted in the same call
			}
			w.settled[ref] = true
			if q := w.model.queues[ref.Queue]; q != nil && q.find(ref) != nil {
				t.Fatalf("%v is settled, and needed", ref)
			}
		}
	}
	for _, ref := range w.model.gone {
		if w.model.queues[ref.Queue] != nil && !w.settled[ref] {
			t.Fatalf("%v is gone, and its bytes are not given back", ref)
		}
	}
}

func (w *world) compareFetches(t *rapid.T, e *Effects) {
	for _, f := range e.Fetches {
		q := w.model.queues[f.Ref.Queue]
		if q == nil {
			t.Fatalf("%v: no such queue", f)
		}
		msg := q.find(f.Ref)
		if msg == nil || msg.state != modelDoomed || msg.fetched || msg.paused > w.model.now || msg.reason != f.Reason || msg.count != f.Count {
			t.Fatalf("fetch %+v of %+v", f, msg)
		}
		msg.fetched, msg.paused = true, 0
	}
	for _, q := range w.model.queues {
		for _, msg := range q.messages {
			if msg.state == modelDoomed && !msg.fetched && msg.paused <= w.model.now {
				t.Fatalf("%v is doomed, and nobody asks for it", msg.ref)
			}
		}
	}
}

// check checks what holds between any two calls.
func (w *world) check(t *rapid.T) {
	d := w.m.Durable()
	if !d.Equal(w.replayed) {
		t.Fatalf("replay differs from live")
	}
	if d.Len() != len(w.model.queues) || len(w.m.queues) != d.Len() {
		t.Fatalf("%d queues, want %d", d.Len(), len(w.model.queues))
	}
	for id, q := range w.model.queues {
		w.compareQueue(t, w.m.queues[id], q)
	}
	w.checkChannels(t)
	w.checkDeadline(t)
	if at := w.m.NextDeadline(); !at.IsZero() && !at.After(w.now) {
		w.checkProgress(t)
	}
}

func (w *world) compareQueue(t *rapid.T, q *liveQueue, want *modelQueue) {
	i := q.info()
	var counts [4]int64
	bytes := int64(0)
	for state := range counts {
		n, b := want.count(modelState(state))
		counts[state] = n
		bytes += b
	}
	if got := [4]int64{i.Ready, i.Delayed, i.Unacknowledged, i.Moving}; got != counts || i.Bytes != bytes {
		t.Fatalf("queue %d: ready, delayed, in flight, moving %v, want %v; %d bytes, want %d", q.id, got, counts, i.Bytes, bytes)
	}
	if len(i.Consumers) != len(want.consumers) || len(want.consumers) > 0 && q.lease != 0 || q.lease != want.lease {
		t.Fatalf("queue %d: %d consumers, want %d; lease %d, want %d", q.id, len(i.Consumers), len(want.consumers), q.lease, want.lease)
	}
	alive := int64(0)
	for _, msg := range want.messages {
		l := q.level(msg.ref.Level)
		if l == nil || !l.alive(msg.ref.Offset) {
			t.Fatalf("%v is lost", msg.ref)
		}
	}
	for _, l := range q.levels {
		if l.next != want.next[l.priority] {
			t.Fatalf("queue %d: next %d, want %d", q.id, l.next, want.next[l.priority])
		}
		alive += l.unsettled(l.floor, l.next)
		if l.settled.contains(l.floor) || len(l.apart) > 0 && l.next == l.floor {
			t.Fatalf("queue %d: floor %d of %d", q.id, l.floor, l.next)
		}
	}
	if alive != int64(len(want.messages)) || q.count != alive {
		t.Fatalf("queue %d: %d messages, want %d", q.id, alive, len(want.messages))
	}
}

// checkChannels checks what the machine counts per channel.
func (w *world) checkChannels(t *rapid.T) {
	for _, ch := range w.m.channels {
		held, flights := 0, 0
		for f := ch.first; f != nil; f = f.next {
			held++
			if f.consumer != nil {
				flights++
			}
			if f.level.flights[f.offset] != f || f.channel != ch {
				t.Fatalf("a flight is lost")
			}
		}
		if held != ch.held || flights != ch.inFlight {
			t.Fatalf("channel %d: %d held, want %d; %d in flight, want %d", ch.id, ch.held, held, ch.inFlight, flights)
		}
	}
}

// checkDeadline makes sure that nothing that is due comes late.
func (w *world) checkDeadline(t *rapid.T) {
	due, next := w.model.due(), w.m.NextDeadline()
	if due != 0 && (next.IsZero() || next.UnixMilli() > due) {
		t.Fatalf("something is due at %d, the next tick at %v", due, next)
	}
}

// checkProgress makes sure that a machine that wants a Tick at once does not
// want one for ever.
func (w *world) checkProgress(t *rapid.T) {
	for range 3 {
		w.tick(t)
		if at := w.m.NextDeadline(); at.IsZero() || at.After(w.now) {
			return
		}
	}
	t.Fatalf("three ticks at %v and the next is still due", w.now)
}

func (w *world) tick(t *rapid.T) {
	w.model.now = w.now.UnixMilli()
	for _, id := range sortedKeys(w.model.queues) {
		if q := w.model.queues[id]; q.lease > 0 && q.lease <= w.model.now {
			w.model.delete(q)
		}
	}
	w.model.unlockAll()
	w.model.ripenAll()
	w.noteOpen()
	entry, effects := w.m.Tick(w.now)
	w.note(step{now: w.now}, entry, effects, nil)
	w.take(t, entry, effects)
}

// crash goes back to a moment since the last sync, and starts anew.
func (w *world) crash(t *rapid.T) {
	at := w.past[rapid.IntRange(0, len(w.past)-1).Draw(t, "moment")]
	d, err := restored(at.snapshot)
	if err != nil {
		t.Fatalf("restore: %v", err)
	}
	w.replayed, _ = restored(at.snapshot)
	w.m = NewMachine(d, w.now, firstLog)
	w.model = at.model.clone()
	w.model.now = w.now.UnixMilli()
	w.settled = map[Ref]bool{}
	w.past = nil
	w.model.restart()
	if next := w.m.NextDeadline(); next.After(w.now) {
		t.Fatalf("the first tick is due at %v", next)
	}
	entry, effects := w.m.Tick(w.now)
	w.note(step{now: w.now, snapshot: at.snapshot}, entry, effects, nil)
	w.take(t, entry, effects)
}

// drain ends well: everything that is left can be consumed, in the end.
func (w *world) drain(t *rapid.T) {
	w.pass(t, time.Hour)
	for _, id := range sortedKeys(w.model.channels) {
		w.closeChannel(t, w.model.channels[id])
	}
	for _, id := range sortedKeys(w.model.queues) {
		q := w.model.queues[id]
		if q == nil || q.spec.Exclusive != 0 {
			continue
		}
		n, _ := q.count(modelReady)
		for range n {
			w.getFrom(t, q, 99, 99, true)
		}
		if n, _ := q.count(modelReady); n != 0 {
			t.Fatalf("%d messages are left", n)
		}
	}
	w.check(t)
}

// again makes the same calls to another machine: the same must come of them, to
// the byte.
func (w *world) again(t *rapid.T) {
	m := NewMachine(NewDurable(), start, firstLog)
	for i, s := range w.steps {
		if s.snapshot != nil {
			d, _ := restored(s.snapshot)
			m = NewMachine(d, s.now, firstLog)
		}
		outcome := ""
		switch {
		case s.stall > 0:
			m.Resume(s.stall)
		case s.cmd != nil:
			outcome = showOutcome(m.Decide(s.now, s.cmd))
		default:
			entry, effects := m.Tick(s.now)
			outcome = showOutcome(entry, effects, nil)
		}
		if outcome != s.outcome {
			t.Fatalf("step %d, %T: the second time\n%s\nthe first time\n%s", i, s.cmd, outcome, s.outcome)
		}
	}
}
