package broker

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"maps"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/waxwing-mq/waxwing/internal/broker/queue"
	"github.com/waxwing-mq/waxwing/internal/broker/route"
	"github.com/waxwing-mq/waxwing/internal/enc"
	"github.com/waxwing-mq/waxwing/internal/engine"
	"github.com/waxwing-mq/waxwing/internal/journal"
	"github.com/waxwing-mq/waxwing/internal/record"
)

// TopicsExchange routes every record of a topic with the topic's name as the
// routing key. It is there in the vhost "/", of type topic, and nobody can
// publish to it. Records are pulled: the shard of the vhost reads the topics
// that some binding matches, with a cursor of its own, and one entry holds what
// was routed and where the cursor is then. So each record is routed once, also
// across crashes and shards. A binding gets the records that come after it.
const TopicsExchange = "waxwing.topics"

// pullKey names a partition whose records are pulled.
type pullKey struct {
	topic     TopicID
	partition int32
}

func comparePullKeys(a, b pullKey) int {
	return cmp.Or(bytes.Compare(a.topic[:], b.topic[:]), cmp.Compare(a.partition, b.partition))
}

// pulled says up to where the records of a partition were routed, and what
// became of them in the queues.
//
//	16 bytes topic · u partition · s next offset (-1: not pulled any more) ·
//	entry of the queues, to the end; may be empty
type pulled struct {
	key    pullKey
	next   int64
	queues []byte
}

// Append encodes the entry.
func (e *pulled) Append(dst []byte) []byte {
	dst = append(dst, e.key.topic[:]...)
	dst = binary.AppendUvarint(dst, uint64(e.key.partition))
	dst = binary.AppendVarint(dst, e.next)
	return append(dst, e.queues...)
}

// Decode is the reverse of Append. It aliases b.
func (e *pulled) Decode(b []byte) error {
	r := enc.NewReader(b)
	copy(e.key.topic[:], r.Take(16))
	e.key.partition = readPartition(&r)
	e.next = r.Varint()
	e.queues = r.Take(r.Len())
	return r.Done()
}

func (d *durable) applyPulled(body []byte) error {
	var e pulled
	if err := e.Decode(body); err != nil {
		return err
	}
	d.setPull(&e)
	if len(e.queues) == 0 {
		return nil
	}
	return d.applyQueues(e.queues)
}

func (d *durable) setPull(e *pulled) {
	if e.next < 0 {
		delete(d.pulls, e.key)
		return
	}
	d.pulls[e.key] = e.next
}

func (d *durable) snapshotPulls(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(d.pulls)))
	for _, key := range slices.SortedFunc(maps.Keys(d.pulls), comparePullKeys) {
		dst = append(dst, key.topic[:]...)
		dst = binary.AppendUvarint(dst, uint64(key.partition))
		dst = binary.AppendVarint(dst, d.pulls[key])
	}
	return dst
}

func (d *durable) restorePulls(r *enc.Reader) error {
	for n := r.Count(18); n > 0 && r.Err() == nil; n-- {
		var key pullKey
		copy(key.topic[:], r.Take(16))
		key.partition = readPartition(r)
		next := r.Varint()
		if _, twice := d.pulls[key]; twice || next < 0 {
			return enc.ErrShort
		}
		d.pulls[key] = next
	}
	return r.Err()
}

func readPartition(r *enc.Reader) int32 {
	v := r.Uvarint()
	if v > math.MaxInt32 {
		r.Take(-1) // fails
	}
	return int32(v)
}

// Routed is a record as a message of the protocol that queues are used by.
type Routed struct {
	Route   route.Message
	Meta    queue.Message
	Message Message
}

// beginPulls logs, before a binding to TopicsExchange, that the topics which it
// adds are pulled from their ends on.
func (s *shard) beginPulls(vhost string, b *route.Bind) {
	if vhost != streamVHost || b.Source != TopicsExchange {
		return
	}
	for _, t := range s.b.Topics() {
		if !route.TopicMatches(b.Key, t.Name) {
			continue
		}
		for i, p := range t.Partitions {
			key := pullKey{t.ID, int32(i)}
			if _, ok := s.d.pulls[key]; !ok {
				s.log(typePulled, &pulled{key: key, next: p.Bounds().HighWatermark}, nil, nil)
			}
		}
	}
	s.puller.reconcile()
}

// endPulls logs, after bindings have ended, that topics which none matches any
// more are not pulled: who binds them again gets what comes after that.
func (s *shard) endPulls() {
	if len(s.d.pulls) == 0 {
		return
	}
	bindings := s.d.routes.BindingsFrom(streamVHost, TopicsExchange)
	for _, key := range slices.SortedFunc(maps.Keys(s.d.pulls), comparePullKeys) {
		t, ok := s.b.TopicByID(key.topic)
		if !ok || !slices.ContainsFunc(bindings, func(b route.Binding) bool { return route.TopicMatches(b.Key, t.Name) }) {
			s.log(typePulled, &pulled{key: key, next: -1}, nil, nil)
		}
	}
}

// puller routes the records of topics. There is one in the shard of the vhost
// "/"; in the others it has nothing to do.
type puller struct {
	s *shard

	mu    sync.Mutex
	how   Protocol
	stale bool // the set of topics or bindings has changed
	wake  chan struct{}
	stop  chan struct{}
	once  sync.Once
}

func newPuller(s *shard) *puller {
	return &puller{s: s, stale: true, wake: make(chan struct{}, 1), stop: make(chan struct{})}
}

func (p *puller) set(how Protocol) {
	p.mu.Lock()
	p.how = how
	p.mu.Unlock()
	p.reconcile()
}

// reconcile has the puller look again which topics are to be pulled.
func (p *puller) reconcile() {
	p.mu.Lock()
	p.stale = true
	p.mu.Unlock()
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// reconcilePulls says that there are other topics.
func (b *Broker) reconcilePulls() {
	for _, s := range b.shards {
		s.puller.reconcile()
	}
}

// halt ends run.
func (p *puller) halt() { p.once.Do(func() { close(p.stop) }) }

// pullRetry is how long the puller waits after something went wrong: the disk
// is full, say.
const pullRetry = 200 * time.Millisecond

// run is the goroutine. halt stops it.
func (p *puller) run() {
	defer p.s.stopped.Done()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() { <-p.stop; cancel() }()
	w := NewWatcher()
	defer func() { w.Stop() }()
	var parts []*Partition
	for {
		p.mu.Lock()
		how, stale := p.how, p.stale
		p.stale = false
		p.mu.Unlock()
		if how != nil && stale {
			w.Stop()
			w = NewWatcher()
			parts = p.wanted(ctx)
			for _, part := range parts {
				w.Watch(part)
			}
		}
		more := false
		for _, part := range parts {
			again, err := p.pull(ctx, how, part)
			if err != nil && ctx.Err() == nil {
				p.s.b.cfg.Logger.Warn("records wait to be routed", "exchange", TopicsExchange, "error", err)
				select {
				case <-time.After(pullRetry):
				case <-p.stop:
				}
			}
			more = more || again || err != nil
		}
		if more && ctx.Err() == nil {
			continue
		}
		select {
		case <-p.stop:
			return
		case <-p.wake:
		case <-w.C():
		}
	}
}

// wanted are the partitions whose records some binding matches. What is not
// wanted any more is forgotten.
func (p *puller) wanted(ctx context.Context) (parts []*Partition) {
	s := p.s
	if !s.routes.HasBindings(streamVHost, TopicsExchange) && len(p.cursors(ctx)) == 0 {
		return nil
	}
	known := map[pullKey]bool{}
	for _, t := range s.b.Topics() {
		if !s.routes.Reaches(streamVHost, TopicsExchange, t.Name) {
			continue
		}
		for i, part := range t.Partitions {
			parts = append(parts, part)
			known[pullKey{t.ID, int32(i)}] = true
		}
	}
	_, err := call(ctx, s, func(int64) (struct{}, error) {
		for _, key := range slices.SortedFunc(maps.Keys(s.d.pulls), comparePullKeys) {
			if !known[key] {
				s.log(typePulled, &pulled{key: key, next: -1}, nil, nil)
			}
		}
		return struct{}{}, nil
	})
	if err != nil {
		return nil
	}
	return parts
}

func (p *puller) cursors(ctx context.Context) map[pullKey]int64 {
	m, _ := call(ctx, p.s, func(int64) (map[pullKey]int64, error) { return maps.Clone(p.s.d.pulls), nil })
	return m
}

// pullMax is how many bytes of records are routed at once.
const pullMax = 256 << 10

// pull routes some records of a partition. It reports whether there are more.
func (p *puller) pull(ctx context.Context, how Protocol, part *Partition) (more bool, err error) {
	s, b := p.s, p.s.b
	t, ok := b.TopicByID(part.topic)
	if !ok {
		p.reconcile()
		return false, nil
	}
	key := pullKey{part.topic, part.index}
	from, err := call(ctx, s, func(int64) (int64, error) {
		if next, ok := s.d.pulls[key]; ok {
			return next, nil
		}
		return part.Bounds().Start, nil // a topic that is younger than the binding
	})
	if err != nil {
		return false, err
	}
	bounds := part.Bounds()
	from = max(from, bounds.Start)
	if from >= bounds.LastStable {
		return false, nil
	}
	c := &pullCommand{key: key, next: from, done: make(chan struct{})}
	if err := p.read(ctx, how, t, part, c, bounds.LastStable); err != nil {
		return false, err
	}
	if !s.inbox.put(ctx, data, c, c.size()) {
		return false, nil
	}
	select {
	case <-c.done:
	case <-p.stop:
		return false, nil
	}
	return c.err == nil && c.next < part.Bounds().LastStable, c.err
}

// read fills a command with the records of part from c.next on.
func (p *puller) read(ctx context.Context, how Protocol, t *Topic, part *Partition, c *pullCommand, end int64) error {
	plan, err := p.s.b.Plan(ctx, part, c.next, end, pullMax, true)
	if err != nil {
		return err
	}
	defer plan.Close()
	var buf bytes.Buffer
	if _, err := plan.WriteTo(&buf); err != nil {
		return err
	}
	if buf.Len() == 0 {
		c.next = end
		return nil
	}
	var matched route.Result
	from := c.next
	for batch := range record.Batches(buf.Bytes()) {
		h, err := record.ReadHeader(batch)
		if err != nil {
			return &engine.ErrDamaged{Path: t.Name, Off: c.next, Reason: err.Error()}
		}
		if !h.Control() {
			err := record.Iterate(batch, func(r record.Record) bool {
				if r.Offset >= from {
					p.route(how, t, r, &matched, c)
				}
				return true
			})
			if err != nil {
				return err
			}
		}
		c.next = h.LastOffset() + 1
	}
	return nil
}

// route adds one record to a command.
func (p *puller) route(how Protocol, t *Topic, r record.Record, matched *route.Result, c *pullCommand) {
	m := how.FromRecord(t.Name, r)
	m.Route.Keys = []string{t.Name}
	if err := p.s.routes.MatchInternal(matched, streamVHost, TopicsExchange, &m.Route); err != nil {
		return
	}
	var targets []queue.ID
	for _, name := range matched.Queues {
		if q, ok := p.s.b.queue(streamVHost, name); ok {
			targets = append(targets, q.ID)
		}
	}
	if len(targets) == 0 {
		return
	}
	m.Message.Exchange = TopicsExchange
	c.publishes = append(c.publishes, Publish{
		Targets: targets, Message: m.Meta, Batch: m.Message.AppendBatch(make([]byte, 0, m.Message.BatchBytes())),
	})
}

// pullCommand puts routed records into queues and moves the cursor.
type pullCommand struct {
	key       pullKey
	next      int64
	publishes []Publish
	err       error
	done      chan struct{}
}

func (c *pullCommand) size() (n int64) {
	for i := range c.publishes {
		n += c.publishes[i].bytes()
	}
	return n
}

func (c *pullCommand) refuse(err error) {
	c.err = err
	close(c.done)
}

func (c *pullCommand) decide(s *shard, now int64) {
	total, largest := c.size(), int64(0)
	cmd := queue.Commit{}
	for i := range c.publishes {
		p := &c.publishes[i]
		largest = max(largest, int64(len(p.Batch)))
		cmd.Publishes = append(cmd.Publishes, queue.Publish{Targets: p.Targets, Message: p.Message})
	}
	if total > 0 && !s.roomFor(total, largest) {
		c.refuse(errf(StorageFull, "the disk is full"))
		return
	}
	entry, effects, reply := s.q.machine.Decide(time.UnixMilli(now), &cmd)
	var it SessionItem
	var data []journal.Data
	for i, placed := range reply.(*queue.CommitReply).Placed {
		data = it.take(s, &c.publishes[i], placed, data)
	}
	e := &pulled{key: c.key, next: c.next, queues: entry}
	s.d.setPull(e) // the machine has applied the rest
	s.scratch = e.Append(s.scratch[:0])
	s.addQueues(typePulled, s.scratch, effects, nil, data)
	s.gather(effects)
	s.releaseEffects()
	s.j.Attach(c)
}

// Durable implements journal.Waiter.
func (c *pullCommand) Durable(err error) {
	if err != nil {
		c.err = errf(Failed, "the log failed: %v", err)
	}
	close(c.done)
}
