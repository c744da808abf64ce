package broker

import (
	"context"
	"sync"
	"time"

	"github.com/waxwing-mq/waxwing/internal/broker/queue"
	"github.com/waxwing-mq/waxwing/internal/broker/route"
	"github.com/waxwing-mq/waxwing/internal/journal"
	"github.com/waxwing-mq/waxwing/internal/record"
)

// Letter is a message that leaves its queue otherwise than by an
// acknowledgement, and is to be dead-lettered.
type Letter struct {
	Queue   *QueueInfo
	Message Message
	Reason  queue.Reason
	Count   uint32 // how often it came back
	Now     int64  // ms
}

// Redirect says how a dead letter goes on: it is published anew.
type Redirect struct {
	Exchange string
	Route    route.Message
	Due      time.Time // when it is ready, if an exchange delays it
	Meta     queue.Message
	Message  Message // as it is stored
	// Avoid says to which queues the letter must not go: it would go round in
	// circles. Nil avoids none.
	Avoid func(queue string) bool
}

// Protocol is what the broker needs to know of the protocol that queues are
// used by, which it does not speak itself.
type Protocol interface {
	// DeadLetter makes of a letter what is published instead. It reports
	// false when the letter is to be dropped.
	DeadLetter(Letter) (Redirect, bool)
	// FromRecord makes a message of a topic's record. It keeps nothing of r.
	FromRecord(topic string, r record.Record) Routed
	// ToRecord makes of a message the record that a stream queue keeps. It
	// may alias m.
	ToRecord(m *Message) record.Record
}

// SetProtocol says who knows the protocol of the queues. Until it is called
// dead letters, and the records of topics that are to be routed, wait.
func (b *Broker) SetProtocol(p Protocol) {
	for _, s := range b.shards {
		s.mover.set(p)
		s.puller.set(p)
	}
}

// mover moves dead letters: it reads a message, has it addressed, and comes
// back to the sequencer with its bytes. Adding and settling are one entry, so
// a letter is never lost, and after a crash it is fetched again. Streams, which may
// be in other shards, get it before that: a crash in between makes them get it
// twice.
type mover struct {
	s *shard

	mu       sync.Mutex
	how      Protocol
	waiting  []queue.Fetch
	refused  []refusedLetter
	streamed map[queue.Ref]struct{} // letters that the streams have, but not the queues
	wake     chan struct{}
	stop     chan struct{}
	once     sync.Once
}

func newMover(s *shard) *mover {
	return &mover{s: s, streamed: map[queue.Ref]struct{}{}, wake: make(chan struct{}, 1), stop: make(chan struct{})}
}

func (m *mover) set(d Protocol) {
	m.mu.Lock()
	m.how = d
	m.mu.Unlock()
	m.kick()
}

func (m *mover) add(fs []queue.Fetch) {
	m.mu.Lock()
	m.waiting = append(m.waiting, fs...)
	m.mu.Unlock()
	m.kick()
}

// refusedLetter is a message that a full queue did not take, and wants to be
// dead-lettered. It is in no queue, so a crash may lose it: its publisher was
// told that it was refused.
type refusedLetter struct {
	queue queue.ID
	batch []byte
}

func (m *mover) addRefused(ls []refusedLetter) {
	m.mu.Lock()
	m.refused = append(m.refused, ls...)
	m.mu.Unlock()
	m.kick()
}

func (m *mover) kick() {
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// halt ends run.
func (m *mover) halt() { m.once.Do(func() { close(m.stop) }) }

// run is the goroutine. halt stops it.
func (m *mover) run() {
	defer m.s.stopped.Done()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	messages := newMessageReader(m.s)
	for {
		select {
		case <-m.stop:
			return
		case <-m.wake:
		}
		m.step(ctx, messages)
	}
}

// step moves what waits.
func (m *mover) step(ctx context.Context, messages *MessageReader) {
	m.mu.Lock()
	how := m.how
	var fs []queue.Fetch
	var refused []refusedLetter
	if how != nil {
		fs, m.waiting = m.waiting, nil
		refused, m.refused = m.refused, nil
	}
	m.mu.Unlock()
	for _, l := range refused {
		m.publish(ctx, how, l)
	}
	for _, f := range fs {
		m.move(ctx, m.command(ctx, messages, how, f))
	}
}

// move has the streams get a letter, and once it is durable there, the queues.
func (m *mover) move(ctx context.Context, c *moveCommand) {
	if len(c.appends) == 0 || m.isStreamed(c.ref) {
		m.s.inbox.put(ctx, control, c, 0)
		return
	}
	m.s.b.Append(ctx, &AppendRequest{Items: c.appends, Done: func(req *AppendRequest) {
		for i := range req.Items {
			c.failed = c.failed || req.Items[i].Err != nil
		}
		if !c.failed && len(c.targets) > 0 {
			m.noteStreamed(c.ref)
		}
		m.s.inbox.put(context.Background(), control, c, 0)
	}})
}

func (m *mover) isStreamed(ref queue.Ref) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, ok := m.streamed[ref]
	return ok
}

// streamedSweep is how often, in letters, the mover forgets those of queues that
// were deleted.
const streamedSweep = 1024

// noteStreamed remembers that the streams have a letter, so that they do not get
// it again while a queue refuses it.
func (m *mover) noteStreamed(ref queue.Ref) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.streamed[ref] = struct{}{}
	if len(m.streamed)%streamedSweep == 0 {
		for r := range m.streamed {
			if m.s.queueByID(r.Queue) == nil {
				delete(m.streamed, r)
			}
		}
	}
}

// moved forgets a letter that is settled.
func (m *mover) moved(ref queue.Ref) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.streamed, ref)
}

// publish addresses a letter that is in no queue.
func (m *mover) publish(ctx context.Context, how Protocol, l refusedLetter) {
	info := m.s.queueByID(l.queue)
	msg, err := readMessage(l.batch)
	if info == nil || err != nil {
		return
	}
	c := &moveCommand{}
	m.address(how, info, msg, queue.MaxLength, 0, c)
	if len(c.targets) > 0 {
		m.s.inbox.put(ctx, control, c, 0)
	}
	if len(c.appends) > 0 {
		m.s.b.Append(ctx, &AppendRequest{Items: c.appends, Done: func(*AppendRequest) {}})
	}
}

// command reads and addresses one letter.
func (m *mover) command(ctx context.Context, messages *MessageReader, how Protocol, f queue.Fetch) *moveCommand {
	c := &moveCommand{ref: f.Ref}
	info := m.s.queueByID(f.Ref.Queue)
	if info == nil {
		c.failed = true
		return c
	}
	msg, err := messages.Read(ctx, f.Log, f.Ref.Offset)
	if err != nil {
		m.s.b.cfg.Logger.Error("a dead letter cannot be read", "queue", info.Name, "error", err)
		c.failed = true
		return c
	}
	m.address(how, info, msg, f.Reason, f.Count, c)
	return c
}

// address finds out where a letter goes. Without targets it is dropped.
func (m *mover) address(how Protocol, info *QueueInfo, msg Message, why queue.Reason, count uint32, c *moveCommand) {
	r, ok := how.DeadLetter(Letter{Queue: info, Message: msg, Reason: why, Count: count, Now: m.s.b.cfg.Now().UnixMilli()})
	if !ok {
		return
	}
	var matched route.Result
	if err := m.s.routes.Match(&matched, info.VHost, r.Exchange, &r.Route); err != nil {
		return // as in RabbitMQ: without its exchange a dead letter is dropped
	}
	c.meta = r.Meta
	if len(matched.Delayed) > 0 {
		c.meta.NotBefore = r.Due
	}
	for _, name := range append(matched.Queues, matched.Delayed...) {
		if r.Avoid != nil && r.Avoid(name) {
			continue
		}
		if q, ok := m.s.b.queue(info.VHost, name); ok {
			c.targets = append(c.targets, q.ID)
		} else if s, ok := m.s.b.stream(info.VHost, name); ok {
			c.appends = append(c.appends, s.Append(how.ToRecord(&r.Message)))
		}
	}
	if len(c.targets) > 0 {
		c.batch = r.Message.AppendBatch(make([]byte, 0, r.Message.BatchBytes()))
	}
}

// moveCommand moves one message.
type moveCommand struct {
	ref     queue.Ref
	failed  bool
	targets []queue.ID
	meta    queue.Message
	batch   []byte
	appends []AppendItem // for streams, which get it first
}

func (c *moveCommand) refuse(error) {}

func (c *moveCommand) decide(s *shard, now int64) {
	size := int64(len(c.batch)) * int64(len(c.targets))
	if c.ref.Queue == 0 { // it is in no queue
		it := SessionItem{Publish: &Publish{Targets: c.targets, Message: c.meta, Batch: c.batch}}
		if s.roomFor(size, int64(len(c.batch))) {
			it.decidePublish(s, now)
		}
		s.releaseEffects()
		return
	}
	if c.failed || size > 0 && !s.roomFor(size, int64(len(c.batch))) {
		s.decideQueues(now, &queue.MoveFailed{Ref: c.ref}, nil)
		s.releaseEffects()
		return
	}
	p := Publish{Targets: c.targets, Batch: c.batch}
	var it SessionItem
	s.decideQueues(now, &queue.Move{Ref: c.ref, Targets: c.targets, Message: c.meta}, func(reply queue.Reply) []journal.Data {
		if len(c.appends) > 0 && reply.(*queue.MoveReply).Err != queue.Refused {
			s.mover.moved(c.ref)
		}
		return it.take(s, &p, reply.(*queue.MoveReply).Placed, nil)
	})
	s.releaseEffects()
}

// queueByID returns the shard's queue with that id, nil if there is none.
func (s *shard) queueByID(id queue.ID) *QueueInfo {
	w := s.b.view
	w.mu.RLock()
	defer w.mu.RUnlock()
	return w.queueByID[queueAt{s.id, id}]
}

func (b *Broker) queue(vhost, name string) (*QueueInfo, bool) {
	b.view.mu.RLock()
	defer b.view.mu.RUnlock()
	q, ok := b.view.queues[queueKey{vhost, name}]
	return q, ok
}
