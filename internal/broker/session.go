package broker

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/waxwing-mq/waxwing/internal/broker/queue"
	"github.com/waxwing-mq/waxwing/internal/broker/route"
	"github.com/waxwing-mq/waxwing/internal/journal"
)

// SessionSink is told what the queues have for a session: in order, once it is
// durable, from a goroutine of the broker. Its methods must not block; what
// they are given is valid until they return.
type SessionSink interface {
	// Deliver has messages for the session's consumers.
	Deliver([]queue.Delivery)
	// Cancelled says that consumers are gone with their queues.
	Cancelled([]queue.Cancelled)
}

// Session is a connection's dealings with the queues of a vhost. Its methods
// may be called from any goroutine; what one goroutine submits is carried out
// in that order.
type Session struct {
	vhost   *VHost
	shard   *shard
	sink    SessionSink
	id      queue.ConnectionID
	queued  atomic.Int64 // batches on the data lane that are not decided yet
	closed  atomic.Bool
	ordered atomic.Bool // see HoldOrder

	// Of the sequencer.
	stuck bool          // a message had no room, and those behind it wait
	told  journal.Point // when the last of what is due to it is told

	mu    sync.Mutex
	order []*SessionBatch // not told yet, in the order in which they came
}

// NewSession begins a session. sink is told nothing after Close has returned
// and what was under way has been told.
func (v *VHost) NewSession(sink SessionSink) *Session {
	s := &Session{vhost: v, shard: v.shard, sink: sink, id: queue.ConnectionID(v.b.queueIDs.Add(1))}
	v.shard.addSession(s)
	return s
}

// HoldOrder says what becomes of a message for which the disk has no room: from
// then on the session's messages are not taken either (SessionItem.NoRoom), until
// a batch with Again comes, so that they can be handed in again in their order.
func (s *Session) HoldOrder() { s.ordered.Store(true) }

// Connection is the session's id among the queues.
func (s *Session) Connection() queue.ConnectionID { return s.id }

// NewChannelID returns an id for a channel of a session.
func (b *Broker) NewChannelID() queue.ChannelID { return queue.ChannelID(b.queueIDs.Add(1)) }

// NewConsumerID returns an id for a consumer of a session.
func (b *Broker) NewConsumerID() queue.ConsumerID { return queue.ConsumerID(b.queueIDs.Add(1)) }

// Publish is one message for queues of the session's vhost.
type Publish struct {
	Targets []queue.ID
	Message queue.Message
	// Batch is the message as Message.AppendBatch makes it. The broker owns
	// it until the batch is done.
	Batch []byte
	// Appends are the partitions of topics that get it too, as records.
	Appends []AppendItem

	// What goes to other shards was sent there; whether all partitions took it.
	// Both stay so when the publish is handed in again.
	away      bool
	elsewhere uint32 // atomic; not 0: it did not
}

// Commit is what a transaction has gathered.
type Commit struct {
	Publishes []Publish
	Settles   []queue.Settle
}

// SessionItem is one thing to do: one of Publish, Settle and Commit is set.
type SessionItem struct {
	Publish *Publish
	Settle  *queue.Settle
	Commit  *Commit

	refused bool
	noRoom  bool
}

// Refused says, once the batch is done, that a queue did not take a message.
func (it *SessionItem) Refused() bool {
	if it.refused || it.noRoom {
		return true
	}
	if it.Publish != nil {
		return it.Publish.refusedElsewhere()
	}
	return slices.ContainsFunc(it.publishes(), (*Publish).refusedElsewhere)
}

func (p *Publish) refusedElsewhere() bool { return atomic.LoadUint32(&p.elsewhere) != 0 }

// NoRoom says, once the batch is done, that nothing of the item has happened,
// since the disk had no room for it or for one before it (Session.HoldOrder). It
// may be handed in again, as it is, once Broker.Full says so.
func (it *SessionItem) NoRoom() bool { return it.noRoom }

// SessionBatch is what one read of a socket brought. It is decided in order,
// and done when all of it is durable.
type SessionBatch struct {
	Items []SessionItem
	// Again says that these are the items that had no room before: what comes
	// behind them is taken again.
	Again bool
	// Done, if not nil, is called once, from a goroutine of the broker, in
	// the order of the batches. It must not block.
	Done func(*SessionBatch)
	// Err is set when the log has failed, or the broker stops: nothing is
	// known of the items then.
	Err error

	session *Session
	lane    lane
	waiting atomic.Int32 // parts that are not durable yet
	done    bool         // under session.mu
}

// Submit hands in a batch. It may wait while the shard is behind (this is how
// back-pressure reaches the sockets), never for the disk.
func (s *Session) Submit(ctx context.Context, b *SessionBatch) error {
	b.session = s
	size := int64(0)
	for i := range b.Items {
		size += b.Items[i].bytes()
	}
	b.waiting.Store(1)
	s.mu.Lock()
	s.order = append(s.order, b)
	s.mu.Unlock()
	s.appendElsewhere(ctx, b)
	// What stores nothing passes by those that wait for room, unless it
	// would pass by this session's own.
	if b.lane = control; size > 0 || s.queued.Load() > 0 {
		b.lane = data
		s.queued.Add(1)
	}
	if !s.shard.inbox.put(ctx, b.lane, b, size) {
		b.refuse(errf(Stopping, "the broker is shutting down"))
	}
	return ctx.Err()
}

// SubmitWait is Submit for a batch that is waited for. Done is not called.
func (s *Session) SubmitWait(ctx context.Context, b *SessionBatch) error {
	done := make(chan struct{})
	b.Done = func(*SessionBatch) { close(done) }
	if err := s.Submit(ctx, b); err != nil {
		return err
	}
	select {
	case <-done:
		return b.Err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// bytes is about what the item stores.
func (it *SessionItem) bytes() (n int64) {
	if it.Publish != nil {
		n += it.Publish.bytes()
	}
	if it.Commit != nil {
		for i := range it.Commit.Publishes {
			n += it.Commit.Publishes[i].bytes()
		}
	}
	return n
}

// slotBytes is what of it goes into one slot: that of the queues.
func (it *SessionItem) slotBytes() (n int64) {
	if it.Publish != nil {
		return it.Publish.slotBytes()
	}
	for i := range it.Commit.Publishes {
		n += it.Commit.Publishes[i].slotBytes()
	}
	return n
}

func (p *Publish) slotBytes() int64 { return int64(len(p.Batch)) * int64(len(p.Targets)) }

func (p *Publish) bytes() int64 {
	n := p.slotBytes()
	for i := range p.Appends {
		n += int64(len(p.Appends[i].Batch))
	}
	return n
}

// appendElsewhere appends to partitions of other shards. Such a publish is not
// atomic; it is done when all of it is durable.
func (s *Session) appendElsewhere(ctx context.Context, b *SessionBatch) {
	for i := range b.Items {
		it := &b.Items[i]
		for _, p := range it.publishes() {
			var away []AppendItem
			for _, a := range p.Appends {
				if !p.away && a.Partition.shard != s.shard {
					away = append(away, a)
				}
			}
			if len(away) == 0 {
				continue
			}
			p.away = true
			b.waiting.Add(1)
			s.shard.b.Append(ctx, &AppendRequest{Items: away, Done: func(req *AppendRequest) {
				for k := range req.Items {
					if req.Items[k].Err != nil {
						atomic.StoreUint32(&p.elsewhere, 1)
					}
				}
				b.finish()
			}})
		}
	}
}

// publishes are the messages of an item.
func (it *SessionItem) publishes() []*Publish {
	if it.Publish != nil {
		return []*Publish{it.Publish}
	}
	var all []*Publish
	if it.Commit != nil {
		for i := range it.Commit.Publishes {
			all = append(all, &it.Commit.Publishes[i])
		}
	}
	return all
}

// appendHere appends to partitions of the session's own shard.
func (it *SessionItem) appendHere(s *shard, p *Publish) {
	for i := range p.Appends {
		if a := &p.Appends[i]; a.Partition.shard == s {
			s.append(a)
			it.refused = it.refused || a.Err != nil
		}
	}
}

// finish says that a part of the batch is durable, or never will be. Batches
// are told in the order in which they came.
func (b *SessionBatch) finish() {
	if b.waiting.Add(-1) > 0 {
		return
	}
	s := b.session
	s.mu.Lock()
	defer s.mu.Unlock()
	b.done = true
	for len(s.order) > 0 && s.order[0].done {
		first := s.order[0]
		s.order = s.order[1:]
		if first.Done != nil {
			first.Done(first)
		}
	}
}

func (b *SessionBatch) refuse(err error) {
	if b.lane == data {
		b.session.queued.Add(-1)
	}
	b.Err = err
	b.finish()
}

// decide implements command.
func (b *SessionBatch) decide(s *shard, now int64) {
	if b.lane == data {
		b.session.queued.Add(-1)
	}
	if b.Again {
		b.session.stuck = false
	}
	for i := range b.Items {
		b.Items[i].decide(s, now, b.session)
	}
	s.releaseEffects()
	s.j.Attach(b)
}

func (it *SessionItem) decide(s *shard, now int64, session *Session) {
	switch {
	case it.Settle != nil:
		s.decideQueues(now, it.Settle, nil)
	case it.refuse(s, session):
	case it.Publish != nil:
		it.decidePublish(s, now)
	case it.Commit != nil:
		it.decideCommit(s, now)
	}
}

// refuse says whether an item's messages cannot be stored, or not now: then it
// is not carried out at all.
func (it *SessionItem) refuse(s *shard, session *Session) bool {
	total := it.bytes()
	it.refused, it.noRoom = !s.fitsSlot(it.slotBytes()), session.stuck
	if it.refused || it.noRoom || total == 0 {
		return it.refused || it.noRoom
	}
	it.noRoom = !s.hasRoom(total)
	session.stuck = it.noRoom && session.ordered.Load()
	return it.noRoom
}

// decidePublish decides one message.
func (it *SessionItem) decidePublish(s *shard, now int64) {
	p := it.Publish
	it.appendHere(s, p)
	if len(p.Targets) == 0 {
		return
	}
	cmd := queue.Publish{Targets: p.Targets, Message: p.Message}
	s.decideQueues(now, &cmd, func(reply queue.Reply) []journal.Data {
		return it.take(s, p, reply.(*queue.PublishReply).Placed, nil)
	})
}

// take notes what became of a message, and says where its bytes go.
func (it *SessionItem) take(s *shard, p *Publish, placed []queue.Placed, data []journal.Data) []journal.Data {
	accepted := 0
	for _, at := range placed {
		switch at.Outcome {
		case queue.RejectedFull:
			it.refused = true
		case queue.RejectedDeadLetter:
			it.refused = true
			s.q.due.refused = append(s.q.due.refused, refusedLetter{at.Queue, p.Batch})
		case queue.Accepted:
			batch := p.Batch
			if accepted++; accepted > 1 { // each log patches its own copy
				batch = slices.Clone(p.Batch)
			}
			data = append(data, journal.Data{Log: at.Place.Log, Base: at.Place.Offset, Count: 1, Bytes: batch})
		}
	}
	return data
}

// decideCommit decides a transaction. A message for a queue that was deleted since it
// was published is refused: it would be told to be committed, and be nowhere.
func (it *SessionItem) decideCommit(s *shard, now int64) {
	cmd := queue.Commit{Settles: it.Commit.Settles}
	for i := range it.Commit.Publishes {
		p := &it.Commit.Publishes[i]
		it.appendHere(s, p)
		cmd.Publishes = append(cmd.Publishes, queue.Publish{Targets: p.Targets, Message: p.Message})
	}
	s.decideQueues(now, &cmd, func(reply queue.Reply) (data []journal.Data) {
		for i, placed := range reply.(*queue.CommitReply).Placed {
			it.refused = it.refused || slices.ContainsFunc(placed, func(at queue.Placed) bool { return at.Outcome == queue.Gone })
			data = it.take(s, &it.Commit.Publishes[i], placed, data)
		}
		return data
	})
}

// Durable implements journal.Waiter.
func (b *SessionBatch) Durable(err error) {
	if err != nil {
		b.Err = errf(Failed, "the log failed: %v", err)
	}
	b.finish()
}

// Call carries out a command of the session and waits until what it brought
// about is durable. The session's id is filled in. A queue.Declare in a vhost that
// was deleted fails with a *route.Error.
func (s *Session) Call(ctx context.Context, cmd queue.Command) (queue.Reply, error) {
	return s.CallThen(ctx, cmd, nil)
}

// CallThen is Call; then, if not nil, is called with the reply before anything
// that the command has brought about reaches the sink. It must not block.
func (s *Session) CallThen(ctx context.Context, cmd queue.Command, then func(queue.Reply)) (queue.Reply, error) {
	c := &sessionCall{session: s, cmd: cmd, then: then, done: make(chan struct{}), lane: control}
	if s.queued.Load() > 0 {
		c.lane = data
		s.queued.Add(1)
	}
	if !s.shard.inbox.put(ctx, c.lane, c, 0) {
		return nil, errf(Stopping, "the broker is shutting down")
	}
	if s.shard.b.cfg.Inline {
		s.shard.decideInline()
		s.shard.j.Flush()
	}
	select {
	case <-c.done:
		return c.reply, c.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

type sessionCall struct {
	session *Session
	cmd     queue.Command
	then    func(queue.Reply)
	lane    lane
	reply   queue.Reply
	err     error
	done    chan struct{}
}

func (c *sessionCall) refuse(err error) {
	c.err = err
	close(c.done)
}

func (c *sessionCall) decide(s *shard, now int64) {
	if c.lane == data {
		c.session.queued.Add(-1)
	}
	if err := s.room(c.need(), 0); err != nil {
		c.refuse(err)
		return
	}
	c.fill()
	if _, ok := c.cmd.(*queue.Declare); ok && !s.d.routes.HasVHost(c.session.vhost.name) {
		c.refuse(&route.Error{Kind: route.NotFound, Text: "no vhost '" + c.session.vhost.name + "'"})
		return
	}
	s.decideQueuesThen(now, c)
}

// need is what the command may take of a full disk's reserve.
func (c *sessionCall) need() need {
	if _, ok := c.cmd.(*queue.Declare); ok {
		return toCommit
	}
	return toFree
}

// fill says whose command it is.
func (c *sessionCall) fill() {
	id := c.session.id
	switch cmd := c.cmd.(type) {
	case *queue.Declare:
		cmd.Connection, cmd.Spec.VHost = id, c.session.vhost.name
	case *queue.Delete:
		cmd.Connection = id
	case *queue.Purge:
		cmd.Connection = id
	case *queue.Inspect:
		cmd.Connection = id
	case *queue.List:
		cmd.VHost = c.session.vhost.name
	case *queue.Subscribe:
		cmd.Connection = id
	case *queue.Get:
		cmd.Connection = id
	case *queue.Prefetch:
		cmd.Connection = id
	case *queue.Flow:
		cmd.Connection = id
	}
}

// Durable implements journal.Waiter.
func (c *sessionCall) Durable(err error) {
	if err != nil {
		c.err = errf(Failed, "the log failed: %v", err)
	} else if c.then != nil {
		c.then(c.reply)
	}
	close(c.done)
}

// Close ends the session: its channels are closed, its exclusive queues
// deleted. When it returns, that is durable, or the broker is stopping.
func (s *Session) Close() {
	if s.closed.Swap(true) {
		return
	}
	s.Call(context.Background(), &queue.CloseConnection{Connection: s.id})
	s.shard.removeSession(s)
}

// Messages returns a reader of the vhost's messages, for one goroutine.
func (s *Session) Messages() *MessageReader { return newMessageReader(s.shard) }
