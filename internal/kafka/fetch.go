package kafka

import (
	"errors"
	"log/slog"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/waxwing-mq/waxwing/internal/broker"
	"github.com/waxwing-mq/waxwing/internal/record"
)

// Fetch (key 1), versions 4 to 18.
//
// Behaviour: returns whole batches, the one that holds the offset first. The
// first batch of a response comes even if it is larger than every limit. A
// fetch that finds less than min_bytes waits, up to max_wait, for any of its
// partitions to change; an error answers at once. Which partition is filled
// first rotates from fetch to fetch, so that all get their turn. Records go
// from the files to the socket when the response is written; they are never
// all in memory. With read_committed nothing at or above the last stable offset
// is returned.
//
// Version notes: 7 brings sessions (fetch_session.go), 9 leader epochs, 12 the
// epoch of the last record that was fetched: where it ended earlier than the
// client thinks, the answer is the diverging epoch and no records. 13 names
// topics by id. 16 says where the leader is when an epoch is fenced. Before 10
// clients do not know zstd: if a batch that would be returned has it, the
// answer is UNSUPPORTED_COMPRESSION_TYPE.

// fetchWaitMax bounds how long a fetch waits, whatever max_wait says.
const fetchWaitMax = 10 * time.Minute

// fetchJob is one request on its way.
type fetchJob struct {
	c         *conn
	reply     *reply
	work      share // until the reply has it
	version   int16
	isolation int8
	minBytes  int64
	maxBytes  int64
	maxWait   time.Duration
	session   *fetchSession // nil: none
	full      bool          // every partition is in the response
	wants     []*fetchWant  // no partition twice
	rotation  int
	about     []fetchResult
	waited    time.Duration

	// What there is for each want and for all together. Kept while the fetch
	// waits.
	there []fetchable
	sum   int64
}

// fetchable is what is known to be there for one want.
type fetchable struct {
	upTo  int64 // the offset up to which (exclusive) it is counted
	bytes int64
}

func (c *conn) fetch(k *call) error {
	req, err := decode[*kmsg.FetchRequest](k)
	if err != nil {
		return err
	}
	r, _, err := c.begin(k, false)
	if err != nil {
		return err
	}
	k.frame.release()
	j := &fetchJob{
		c: c, reply: r, version: k.header.version, isolation: req.IsolationLevel, rotation: c.rotation,
		minBytes: int64(req.MinBytes), maxBytes: min(int64(req.MaxBytes), c.s.broker.Settings().FetchMaxBytes),
		maxWait: min(millis(req.MaxWaitMillis), fetchWaitMax),
	}
	j.work, k.work = k.work, share{}
	c.rotation++
	waits := false
	defer func() {
		if !waits {
			j.close()
		}
	}()
	if err := j.open(req); err != nil {
		c.s.countFetch(err, nil)
		j.answer(encodeFetch(r, j.version, err, 0, nil, leader{}, false))
		return nil
	}
	if ready := j.attempt(); ready || j.maxWait <= 0 || len(j.wants) == 0 {
		j.finish()
		return nil
	}
	waits = true
	c.waiting.Go(func() {
		if err := c.guard(j.wait); err != nil {
			c.fail(err)
		}
	})
	return nil
}

// open finds out what the request wants, with the session that it names. A
// partition that is named twice is wanted as it was named last, as in Kafka.
func (j *fetchJob) open(req *kmsg.FetchRequest) error {
	ss := j.c.s.sessions
	byID := j.version >= 13
	if req.SessionEpoch > 0 {
		s, err := ss.next(req.SessionID, req.SessionEpoch, byID)
		if err != nil {
			return err
		}
		if err := j.takeTurn(s); err != nil {
			return err
		}
		if err := ss.update(s, req); err != nil {
			return err
		}
		j.wants = s.wants.list
		return nil
	}
	if req.SessionID != 0 {
		ss.end(req.SessionID)
	}
	j.full = true
	w := newWants(partitionsOf(req))
	w.add(req)
	j.wants = w.list
	if req.SessionEpoch == 0 {
		if s := ss.create(w, byID); s != nil {
			return j.takeTurn(s)
		}
	}
	return nil
}

func partitionsOf(req *kmsg.FetchRequest) (n int) {
	for i := range req.Topics {
		n += len(req.Topics[i].Partitions)
	}
	return n
}

// takeTurn makes the session the job's until close. It waits for an earlier
// fetch of the same session, as Kafka does by handling them one by one.
func (j *fetchJob) takeTurn(s *fetchSession) error {
	l := j.work.lend(func() { j.c.fail(errSlow) })
	defer l.end()
	select {
	case s.turn <- struct{}{}:
		j.session = s
		return nil
	case <-j.c.ctx.Done():
	case <-j.c.stopping:
	}
	return kerr.FetchSessionIDNotFound
}

// wait answers when there is enough, or it has taken long enough, or others
// need the memory.
func (j *fetchJob) wait() error {
	defer j.close()
	j.about = nil
	j.work.shrink(callBytes + fetchWaitBytes*int64(len(j.wants)))
	early := make(chan struct{})
	l := j.work.lend(func() { close(early) })
	defer l.end()
	w := broker.NewWatcher()
	defer w.Stop()
	for _, want := range j.wants {
		w.Watch(want.part) // it was found, else there would be an answer
	}
	late := time.NewTimer(j.maxWait)
	defer late.Stop()
	j.there = make([]fetchable, len(j.wants))
	var changed []int
	for more := true; more; {
		if j.attempt() {
			break
		}
		j.drop()
		j.about = nil
		begun := time.Now()
		for enough := false; more && !enough; {
			select {
			case <-w.C():
				changed = w.Changed(changed[:0])
				enough = j.glance(changed)
			case <-late.C:
				more = false
			case <-early:
				more = false
			case <-j.c.stopping:
				more = false
			case <-j.c.ctx.Done():
				return nil // nobody is there to answer
			}
		}
		j.waited += time.Since(begun)
		if j.c.ctx.Err() != nil {
			return nil
		}
		if !more {
			j.attempt()
		}
	}
	l.end()
	j.finish()
	return nil
}

// glance looks at wants that have changed since the last attempt, and reports
// whether another one may find enough. It looks only at what is new of them,
// so that a fetch that wants much of a busy partition costs little.
func (j *fetchJob) glance(changed []int) bool {
	j.c.s.looks.Add(int64(len(changed)))
	for _, i := range changed {
		w, there := j.wants[i], &j.there[i]
		r := j.check(w)
		if r.err != nil || r.divergence {
			return true
		}
		from, upTo := max(w.offset, there.upTo), fetchEnd(j.isolation, r.bounds)
		if from >= upTo {
			continue
		}
		j.plan(&r, from, upTo, j.maxBytes, true)
		more, enough := int64(0), r.err != nil || r.plan.Cut()
		if r.planned {
			more = r.plan.Bytes()
		}
		r.close()
		there.upTo, there.bytes = upTo, there.bytes+more
		j.sum += more
		if enough || there.bytes >= int64(w.maxBytes) {
			return true
		}
	}
	return j.sum >= min(j.minBytes, j.maxBytes)
}

// attempt looks at all partitions and reports whether that is enough for an
// answer.
func (j *fetchJob) attempt() (ready bool) {
	j.drop()
	left, got := j.maxBytes, int64(0)
	n := len(j.wants)
	j.c.s.looks.Add(int64(n))
	wrapped := 0 // results that belong at the end
	for i := range n {
		at := (i + j.rotation) % n
		if at == 0 {
			wrapped = len(j.about)
		}
		w := j.wants[at]
		r := j.look(w, left, got == 0)
		found := int64(0)
		if r.planned {
			found = r.plan.Bytes()
		}
		got += found
		left -= found
		if j.there != nil {
			j.there[at] = fetchable{upTo: fetchEnd(j.isolation, r.bounds), bytes: found}
		}
		// What a limit cuts off would not come by waiting. glance sees it in
		// the same way: else each change of a partition that is at its limit
		// would be one more look at all of them, in vain.
		ready = ready || r.err != nil || r.divergence || r.cut && got > 0
		if j.full || w.differs(&r) {
			j.about = append(j.about, r)
		}
	}
	j.sum = got
	// Back into the order of the request.
	j.about = append(j.about, j.about[:wrapped]...)
	j.about = j.about[wrapped:]
	return ready || got >= min(j.minBytes, j.maxBytes)
}

// look plans the fetch of one partition.
func (j *fetchJob) look(w *fetchWant, left int64, first bool) fetchResult {
	r := j.check(w)
	upTo, limit := fetchEnd(j.isolation, r.bounds), min(left, int64(w.maxBytes))
	if r.err != nil || r.divergence || w.offset >= upTo {
		return r
	}
	if limit <= 0 && !first {
		r.cut = true
		return r
	}
	j.plan(&r, w.offset, upTo, max(limit, 0), first)
	r.cut = r.planned && r.plan.Cut()
	return r
}

// check finds the partition, and whether the fetch's place in it is right.
func (j *fetchJob) check(w *fetchWant) fetchResult {
	r := fetchResult{want: w, bounds: broker.Bounds{HighWatermark: -1, LastStable: -1, Start: -1, Epoch: -1}}
	if r.err = j.find(w); r.err != nil {
		return r
	}
	bounds := w.part.Bounds()
	r.bounds.Epoch = bounds.Epoch
	if r.err = checkEpoch(w.epoch, bounds.Epoch); r.err != nil {
		return r
	}
	if w.offset < bounds.Start || w.offset > bounds.HighWatermark {
		r.err = kerr.OffsetOutOfRange
		return r
	}
	r.bounds = bounds
	if w.lastFetched >= 0 {
		end := j.c.s.broker.EpochEnd(w.part, w.lastFetched)
		if end.Epoch < w.lastFetched || end.End < w.offset {
			r.diverges, r.divergence = end, true
		}
	}
	return r
}

// plan chooses what is fetched of r's partition.
func (j *fetchJob) plan(r *fetchResult, offset, upTo, maxBytes int64, first bool) {
	r.plan, r.err = j.c.s.broker.Plan(j.c.ctx, r.want.part, offset, upTo, maxBytes, first)
	r.planned = r.err == nil
	if r.err != nil && j.c.ctx.Err() == nil {
		key := &r.want.key
		j.c.s.unread.log(j.c.s.cfg.Logger, slog.LevelError, "a partition cannot be read", "topic", key.name, "id", broker.TopicID(key.id), "partition", key.index, "error", r.err)
	}
}

// find makes sure that w.part is the partition that w names.
func (j *fetchJob) find(w *fetchWant) error {
	if w.part != nil && !w.part.Deleted() {
		return nil
	}
	w.part = nil
	t, err := j.c.s.topic(j.version >= 13, w.key.name, w.key.id)
	if err == nil {
		w.part, err = partition(t, w.key.index)
	}
	return err
}

// differs reports whether r is news to an incremental session.
func (w *fetchWant) differs(r *fetchResult) bool {
	return r.err != nil || r.divergence || r.planned && r.plan.Bytes() > 0 ||
		r.bounds.HighWatermark != w.highWatermark || r.bounds.Start != w.start
}

// finish answers with what the last attempt found.
func (j *fetchJob) finish() {
	var id int32
	if j.session != nil {
		id = j.session.id
		for i := range j.about {
			r := &j.about[i]
			r.want.highWatermark, r.want.start = r.bounds.HighWatermark, r.bounds.Start
		}
	}
	if j.version < 10 {
		j.refuseZstd()
	}
	for i := range j.about {
		if r := &j.about[i]; r.planned {
			r.want.part.Sent(r.want.offset, &r.plan)
		}
	}
	j.c.s.countFetch(nil, j.about)
	const readCommitted = 1
	resp := encodeFetch(j.reply, j.version, nil, id, j.about, j.c.s.leader(), j.isolation == readCommitted)
	j.about = nil
	j.answer(resp)
}

func (j *fetchJob) answer(resp *fetchResponse) {
	j.reply.fetch, j.reply.waited = resp, j.waited
	j.reply.work, j.work = j.work, share{}
	j.c.complete(j.reply)
}

// leader is this node, as fetches say it.
func (s *Server) leader() leader {
	l := leader{node: s.cfg.NodeID}
	l.host, l.port = s.cfg.Advertised()
	return l
}

// drop lets go of what the last attempt found.
func (j *fetchJob) drop() {
	for i := range j.about {
		j.about[i].close()
	}
	clear(j.about)
	j.about = j.about[:0]
}

// close ends the job: its session can be used by the next fetch.
func (j *fetchJob) close() {
	j.drop()
	j.work.giveBack()
	if j.session != nil {
		<-j.session.turn
		j.session = nil
	}
}

// refuseZstd makes partitions whose records are compressed with zstd an error.
func (j *fetchJob) refuseZstd() {
	for i := range j.about {
		r := &j.about[i]
		if !r.planned {
			continue
		}
		var scan codecScanner
		_, err := r.plan.WriteTo(&scan)
		if err == nil && !scan.zstd {
			continue
		}
		r.close()
		r.bounds = broker.Bounds{HighWatermark: -1, LastStable: -1, Start: -1, Epoch: -1}
		if r.err = kerr.UnsupportedCompressionType; err != nil {
			r.err = err
		}
	}
}

var errBatches = errors.New("a plan is not made of whole batches")

// codecScanner looks at the headers of the batches that are written to it,
// without keeping them.
type codecScanner struct {
	head []byte // of the batch that is being read
	skip int    // bytes up to the next batch
	zstd bool
}

// Write implements io.Writer.
func (s *codecScanner) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		if s.skip > 0 {
			k := min(s.skip, len(p))
			s.skip -= k
			p = p[k:]
			continue
		}
		k := min(record.HeaderLen-len(s.head), len(p))
		s.head = append(s.head, p[:k]...)
		p = p[k:]
		if len(s.head) < record.HeaderLen {
			continue
		}
		h, err := record.ReadHeader(s.head)
		if err != nil {
			return 0, errBatches
		}
		s.zstd = s.zstd || h.Codec() == record.Zstd
		s.skip, s.head = h.Size()-record.HeaderLen, s.head[:0]
	}
	return n, nil
}
