package queue

import (
	"slices"
	"time"

	"github.com/waxwing-mq/waxwing/internal/datafile"
	"pgregory.net/rapid"
)

// level returns the log of a level.
func (q *modelQueue) level(w *world, priority uint8) (datafile.LogID, bool) {
	lq := w.m.queues[q.id]
	if lq == nil || lq.level(priority) == nil {
		return 0, false
	}
	return lq.level(priority).log, true
}

// refOf returns which message of a queue that is there lies at a place.
func (w *world) refOf(log datafile.LogID, o int64) (Ref, bool) {
	for _, q := range w.m.queues {
		for _, l := range q.levels {
			if l.log == log {
				return l.ref(o), true
			}
		}
	}
	return Ref{}, false
}

var (
	queueNames = rapid.SampledFrom([]string{"a", "a", "b", "b", "c"})
	shortTimes = rapid.SampledFrom([]time.Duration{None, None, None, None, 0, time.Second, 2 * time.Second, 5 * time.Second})
	delays     = rapid.SampledFrom([]time.Duration{0, 0, 0, 0, 0, time.Second, 3 * time.Second})
)

// anyQueue draws a queue that is there.
func (w *world) anyQueue(t *rapid.T) *modelQueue {
	if len(w.model.queues) == 0 {
		w.declare(t)
	}
	if len(w.model.queues) == 0 {
		t.Skip("no queue")
	}
	return w.model.queues[rapid.SampledFrom(sortedKeys(w.model.queues)).Draw(t, "queue")]
}

// anyChannel draws a channel, 1 to 4; the even ones belong to connection 2.
func anyChannel(t *rapid.T) (ConnectionID, ChannelID) {
	n := rapid.IntRange(1, 4).Draw(t, "channel")
	return ConnectionID(2 - n%2), ChannelID(n)
}

func (m *model) channel(conn ConnectionID, id ChannelID) *modelChannel {
	ch := m.channels[id]
	if ch == nil {
		m.born++
		ch = &modelChannel{id: id, connection: conn, born: m.born}
		m.channels[id] = ch
	}
	return ch
}

func (w *world) declare(t *rapid.T) {
	conn, _ := anyChannel(t)
	c := &Declare{Connection: conn, Spec: Spec{
		VHost: "/", Name: queueNames.Draw(t, "name"),
		Kind:    rapid.SampledFrom([]Kind{Classic, Quorum}).Draw(t, "kind"),
		Durable: rapid.IntRange(0, 9).Draw(t, "durable") > 0, AutoDelete: rapid.IntRange(0, 9).Draw(t, "auto-delete") == 0,
		Settings: someSettings(t),
	}}
	if rapid.IntRange(0, 9).Draw(t, "exclusive") == 0 {
		c.Spec.Exclusive = conn
	}
	var old *modelQueue
	for _, q := range w.model.queues {
		if q.spec.Name == c.Spec.Name {
			old = q
		}
	}
	w.decide(t, c, func(reply Reply) {
		r := reply.(*DeclareReply)
		switch {
		case old == nil:
			if r.Err != OK || !r.Created || r.Queue != w.model.nextID {
				t.Fatalf("declare: %+v, want %d", r, w.model.nextID)
			}
			w.model.nextID++
			q := &modelQueue{id: r.Queue, spec: c.Spec, next: map[uint8]int64{}, younger: map[int64]int64{}}
			w.model.queues[r.Queue] = q
			w.model.used(q)
		case old.spec.Exclusive != 0 && old.spec.Exclusive != conn:
			if r.Err != Locked {
				t.Fatalf("declare again: %+v", r)
			}
		case old.spec.Kind != c.Spec.Kind || old.spec.Durable != c.Spec.Durable ||
			old.spec.AutoDelete != c.Spec.AutoDelete || (old.spec.Exclusive != 0) != (c.Spec.Exclusive != 0):
			if r.Err != Inequivalent {
				t.Fatalf("declare again: %+v", r)
			}
		default:
			if n, _ := old.count(modelReady); r.Err != OK || r.Created || r.Ready != n || r.Consumers != len(old.consumers) {
				t.Fatalf("declare again: %+v", r)
			}
			w.model.used(old)
		}
	})
}

func someSettings(t *rapid.T) Settings {
	s := NoSettings()
	s.HasDeadLetter = rapid.Bool().Draw(t, "dead letters")
	s.MaxPriority = rapid.SampledFrom([]uint8{0, 0, 2}).Draw(t, "max priority")
	s.TTL = shortTimes.Draw(t, "ttl")
	s.Expires = rapid.SampledFrom([]time.Duration{0, 0, 0, 4 * time.Second}).Draw(t, "expires")
	s.MaxLength = rapid.SampledFrom([]int64{None, None, None, 3, 0}).Draw(t, "max length")
	s.MaxBytes = rapid.SampledFrom([]int64{None, None, None, 10}).Draw(t, "max bytes")
	s.Overflow = rapid.SampledFrom([]Overflow{DropHead, RejectPublish, RejectPublishDeadLetter}).Draw(t, "overflow")
	s.DeliveryLimit = rapid.SampledFrom([]int32{None, None, 0, 2}).Draw(t, "delivery limit")
	s.SingleActive = rapid.IntRange(0, 4).Draw(t, "single active") == 0
	s.DedupWindow = rapid.SampledFrom([]int32{0, 2}).Draw(t, "dedup window")
	return s
}

func (w *world) someMessage(t *rapid.T) Message {
	msg := Message{
		Priority: rapid.SampledFrom([]uint8{0, 0, 1, 2, 9}).Draw(t, "priority"), Size: rapid.Int64Range(0, 6).Draw(t, "size"),
		ExpiresAfter: shortTimes.Draw(t, "message ttl"), Transient: rapid.IntRange(0, 3).Draw(t, "transient") == 0,
		DedupID: rapid.SampledFrom([]string{"", "", "x", "y", "z"}).Draw(t, "dedup id"),
	}
	if d := delays.Draw(t, "delay"); d > 0 {
		msg.NotBefore = w.now.Add(d)
	}
	return msg
}

// someTargets draws queues, each once, one of which may not be there.
func (w *world) someTargets(t *rapid.T) (ids []ID) {
	for _, id := range sortedKeys(w.model.queues) {
		if rapid.IntRange(0, 2).Draw(t, "target") > 0 {
			ids = append(ids, id)
		}
	}
	if rapid.IntRange(0, 9).Draw(t, "gone") == 0 {
		ids = append(ids, 1000)
	}
	return ids
}

func (w *world) publish(t *rapid.T) {
	c := &Publish{Targets: w.someTargets(t), Message: w.someMessage(t)}
	w.decide(t, c, func(reply Reply) { w.placed(t, c.Targets, &c.Message, reply.(*PublishReply).Placed) })
}

// placed compares what became of a message at its targets.
func (w *world) placed(t *rapid.T, targets []ID, msg *Message, placed []Placed) {
	if len(placed) != len(targets) {
		t.Fatalf("placed %v, want %v", placed, targets)
	}
	for i, p := range placed {
		if want := w.model.append(targets[i], msg); p.Queue != targets[i] || p.Outcome != want {
			t.Fatalf("placed %+v, want %v", p, want)
		}
	}
}

func (w *world) subscribe(t *rapid.T) {
	q := w.anyQueue(t)
	conn, ch := anyChannel(t)
	w.consumer++
	c := &Subscribe{
		Connection: conn, Channel: ch, Consumer: w.consumer, Queue: q.id,
		Prefetch: rapid.IntRange(0, 3).Draw(t, "prefetch"), NoAck: rapid.IntRange(0, 5).Draw(t, "no-ack") == 0,
		Exclusive: rapid.IntRange(0, 9).Draw(t, "exclusive") == 0, Priority: rapid.SampledFrom([]int32{0, 0, 1, -1}).Draw(t, "priority"),
	}
	w.decide(t, c, func(reply Reply) {
		err := reply.(*SubscribeReply).Err
		want := q.lockedFor(conn)
		if want == OK {
			w.model.channel(conn, ch)
			if len(q.consumers) > 0 && (c.Exclusive || q.consumers[0].exclusive) {
				want = ExclusiveUse
			}
		}
		if err != want {
			t.Fatalf("subscribe: %v, want %v", err, want)
		}
		if err == OK {
			limit := c.Prefetch
			if limit == 0 {
				limit = InFlightMax
			}
			q.consumers = append(q.consumers, &modelConsumer{c.Consumer, w.model.channel(conn, ch), limit, c.NoAck, c.Exclusive, c.Priority})
			w.model.used(q)
		}
	})
}

func (q *modelQueue) lockedFor(conn ConnectionID) Fault {
	if q.spec.Exclusive != 0 && q.spec.Exclusive != conn {
		return Locked
	}
	return OK
}

// someSettle draws what becomes of some messages, of which the channel may hold
// none.
func (w *world) someSettle(t *rapid.T) *Settle {
	c := &Settle{
		Kind:      rapid.SampledFrom([]SettleKind{Acknowledge, Acknowledge, Release, Reject}).Draw(t, "kind"),
		Uncounted: rapid.IntRange(0, 4).Draw(t, "uncounted") == 0,
	}
	if d := delays.Draw(t, "delay"); d > 0 {
		c.NotBefore = w.now.Add(d)
	}
	var flying []*modelMessage
	for _, id := range sortedKeys(w.model.queues) {
		for _, msg := range w.model.queues[id].messages {
			if msg.state == modelFlying {
				flying = append(flying, msg)
			}
		}
	}
	if len(flying) == 0 || rapid.IntRange(0, 9).Draw(t, "wrong") == 0 {
		c.Channel = 1
		c.Refs = []Range{{ID(rapid.IntRange(1, 4).Draw(t, "any queue")), 0, 0, 4}, {1, 7, 3, 4}}
		return c
	}
	c.Channel = rapid.SampledFrom(flying).Draw(t, "message").channel
	for _, msg := range flying {
		if msg.channel == c.Channel && rapid.IntRange(0, 2).Draw(t, "this") > 0 {
			c.Refs = append(c.Refs, Range{msg.ref.Queue, msg.ref.Level, msg.ref.Offset, msg.ref.Offset + 1})
		}
	}
	if len(c.Refs) > 1 && rapid.Bool().Draw(t, "backwards") {
		slices.Reverse(c.Refs)
	}
	return c
}

func (w *world) settle(t *rapid.T) {
	c := w.someSettle(t)
	w.decide(t, c, func(reply Reply) {
		if got, want := reply.(*SettleReply).Unknown, w.model.land(c); got != want {
			t.Fatalf("%d unknown, want %d", got, want)
		}
	})
}

func (w *world) commit(t *rapid.T) {
	c := &Commit{}
	for range rapid.IntRange(0, 3).Draw(t, "publishes") {
		c.Publishes = append(c.Publishes, Publish{w.someTargets(t), w.someMessage(t)})
	}
	for range rapid.IntRange(0, 2).Draw(t, "settles") {
		c.Settles = append(c.Settles, *w.someSettle(t))
	}
	w.decide(t, c, func(reply Reply) {
		r := reply.(*CommitReply)
		unknown := int64(0)
		for i := range c.Publishes {
			w.placed(t, c.Publishes[i].Targets, &c.Publishes[i].Message, r.Placed[i])
		}
		for i := range c.Settles {
			unknown += w.model.land(&c.Settles[i])
		}
		if r.Unknown != unknown {
			t.Fatalf("%d unknown, want %d", r.Unknown, unknown)
		}
	})
}

func (w *world) get(t *rapid.T) {
	conn, ch := anyChannel(t)
	w.getFrom(t, w.anyQueue(t), conn, ch, rapid.Bool().Draw(t, "no-ack"))
}

func (w *world) getFrom(t *rapid.T, q *modelQueue, conn ConnectionID, ch ChannelID, noAck bool) {
	c := &Get{Connection: conn, Channel: ch, Queue: q.id, NoAck: noAck}
	w.decide(t, c, func(reply Reply) {
		r := reply.(*GetReply)
		if want := q.lockedFor(conn); r.Err != want || want != OK {
			if r.Err != want {
				t.Fatalf("get: %v, want %v", r.Err, want)
			}
			return
		}
		w.model.channel(conn, ch)
		w.model.used(q)
		if r.Found {
			w.handed(t, q, &r.Delivery)
			if q.spec.Kind == Classic || noAck {
				w.model.expire(q, w.model.now)
			}
		} else if msg := w.model.next(q); msg != nil {
			t.Fatalf("%v is there and was not got", msg.ref)
		}
		left, _ := q.count(modelReady)
		if r.Found && r.Ready != left {
			t.Fatalf("%d are left, want %d", r.Ready, left)
		}
	})
}

// acquire takes some messages for a time.
func (w *world) acquire(t *rapid.T) {
	conn, ch := anyChannel(t)
	q := w.anyQueue(t)
	c := &Acquire{
		Connection: conn, Channel: ch, Queue: q.id, Max: rapid.IntRange(0, 4).Draw(t, "max"),
		Lock: rapid.SampledFrom([]time.Duration{0, time.Second, 2 * time.Second, 5 * time.Second}).Draw(t, "lock"),
	}
	w.decide(t, c, func(reply Reply) {
		r := reply.(*AcquireReply)
		if want := q.lockedFor(conn); r.Err != want || want != OK {
			if r.Err != want {
				t.Fatalf("acquire: %v, want %v", r.Err, want)
			}
			return
		}
		w.model.channel(conn, ch)
		w.model.used(q)
		for i := range r.Deliveries {
			d := &r.Deliveries[i]
			w.handed(t, q, d)
			if c.Lock > 0 {
				q.find(d.Ref).until = w.model.now + c.Lock.Milliseconds()
			}
		}
		if len(r.Deliveries) < c.Max {
			if msg := w.model.next(q); msg != nil {
				t.Fatalf("%v is there and was not acquired", msg.ref)
			}
		}
	})
}

// move has a fetched message moved, or not.
func (w *world) move(t *rapid.T) {
	var fetched []*modelMessage
	for _, id := range sortedKeys(w.model.queues) {
		for _, msg := range w.model.queues[id].messages {
			if msg.fetched && msg.state == modelDoomed {
				fetched = append(fetched, msg)
			}
		}
	}
	if len(fetched) == 0 {
		w.decide(t, &MoveFailed{Ref{1, 0, 0}}, func(Reply) {})
		return
	}
	msg := rapid.SampledFrom(fetched).Draw(t, "message")
	q := w.model.queues[msg.ref.Queue]
	if rapid.IntRange(0, 3).Draw(t, "fails") == 0 {
		w.decide(t, &MoveFailed{msg.ref}, func(Reply) { w.pause(msg) })
		return
	}
	c := &Move{Ref: msg.ref, Targets: w.someTargets(t), Message: w.someMessage(t)}
	w.decide(t, c, func(reply Reply) {
		r := reply.(*MoveReply)
		refused, there := false, len(c.Targets) == 0
		for _, id := range c.Targets {
			switch w.model.outcome(w.model.queues[id], &c.Message) {
			case RejectedFull, RejectedDeadLetter:
				refused = true
			case Accepted, Repeated:
				there = true
			}
		}
		if refused || !there {
			if r.Err != Refused {
				t.Fatalf("move: %+v, want it refused", r)
			}
			w.pause(msg)
			return
		}
		if r.Err != OK {
			t.Fatalf("move: %+v", r)
		}
		w.model.settle(q, msg)
		w.placed(t, c.Targets, &c.Message, r.Placed)
	})
}

func (w *world) pause(msg *modelMessage) {
	msg.fetched, msg.paused = false, w.model.now+movePause
}

func (w *world) advance(t *rapid.T) {
	w.pass(t, rapid.SampledFrom([]time.Duration{time.Millisecond, 500 * time.Millisecond, time.Second, 3 * time.Second}).Draw(t, "time"))
}

// pass lets time go by, with a Tick at each deadline.
func (w *world) pass(t *rapid.T, d time.Duration) {
	end := w.now.Add(d)
	for w.now.Before(end) {
		w.now = end
		if next := w.m.NextDeadline(); !next.IsZero() && next.Before(end) {
			w.now = next
		}
		w.tick(t)
		w.check(t)
	}
}

// channel changes what a channel may have.
func (w *world) channel(t *rapid.T) {
	conn, id := anyChannel(t)
	switch rapid.IntRange(0, 2).Draw(t, "what") {
	case 0:
		c := &Prefetch{conn, id, rapid.IntRange(0, 3).Draw(t, "limit")}
		w.decide(t, c, func(Reply) { w.model.channel(conn, id).limit = c.Limit })
	case 1:
		c := &Flow{conn, id, rapid.Bool().Draw(t, "stopped")}
		w.decide(t, c, func(Reply) { w.model.channel(conn, id).stopped = c.Stopped })
	case 2:
		w.cancel(t)
	}
}

func (w *world) cancel(t *rapid.T) {
	q := w.anyQueue(t)
	id := ConsumerID(1000)
	if len(q.consumers) > 0 {
		id = rapid.SampledFrom(q.consumers).Draw(t, "consumer").id
	}
	w.decide(t, &Cancel{id}, func(Reply) {
		if c := q.consumer(id); c != nil {
			remove(&q.consumers, c)
			w.model.left(q)
		}
	})
}

// rare does one of the things that end most conversations.
func (w *world) rare(t *rapid.T) {
	conn, id := anyChannel(t)
	switch rapid.IntRange(0, 4).Draw(t, "rare") {
	case 0:
		w.closeChannel(t, w.model.channel(conn, id))
	case 1:
		w.closeConnection(t, conn)
	case 2:
		w.delete(t, conn)
	case 3:
		w.purge(t, conn)
	case 4:
		w.stall(t)
	}
}

func (w *world) closeChannel(t *rapid.T, ch *modelChannel) {
	w.decide(t, &CloseChannel{ch.id}, func(Reply) {
		w.model.drain(ch)
		w.model.closeChannel(ch)
	})
}

func (w *world) closeConnection(t *rapid.T, conn ConnectionID) {
	w.decide(t, &CloseConnection{conn}, func(Reply) {
		var own []*modelChannel
		for _, id := range sortedKeys(w.model.channels) {
			if ch := w.model.channels[id]; ch.connection == conn {
				own = append(own, ch)
				w.model.drain(ch)
			}
		}
		slices.SortFunc(own, func(a, b *modelChannel) int { return a.born - b.born })
		for _, id := range sortedKeys(w.model.queues) {
			if q := w.model.queues[id]; q.spec.Exclusive == conn {
				w.model.delete(q)
			}
		}
		for _, ch := range own {
			w.model.closeChannel(ch)
		}
	})
}

func (w *world) delete(t *rapid.T, conn ConnectionID) {
	q := w.anyQueue(t)
	c := &Delete{conn, q.id, rapid.Bool().Draw(t, "if unused"), rapid.Bool().Draw(t, "if empty")}
	w.decide(t, c, func(reply Reply) {
		n, _ := q.count(modelReady)
		want := q.lockedFor(conn)
		switch {
		case want != OK:
		case c.IfUnused && len(q.consumers) > 0:
			want = InUse
		case c.IfEmpty && n > 0:
			want = NotEmpty
		}
		if r := reply.(*DeleteReply); r.Err != want || want == OK && r.Ready != n {
			t.Fatalf("delete: %+v, want %v, %d", r, want, n)
		}
		if want == OK {
			w.model.delete(q)
		}
	})
}

func (w *world) purge(t *rapid.T, conn ConnectionID) {
	q := w.anyQueue(t)
	w.decide(t, &Purge{conn, q.id}, func(reply Reply) {
		n, _ := q.count(modelReady)
		want := q.lockedFor(conn)
		if r := reply.(*PurgeReply); r.Err != want || want == OK && r.Purged != n {
			t.Fatalf("purge: %+v, want %v, %d", r, want, n)
		}
		if want == OK {
			q.taken = 0
		}
		for _, msg := range slices.Clone(q.messages) {
			if want == OK && msg.state == modelReady {
				w.model.settle(q, msg)
			}
		}
	})
}

func (w *world) stall(t *rapid.T) {
	d := 2 * time.Second
	w.m.Resume(d)
	w.steps = append(w.steps, step{stall: d})
	for _, q := range w.model.queues {
		if q.lease > 0 {
			q.lease += d.Milliseconds()
		}
	}
	w.now = w.now.Add(d)
	w.tick(t)
}
