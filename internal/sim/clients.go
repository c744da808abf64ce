package sim

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"strings"
	"syscall"
	"time"

	"github.com/waxwing-mq/waxwing/internal/broker"
	"github.com/waxwing-mq/waxwing/internal/broker/group"
	"github.com/waxwing-mq/waxwing/internal/engine/mem"
	"github.com/waxwing-mq/waxwing/internal/record"
)

const syscallENOSPC = syscall.ENOSPC

// topicModel is what the clients know of a topic.
type topicModel struct {
	name     string
	id       broker.TopicID
	existed  bool // acknowledged once
	doubtful bool // a creation or deletion was not answered: it may be there or not
	gone     bool // deletion acknowledged
	parts    []*partModel
}

// partModel is what the clients know of a partition.
type partModel struct {
	acked map[int64]string // acknowledged
	seen  map[int64]string // read
	start int64            // log start that was acknowledged
	trim  int64            // largest log start that was asked for
	sent  map[string]bool
}

// producer sends batches; an idempotent one retries until they are
// acknowledged.
type producer struct {
	id      int // in this run
	pid     int64
	queues  map[string]*queue
	inOrder []string // keys of queues
}

// queue is what a producer has in flight for one partition, oldest first.
type queue struct {
	topic   *topicModel
	index   int
	next    int32
	batches []*outgoing
	acked   []*outgoing // the last ones, oldest first
}

// outgoing is one batch.
type outgoing struct {
	values   []string
	sequence int32
	pending  bool // submitted and not answered
	epoch    int  // of the broker that it was submitted to
	base     int64
}

// commitModel is what a group was told about its offset.
type commitModel struct {
	acked int64
	asked []int64 // since acked, in order
}

func (w *world) newProducer() *producer {
	p := &producer{id: len(w.producers), pid: -1, queues: map[string]*queue{}}
	if p.id == 0 {
		return p // not idempotent
	}
	for {
		pid, err := w.b.NewProducerID(context.Background())
		w.note()
		if err == nil {
			for _, other := range w.producers {
				w.must(other.pid != pid, "producer id %d was given twice", pid)
			}
			p.pid = pid
			return p
		}
		w.crash("while asking for a producer id")
	}
}

// pick chooses a topic that should be there, and makes one if there is none.
func (w *world) pick() *topicModel {
	var there []*topicModel
	for _, t := range w.topics {
		if _, ok := w.b.Topic(t.name); ok && !t.gone {
			there = append(there, t)
		}
	}
	if len(there) == 0 {
		w.createTopic()
		return nil
	}
	return there[w.rng.IntN(len(there))]
}

func (w *world) send() {
	t := w.pick()
	if t == nil {
		return
	}
	p := w.producers[w.rng.IntN(len(w.producers))]
	i := w.rng.IntN(len(t.parts))
	key := fmt.Sprint(t.name, "/", i)
	q := p.queues[key]
	if q == nil {
		q = &queue{topic: t, index: i}
		p.queues[key] = q
		p.inOrder = append(p.inOrder, key)
	}
	if len(q.batches) < 5 {
		q.batches = append(q.batches, w.newBatch(p, q))
	}
	w.retryQueue(p, q)
}

func (w *world) newBatch(p *producer, q *queue) *outgoing {
	o := &outgoing{sequence: q.next}
	for range 1 + w.rng.IntN(3) {
		w.names++
		v := fmt.Sprintf("%d:%08d:%s", p.id, w.names, strings.Repeat("x", w.rng.IntN(1500)))
		o.values = append(o.values, v)
		q.topic.parts[q.index].sent[v] = true
	}
	q.next += int32(len(o.values))
	return o
}

// retry submits everything that is not on its way.
func (w *world) retry() {
	for _, p := range w.producers {
		for _, key := range p.inOrder {
			w.retryQueue(p, p.queues[key])
		}
	}
}

// retryQueue submits batches in order, those that came after a failure too.
func (w *world) retryQueue(p *producer, q *queue) {
	t, ok := w.b.Topic(q.topic.name)
	if !ok || t.ID != q.topic.id || q.index >= len(t.Partitions) {
		if !ok && (q.topic.gone || q.topic.doubtful || !q.topic.existed) {
			q.batches = nil // the topic went away
		}
		return
	}
	for _, o := range q.batches {
		if !o.pending {
			w.submit(p, q, o, t.Partitions[q.index])
		}
	}
}

func (w *world) submit(p *producer, q *queue, o *outgoing, part *broker.Partition) {
	o.pending, o.epoch = true, w.report.Recoveries
	w.transmit(p, o, part, func(it *broker.AppendItem) { w.answered(p, q, o, it) })
}

func (w *world) transmit(p *producer, o *outgoing, part *broker.Partition, done func(*broker.AppendItem)) {
	spec := record.BatchSpec{}
	if p.pid >= 0 {
		spec.Producer = &record.Producer{ID: p.pid, Sequence: o.sequence}
	}
	for _, v := range o.values {
		spec.Records = append(spec.Records, record.Record{Timestamp: w.now.UnixMilli(), Value: []byte(v)})
	}
	batch := record.Append(nil, spec)
	h, err := record.ReadHeader(batch)
	w.must(err == nil, "batch: %v", err)
	w.b.Append(context.Background(), &broker.AppendRequest{
		Items: []broker.AppendItem{{Partition: part, Batch: batch, Header: h}},
		Done:  func(r *broker.AppendRequest) { done(&r.Items[0]) },
	})
}

// stray sends what an idempotent producer never would, but a network may: a
// batch that was acknowledged long ago, or one with a gap before it. The old
// one may only be recognized, and the gap must be refused.
func (w *world) stray() {
	w.eachQueue(func(p *producer, key string, q *queue, part *broker.Partition) (more bool) {
		if len(q.acked) == 0 {
			return true
		}
		old := q.acked[w.rng.IntN(len(q.acked))]
		w.transmit(p, old, part, func(it *broker.AppendItem) {
			w.must(it.Err != nil || it.Base == old.base, "%s: a repeat of the batch at offset %d was stored at %d", key, old.base, it.Base)
		})
		gap := &outgoing{sequence: q.next + 7, values: []string{"a gap"}}
		w.transmit(p, gap, part, func(it *broker.AppendItem) {
			w.must(it.Err != nil, "%s: a batch with a gap before it was stored at offset %d", key, it.Base)
		})
		return false
	})
}

// eachQueue picks a topic and calls fn for what each idempotent producer sends to
// its partitions, until fn returns false.
func (w *world) eachQueue(fn func(p *producer, key string, q *queue, part *broker.Partition) (more bool)) {
	t := w.pick()
	if t == nil {
		return
	}
	got, _ := w.b.Topic(t.name)
	for _, p := range w.producers[1:] {
		for _, key := range p.inOrder {
			q := p.queues[key]
			if q.topic == t && q.index < len(got.Partitions) && !fn(p, key, q, got.Partitions[q.index]) {
				return
			}
		}
	}
}

// repeat sends a batch of an idempotent producer again that was not answered
// yet, as after a lost connection. Its answer is as good as the first one's.
func (w *world) repeat() {
	w.eachQueue(func(p *producer, _ string, q *queue, part *broker.Partition) (more bool) {
		for _, o := range q.batches {
			if !o.pending {
				continue
			}
			began := w.report.Recoveries
			w.transmit(p, o, part, func(it *broker.AppendItem) {
				if began == w.report.Recoveries && it.Err == nil {
					w.acknowledged(q, o, it.Base)
				}
			})
		}
		return true
	})
}

func (w *world) answered(p *producer, q *queue, o *outgoing, it *broker.AppendItem) {
	if o.epoch != w.report.Recoveries {
		return // an answer of a broker that is gone
	}
	o.pending = false
	var e *broker.Error
	if errors.As(it.Err, &e) {
		switch e.Kind {
		case broker.Failed, broker.Stopping:
		case broker.StorageFull:
			w.report.Refused++
		case broker.UnknownTopic:
			q.batches = nil
		case broker.OutOfOrderSequence:
			// Right only if a batch before it was not taken.
			w.must(q.batches[0] != o, "the oldest batch of producer %d is out of order: %v", p.id, e)
		default:
			w.must(false, "append: %v", e)
		}
		if p.pid < 0 {
			q.drop(o)
		}
		return
	}
	w.report.Acked++
	w.acknowledged(q, o, it.Base)
	q.drop(o)
	o.base = it.Base
	if q.acked = append(q.acked, o); len(q.acked) > 12 {
		q.acked = q.acked[1:]
	}
}

func (w *world) acknowledged(q *queue, o *outgoing, base int64) {
	m := q.topic.parts[q.index]
	for i, v := range o.values {
		off := base + int64(i)
		old, was := m.acked[off]
		w.must(!was || old == v, "%s/%d: offset %d was given to two records", q.topic.name, q.index, off)
		m.acked[off] = v
	}
	fmt.Fprintf(w.trace, "ack %s/%d@%d;", q.topic.name, q.index, base)
}

func (q *queue) drop(o *outgoing) {
	for i, x := range q.batches {
		if x == o {
			q.batches = append(q.batches[:i:i], q.batches[i+1:]...)
			return
		}
	}
}

// forgetInFlight is what clients do when the connection breaks: idempotent
// producers will send again, others do not know.
func (w *world) forgetInFlight() {
	for _, p := range w.producers {
		for _, key := range p.inOrder {
			q := p.queues[key]
			if p.pid < 0 {
				q.batches = nil
			}
			for _, o := range q.batches {
				o.pending = false
			}
		}
	}
}

// administer creates, grows or deletes a topic.
func (w *world) administer() {
	t := w.pick()
	switch {
	case t == nil || !w.quiet():
	case len(w.topics) < 4 || w.one(3):
		w.createTopic()
	case w.one(2):
		total := len(t.parts) + 1 + w.rng.IntN(2)
		err := w.b.AddPartitions(context.Background(), t.id, total)
		w.note()
		w.logf("grow %s to %d: %v\n", t.name, total, err)
		if isFailed(err) {
			w.crash("while adding partitions")
		}
		if got, ok := w.b.Topic(t.name); ok {
			w.must(err != nil || len(got.Partitions) == total, "%s has %d partitions, not %d", t.name, len(got.Partitions), total)
			for len(t.parts) < len(got.Partitions) {
				t.parts = append(t.parts, newPartModel())
			}
		}
	default:
		t.doubtful = true
		err := w.b.DeleteTopic(context.Background(), t.id)
		w.note()
		w.logf("delete %s: %v\n", t.name, err)
		if err == nil {
			t.gone, t.doubtful = true, false
		} else if isFailed(err) {
			w.crash("while deleting a topic")
		}
	}
}

func newPartModel() *partModel {
	return &partModel{acked: map[int64]string{}, seen: map[int64]string{}, sent: map[string]bool{}}
}

func (w *world) createTopic() {
	if !w.quiet() {
		return
	}
	w.names++
	t := &topicModel{name: fmt.Sprint("topic", w.names), doubtful: true}
	n := 1 + w.rng.IntN(4)
	for range n {
		t.parts = append(t.parts, newPartModel())
	}
	w.topics = append(w.topics, t)
	got, err := w.b.CreateTopic(context.Background(), broker.TopicSpec{
		Name: t.name, Partitions: n, Settings: map[string]string{"retention.ms": "-1"},
	})
	w.note()
	w.logf("create %s: %v\n", t.name, err)
	switch {
	case err == nil:
		t.existed, t.doubtful, t.id = true, false, got.ID
	case isFailed(err):
		w.crash("while creating a topic")
	}
	if got, ok := w.b.Topic(t.name); ok {
		t.id = got.ID
	}
}

// trimSome deletes records from the front of a partition.
func (w *world) trimSome() {
	t := w.pick()
	if t == nil || !w.quiet() {
		return
	}
	got, _ := w.b.Topic(t.name)
	i := w.rng.IntN(len(t.parts))
	if i >= len(got.Partitions) {
		return
	}
	p := got.Partitions[i]
	b := p.Bounds()
	to := b.Start + w.rng.Int64N(b.HighWatermark-b.Start+1)
	m := t.parts[i]
	m.trim = max(m.trim, to)
	start, err := w.b.DeleteRecords(context.Background(), p, to)
	w.note()
	w.logf("trim %s/%d to %d: %v\n", t.name, i, to, err)
	if isFailed(err) {
		w.crash("while deleting records")
		return
	}
	if err == nil {
		w.must(start >= to, "DeleteRecords to %d answers %d", to, start)
		m.start = max(m.start, start)
	}
}

// commit stores an offset for a group.
func (w *world) commit() {
	t := w.pick()
	if t == nil {
		return
	}
	g := fmt.Sprint("group", w.rng.IntN(3))
	key := g + "/" + t.name
	c := w.commits[key]
	if c == nil {
		c = &commitModel{acked: -1}
		w.commits[key] = c
	}
	w.names++
	offset := int64(w.names)
	c.asked = append(c.asked, offset)
	epoch := w.report.Recoveries
	w.b.Group(g, group.CommitOffsets{
		Group: g, Generation: group.NoGeneration,
		Topics: []group.CommitTopic{{Topic: t.name, ID: group.TopicID(t.id), Partitions: []group.CommitPartition{{Offset: offset, LeaderEpoch: -1}}}},
	}, func(body group.Body, err error) {
		if err != nil || epoch != w.report.Recoveries || t.gone {
			return
		}
		r := body.(group.CommitReply)
		w.must(r.Err == group.None, "commit: %v", r.Err)
		for i, o := range c.asked {
			if o == offset {
				c.acked, c.asked = offset, c.asked[i+1:]
				break
			}
		}
		fmt.Fprintf(w.trace, "commit %s=%d;", key, offset)
	})
}

// readSome is a consumer: what it sees must stay.
func (w *world) readSome() {
	t := w.pick()
	if t == nil {
		return
	}
	got, _ := w.b.Topic(t.name)
	i := w.rng.IntN(len(got.Partitions))
	if i >= len(t.parts) {
		return
	}
	values, err := w.values(got.Partitions[i], 0)
	if errors.Is(err, mem.ErrCrashed) {
		w.crash("while reading")
		return
	}
	w.must(err == nil, "read %s/%d: %v", t.name, i, err)
	for off, v := range values {
		t.parts[i].seen[off] = v
	}
}

// verify compares everything that clients know with what is there.
func (w *world) verify() {
	for _, t := range w.topics {
		got, there := w.b.Topic(t.name)
		w.must(!t.gone || !there, "topic %s was deleted and is there", t.name)
		w.must(there || !t.existed || t.gone || t.doubtful, "topic %s is lost", t.name)
		if !there {
			t.gone = t.gone || t.doubtful
			continue
		}
		if t.doubtful {
			t.existed, t.doubtful, t.id = true, false, got.ID
		}
		w.must(got.ID == t.id, "topic %s has another id", t.name)
		for len(t.parts) < len(got.Partitions) {
			t.parts = append(t.parts, newPartModel()) // an unanswered growth
		}
		w.must(len(t.parts) == len(got.Partitions), "topic %s has %d partitions, not %d", t.name, len(got.Partitions), len(t.parts))
		for i, p := range got.Partitions {
			w.verifyPartition(fmt.Sprint(t.name, "/", i), t.parts[i], p)
		}
	}
	w.verifyCommits()
	w.verifyPrekeys()
}

func (w *world) verifyPartition(name string, m *partModel, p *broker.Partition) {
	b := p.Bounds()
	w.must(b.Start >= m.start && b.Start <= max(m.start, m.trim), "%s starts at %d, acknowledged %d, asked for %d", name, b.Start, m.start, m.trim)
	values, err := w.values(p, 0)
	w.must(err == nil, "read %s: %v", name, err)
	w.must(int64(len(values)) == b.HighWatermark-b.Start, "%s has %d records from offset %d to %d", name, len(values), b.Start, b.HighWatermark)
	for _, known := range []struct {
		what string
		m    map[int64]string
	}{{"acknowledged", m.acked}, {"read", m.seen}} {
		for _, off := range sortedOffsets(known.m) {
			if off >= b.Start {
				w.must(values[off] == known.m[off], "%s: what was %s at offset %d is not there", name, known.what, off)
			}
		}
	}
	last := map[string]string{}
	count := map[string]int{}
	for _, off := range sortedOffsets(values) {
		v := values[off]
		w.must(m.sent[v], "%s: nobody sent what is at offset %d", name, off)
		count[v]++
		who := v[:1]
		w.must(who == "0" || count[v] == 1, "%s: offset %d is a second copy", name, off)
		w.must(v > last[who] || who == "0" && v == last[who], "%s: offset %d is out of order", name, off)
		last[who] = v
	}
	fmt.Fprintf(w.trace, "%s %d-%d;", name, b.Start, b.HighWatermark)
}

func sortedOffsets(m map[int64]string) []int64 {
	out := make([]int64, 0, len(m))
	for off := range m {
		out = append(out, off)
	}
	sort.Slice(out, func(a, b int) bool { return out[a] < out[b] })
	return out
}

func (w *world) verifyCommits() {
	keys := make([]string, 0, len(w.commits))
	for k := range w.commits {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	for _, key := range keys {
		c := w.commits[key]
		g, t, _ := strings.Cut(key, "/")
		if _, there := w.b.Topic(t); !there {
			delete(w.commits, key)
			continue
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		body, err := w.b.GroupWait(ctx, g, group.FetchOffsets{Groups: []group.FetchGroup{{Group: g, Topics: []group.FetchTopic{{Topic: t, Partitions: []int32{0}}}}}})
		cancel()
		w.must(err == nil, "offsets of %s: %v", key, err)
		got := body.(group.FetchReply).Groups[0].Topics[0].Partitions[0].Offset
		ok := got == c.acked
		for i, o := range c.asked {
			if got == o {
				ok = true
				c.acked, c.asked = o, c.asked[i+1:]
				break
			}
		}
		w.must(ok, "%s: offset %d is committed; acknowledged was %d", key, got, c.acked)
		c.asked = nil // unanswered ones are lost now
	}
	w.note()
}

// decodeValues adds the values of consecutive batches, from offset next on,
// and returns the offset after the last.
func decodeValues(b []byte, next int64, out map[int64]string) (int64, error) {
	for batch := range record.Batches(b) {
		if !record.VerifyCRC(batch) {
			return next, errors.New("a batch fails its checksum")
		}
		err := record.Iterate(batch, func(r record.Record) bool {
			if r.Offset >= next {
				out[r.Offset] = string(r.Value)
				next = r.Offset + 1
			}
			return true
		})
		if err != nil {
			return next, err
		}
	}
	return next, nil
}
