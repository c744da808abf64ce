package broker

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/waxwing-mq/waxwing/internal/broker/queue"
	"github.com/waxwing-mq/waxwing/internal/broker/route"
	"github.com/waxwing-mq/waxwing/internal/datafile"
	"github.com/waxwing-mq/waxwing/internal/enc"
	"github.com/waxwing-mq/waxwing/internal/engine"
	"github.com/waxwing-mq/waxwing/internal/journal"
	"github.com/waxwing-mq/waxwing/internal/record"
)

// queueLogs begin the ids of queues' logs, far above those of partitions.
const queueLogs datafile.LogID = 1 << 62

// queues is a shard's part in queues and exchanges that only its sequencer
// touches.
type queues struct {
	machine  *queue.Machine
	sessions map[queue.ConnectionID]*Session
	channels map[queue.ChannelID]*Session // of those that take messages
	due      queueEffects                 // of the command under way
	unsynced unsynced
}

// loadSettled learns, after recovery, what of queues' logs is dead.
func (s *shard) loadSettled() (logs []queue.LogState) {
	s.d.queues.Logs(func(l queue.LogState, settled func(func(from, to int64))) {
		set := &queue.SettledSet{}
		set.Add(queue.Settled{Log: l.Log, To: l.Floor, Floor: l.Floor})
		settled(func(from, to int64) {
			set.Add(queue.Settled{Log: l.Log, From: from, To: to, Floor: l.Floor})
		})
		s.settled[l.Log] = set
		logs = append(logs, l)
	})
	return logs
}

// openQueues makes the machine, which ends what does not outlive a process.
func (s *shard) openQueues(now int64) {
	s.q.sessions = map[queue.ConnectionID]*Session{}
	s.q.channels = map[queue.ChannelID]*Session{}
	s.q.machine = queue.NewMachine(s.d.queues, time.UnixMilli(now), func() datafile.LogID {
		return max(queueLogs, s.d.queues.NextLog())
	})
}

// showQueuesAtStart builds the view of queues and exchanges.
func (s *shard) showQueuesAtStart() error {
	s.routes = route.NewTable()
	if err := s.routes.Load(s.d.routes); err != nil {
		return fmt.Errorf("exchanges of shard %d: %w", s.id, err)
	}
	s.d.queues.Each(func(id queue.ID, spec *queue.Spec) { s.showQueue(infoOf(id, spec)) })
	return nil
}

func infoOf(id queue.ID, spec *queue.Spec) *QueueInfo {
	return &QueueInfo{
		ID: id, VHost: spec.VHost, Name: spec.Name, Kind: spec.Kind, Exclusive: spec.Exclusive, Arguments: spec.Arguments,
	}
}

// restartQueues has every shard log what the end of the last process has
// brought about, and opens the first vhost.
func (b *Broker) restartQueues(ctx context.Context) error {
	for _, s := range b.shards {
		_, err := call(ctx, s, func(now int64) (struct{}, error) {
			s.restartQueues(now)
			return struct{}{}, nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *shard) restartQueues(now int64) {
	entry, effects := s.q.machine.Tick(time.UnixMilli(now))
	s.logQueues(entry, effects, nil, nil)
	s.releaseEffects()
	s.logRoutes(s.d.routes.DecideRestart())
	s.dropStrayBindings()
}

// dropStrayBindings ends the bindings of queues that are not there: a crash came
// between the end of a queue and that of its bindings.
func (s *shard) dropStrayBindings() {
	for _, vhost := range s.d.routes.VHosts() {
		stray := map[string]bool{}
		for _, b := range s.d.routes.Bindings(vhost) {
			if b.Destination.Kind == route.ToQueue && s.d.queues.Find(vhost, b.Destination.Name) == 0 {
				stray[b.Destination.Name] = true
			}
		}
		for _, name := range slices.Sorted(maps.Keys(stray)) {
			s.logRoutes(s.d.routes.DecideDestinationGone(vhost, name))
		}
	}
}

// routeEntries is what one decision about exchanges brings about: one entry of
// the shard, so that all of it survives or nothing.
//
//	count × (u length · entry of package route)
type routeEntries []route.Entry

// Append implements entry.
func (es routeEntries) Append(dst []byte) []byte {
	for _, e := range es {
		dst = enc.Bytes(dst, route.EncodeEntry(nil, e))
	}
	return dst
}

func (s *shard) logRoutes(es []route.Entry) {
	if len(es) > 0 {
		s.log(typeRoute, routeEntries(es), nil, routeEntries(es))
	}
}

func (d *durable) applyRoute(body []byte) error {
	for r := enc.NewReader(body); r.Len() > 0; {
		e, err := route.DecodeEntry(r.Bytes())
		if err == nil {
			err = d.routes.Apply(e)
		}
		if err == nil {
			err = r.Err()
		}
		if errors.Is(err, route.ErrNewer) {
			return fmt.Errorf("%w: %w", engine.ErrNewer, err)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (d *durable) applyQueues(body []byte) error {
	err := d.queues.Apply(body)
	if errors.Is(err, queue.ErrNewer) {
		return fmt.Errorf("%w: %w", engine.ErrNewer, err)
	}
	return err
}

// fitsSlot says whether messages of so many bytes can be stored at all: together
// they must fit a slot.
func (s *shard) fitsSlot(total int64) bool { return total <= s.traits.SlotBytesMax-journal.SlotMargin }

// roomFor says whether messages of so many bytes, the largest of which must fit
// a slot, can be stored, and the disk has room for them.
func (s *shard) roomFor(total, largest int64) bool {
	return s.fitsSlot(max(total, largest)) && s.hasRoom(total)
}

// hasRoom says whether the disk has room for so many bytes of messages.
func (s *shard) hasRoom(total int64) bool {
	if s.roomToStore(total) != nil {
		s.full.Store(true)
		s.refused.Store(total)
		return false
	}
	s.full.Store(false)
	return true
}

// alarmBytes is how much room there must be so that publishers need not wait.
const alarmBytes = 64 << 10

// Full says that the disk is full: publishers should wait, those who make room
// may go on.
func (b *Broker) Full() bool {
	for _, s := range b.shards {
		if s.room(toStore, max(alarmBytes, s.refused.Load())) != nil {
			return true
		}
		s.refused.Store(0)
	}
	return false
}

// decideQueues decides a command and logs what it brings about. bytes, if not
// nil, says what of the reply has to be stored where. What is due to consumers
// is gathered until releaseEffects.
func (s *shard) decideQueues(now int64, cmd queue.Command, bytes func(queue.Reply) []journal.Data) queue.Reply {
	entry, effects, reply := s.q.machine.Decide(time.UnixMilli(now), cmd)
	var data []journal.Data
	if bytes != nil {
		data = bytes(reply)
	}
	s.logQueues(entry, effects, declared(cmd, reply), data)
	return reply
}

// declared is the queue that a command has made, nil if none.
func declared(cmd queue.Command, reply queue.Reply) *QueueInfo {
	d, ok := cmd.(*queue.Declare)
	if !ok {
		return nil
	}
	r := reply.(*queue.DeclareReply)
	if !r.Created {
		return nil
	}
	return infoOf(r.Queue, &d.Spec)
}

// logQueues logs an entry of the queues, which the machine has applied already:
// to its encoding, as in recovery.
func (s *shard) logQueues(entry []byte, effects *queue.Effects, made *QueueInfo, data []journal.Data) {
	if entry != nil {
		s.addQueues(typeQueues, entry, effects, made, data)
	}
	for _, gone := range effects.Deleted {
		s.logRoutes(s.d.routes.DecideDestinationGone(gone.VHost, gone.Name))
	}
	if len(effects.Deleted) > 0 {
		s.endPulls()
	}
	s.gather(effects)
}

// addQueues puts an entry of the queues, which the machine has applied, and the
// messages that belong to it into the open slot.
func (s *shard) addQueues(typ uint16, body []byte, effects *queue.Effects, made *QueueInfo, data []journal.Data) {
	epoch := s.eng.Epoch()
	for i := range data {
		record.Patch(data[i].Bytes, data[i].Base, int32(epoch))
		data[i].MaxTime = s.now
		if data[i].Base == 0 {
			s.beginLog(data[i].Log)
		}
	}
	s.d.now = max(s.d.now, s.now)
	e := journal.Entry{Type: typ, Version: entryVersion, Time: s.now, Epoch: epoch, Body: body}
	at := s.j.Add(e, queueNoteOf(effects, made), data...)
	s.q.unsynced.add(s.j, at, s.q.machine.Entries(), data)
}

// queueNote tells the publisher what an entry of the queues changes in the
// view.
type queueNote struct {
	made    *QueueInfo
	deleted []queue.Deleted
	settled []queue.Settled
}

func queueNoteOf(effects *queue.Effects, made *QueueInfo) any {
	if made == nil && len(effects.Deleted) == 0 && len(effects.Settled) == 0 {
		return nil
	}
	return &queueNote{made, slices.Clone(effects.Deleted), slices.Clone(effects.Settled)}
}

// showQueues takes a change of the queues into the view.
func (s *shard) showQueues(n *queueNote) {
	if n.made != nil {
		s.showQueue(n.made)
	}
	for _, x := range n.settled {
		s.settleInIndex(x)
	}
	for _, gone := range n.deleted {
		s.hideQueue(gone.VHost, gone.Name, gone.Queue)
		for _, log := range gone.Logs {
			s.index.Drop(log)
			s.settledMu.Lock()
			delete(s.settled, log)
			s.settledMu.Unlock()
		}
		s.maintain.kick()
	}
}

// settleInIndex says that bytes of a queue's log are dead.
func (s *shard) settleInIndex(x queue.Settled) {
	s.settledMu.Lock()
	if set := s.settled[x.Log]; set != nil {
		set.Add(x)
	}
	s.settledMu.Unlock()
	if x.Floor >= x.To {
		s.index.SetStart(x.Log, x.Floor)
		return
	}
	s.index.Kill(x.Log, x.From, x.To)
}

// beginLog says, before the first message of a queue's log is stored, that
// nothing of it is dead.
func (s *shard) beginLog(log datafile.LogID) {
	s.settledMu.Lock()
	defer s.settledMu.Unlock()
	s.settled[log] = &queue.SettledSet{}
}

// liveInLog says whether any of the offsets [from, to) of a log is needed, from
// what is durable. Partitions die from the front only, which the index knows.
func (s *shard) liveInLog(log datafile.LogID, from, to int64) bool {
	if log < queueLogs {
		return true
	}
	s.settledMu.Lock()
	defer s.settledMu.Unlock()
	set := s.settled[log] // nil: the queue was deleted
	return set != nil && set.Live(from, to)
}

// splitBatch is the first batch of data as an extent.
func splitBatch(e datafile.Extent, data []byte) (datafile.Extent, error) {
	h, err := record.ReadHeader(data)
	if err != nil {
		return datafile.Extent{}, err
	}
	first := datafile.Extent{
		Log: e.Log, Base: h.BaseOffset, Count: int64(h.LastOffsetDelta) + 1, Bytes: int64(h.Size()), MaxTime: h.MaxTimestamp,
	}
	if first.MaxTime < 0 {
		first.MaxTime = e.MaxTime
	}
	return first, nil
}

// indexSettled tells the index, when the shard is opened, what of queues' logs
// is dead, and looks whether the rest is there.
func (s *shard) indexSettled(logs []queue.LogState) error {
	for _, l := range logs {
		s.index.SetStart(l.Log, l.Floor)
	}
	s.d.queues.Logs(func(l queue.LogState, settled func(func(from, to int64))) {
		settled(func(from, to int64) { s.index.Kill(l.Log, from, to) })
	})
	for _, l := range logs {
		if at, gap := s.index.Gap(l.Log, l.Floor, l.Next); gap {
			return &engine.ErrDamaged{
				Path:   fmt.Sprintf("shard %d", s.id),
				Reason: fmt.Sprintf("queue %d has lost its message %d", l.Queue, at),
			}
		}
	}
	return nil
}

// showRoutes takes a change of exchanges and bindings into the view.
func (s *shard) showRoutes(es routeEntries) {
	if err := s.routes.Apply(es...); err != nil {
		panic(fmt.Sprintf("a durable entry does not fit the exchanges: %v", err))
	}
	for _, e := range es {
		switch e.(type) {
		case route.Bound, route.Unbound, route.DestinationGone, route.ExchangeDeleted:
			s.puller.reconcile()
		}
	}
}

// queueEffects is what is due to sessions and to the mover.
type queueEffects struct {
	deliveries
	shown []journal.Point // of delivered: when what they show is durable
	otherEffects
}

// deliveries are due to sessions.
type deliveries struct {
	sessions  []*Session // of delivered
	delivered []queue.Delivery
}

// otherEffects are due once everything is durable that was logged.
type otherEffects struct {
	cancelled []queue.Cancelled
	gone      []*Session // of cancelled
	fetches   []queue.Fetch
	refused   []refusedLetter
	mover     *mover
}

// gather keeps effects until releaseEffects.
func (s *shard) gather(effects *queue.Effects) {
	due := &s.q.due
	for i := range effects.Deliveries {
		d := &effects.Deliveries[i]
		if to := s.q.channels[d.Channel]; to != nil {
			due.sessions = append(due.sessions, to)
			due.delivered = append(due.delivered, *d)
			due.shown = append(due.shown, s.q.unsynced.shown(d))
		}
	}
	for _, c := range effects.Cancelled {
		if to := s.q.channels[c.Channel]; to != nil {
			due.gone = append(due.gone, to)
			due.cancelled = append(due.cancelled, c)
		}
	}
	due.fetches = append(due.fetches, effects.Fetches...)
}

// releaseEffects has what was gathered told: deliveries once what they show is
// durable, everything else once all is, and each session what is due to it in the
// order in which it was decided, after the answers to its commands.
func (s *shard) releaseEffects() {
	due := &s.q.due
	s.releaseDeliveries(due)
	if len(due.cancelled)+len(due.fetches)+len(due.refused) == 0 {
		return
	}
	other := due.otherEffects
	due.otherEffects = otherEffects{}
	other.mover = s.mover
	at := s.j.Point()
	for _, to := range other.gone {
		to.told = at
	}
	s.j.AttachAt(at, &other)
}

func (s *shard) releaseDeliveries(due *queueEffects) {
	all, at := due.deliveries, due.shown
	for i, to := range all.sessions {
		to.told = max(to.told, at[i])
		at[i] = to.told
	}
	for i := 0; i < len(at); {
		k := i + 1
		for k < len(at) && at[k] == at[i] {
			k++
		}
		s.j.AttachAt(at[i], &deliveries{all.sessions[i:k], all.delivered[i:k]})
		i = k
	}
	due.deliveries, due.shown = deliveries{}, at[:0]
}

// Durable implements journal.Waiter.
func (d *deliveries) Durable(err error) {
	if err != nil {
		return // the sessions end with the process
	}
	for i := 0; i < len(d.delivered); {
		k := i + 1
		for k < len(d.delivered) && d.sessions[k] == d.sessions[i] {
			k++
		}
		d.sessions[i].sink.Deliver(d.delivered[i:k])
		i = k
	}
}

// Durable implements journal.Waiter.
func (e *otherEffects) Durable(err error) {
	if err != nil {
		return
	}
	for i, to := range e.gone {
		to.sink.Cancelled(e.cancelled[i : i+1])
	}
	if len(e.fetches) > 0 {
		e.mover.add(e.fetches)
	}
	if len(e.refused) > 0 {
		e.mover.addRefused(e.refused)
	}
}

// decideQueuesThen decides a session's command and tells it before what the
// command brings about.
func (s *shard) decideQueuesThen(now int64, c *sessionCall) {
	switch cmd := c.cmd.(type) {
	case *queue.Subscribe:
		s.q.channels[cmd.Channel] = c.session
	case *queue.Get:
		s.q.channels[cmd.Channel] = c.session
	case *queue.CloseChannel:
		delete(s.q.channels, cmd.Channel)
	}
	c.reply = copyReply(s.decideQueues(now, c.cmd, nil))
	c.session.told = s.j.Point()
	s.j.AttachAt(c.session.told, c)
	s.releaseEffects()
}

// copyReply keeps a reply beyond the machine's next call.
func copyReply(r queue.Reply) queue.Reply {
	switch r := r.(type) {
	case *queue.GetReply:
		c := *r
		return &c
	case *queue.InspectReply:
		c := *r
		c.Info.Consumers = slices.Clone(c.Info.Consumers)
		return &c
	case *queue.ListReply:
		return &queue.ListReply{Queues: slices.Clone(r.Queues)}
	case *queue.DeclareReply:
		c := *r
		return &c
	case *queue.DeleteReply:
		c := *r
		return &c
	case *queue.PurgeReply:
		c := *r
		return &c
	case *queue.SubscribeReply:
		c := *r
		return &c
	case *queue.SettleReply:
		c := *r
		return &c
	case *queue.MoveReply:
		c := *r
		c.Placed = slices.Clone(c.Placed)
		return &c
	}
	return &queue.Done{}
}

// tickQueues lets messages and queues expire.
func (s *shard) tickQueues(now int64) {
	at := s.q.machine.NextDeadline()
	if at.IsZero() || at.UnixMilli() > now {
		return
	}
	entry, effects := s.q.machine.Tick(time.UnixMilli(now))
	s.logQueues(entry, effects, nil, nil)
	s.releaseEffects()
}

// sessionCommand lets the sequencer know a session, or forget it.
type sessionCommand struct {
	session *Session
	gone    bool
	done    chan struct{}
}

func (c *sessionCommand) refuse(error) { close(c.done) }

func (c *sessionCommand) decide(s *shard, _ int64) {
	if c.gone {
		delete(s.q.sessions, c.session.id)
		for id, owner := range s.q.channels {
			if owner == c.session {
				delete(s.q.channels, id)
			}
		}
	} else {
		s.q.sessions[c.session.id] = c.session
	}
	close(c.done)
}

func (s *shard) addSession(x *Session)    { s.tellSession(x, false) }
func (s *shard) removeSession(x *Session) { s.tellSession(x, true) }

func (s *shard) tellSession(x *Session, gone bool) {
	c := &sessionCommand{session: x, gone: gone, done: make(chan struct{})}
	if !s.inbox.put(context.Background(), control, c, 0) {
		return
	}
	if s.b.cfg.Inline {
		s.decideInline()
	}
	<-c.done
}
