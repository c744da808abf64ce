package broker

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/waxwing-mq/waxwing/internal/broker/topic"
	"github.com/waxwing-mq/waxwing/internal/datafile"
	"github.com/waxwing-mq/waxwing/internal/engine"
)

// intervals say when background work is due.
type intervals struct {
	step            time.Duration // how often maintenance looks what is due
	checkpoint      time.Duration
	checkpointBytes uint64 // of the journal; whichever comes first
	producers       time.Duration
}

// usual are the intervals of a broker; tests have shorter ones.
var usual = intervals{
	step: time.Second, checkpoint: 30 * time.Second, checkpointBytes: 256 << 20, producers: 10 * time.Minute,
}

// checkpointDue says whether it is time for a checkpoint, when so much time has
// passed and so many bytes were written since the last one. news says that
// there is something in the journal that no checkpoint has.
func (i *intervals) checkpointDue(passed time.Duration, written uint64, news bool) bool {
	return written >= i.checkpointBytes || passed >= i.checkpoint && news
}

// tightFor is how long rewrites are kept small after one met a full disk.
const tightFor = 5 * time.Minute

// Limits on rewrites.
const (
	rewriteBytesPerSec = 32 << 20 // read and written
	rewriteBurstBytes  = 256 << 10
	rewriteOpBytes     = 4 << 10 // what one read or write counts at least
	rewriteYield       = 5 * time.Millisecond
)

// pace is how a rewrite holds back: it may read and write rewriteBurstBytes at
// a time, waits as rewriteBytesPerSec demands, and a little longer each time
// the journal is busy.
type pace struct{ owed int }

// take notes that n bytes are about to be read or written, and returns how long
// to wait before that.
func (p *pace) take(n int, busy func() bool) time.Duration {
	p.owed += max(n, rewriteOpBytes)
	if p.owed < rewriteBurstBytes {
		return 0
	}
	wait := time.Duration(p.owed) * time.Second / rewriteBytesPerSec
	p.owed = 0
	if busy() {
		wait += rewriteYield
	}
	return wait
}

// maintenance is a shard's background work: indexes of closed files,
// checkpoints, retention, rewriting, and giving disk space back. One
// goroutine; the sequencer takes no part.
type maintenance struct {
	s    *shard
	wake chan struct{}
	stop chan struct{}
	once sync.Once

	pace          pace                   // of the rewrite
	damaged       map[engine.FileID]bool // not to be rewritten
	lost          map[engine.FileID]bool // whose .idx cannot be made again
	waiting       bool                   // dead files wait for a checkpoint
	squeezing     bool                   // holds Broker.squeeze
	tight         int                    // rewrites for which there was no space lately
	tightened     time.Time              // when there was none
	checkpointed  time.Time
	checkpointAt  uint64 // journal bytes at the last checkpoint
	retained      time.Time
	producersSeen time.Time
}

func (m *maintenance) init(s *shard) {
	m.s = s
	m.wake = make(chan struct{}, 1)
	m.stop = make(chan struct{})
	m.damaged, m.lost = map[engine.FileID]bool{}, map[engine.FileID]bool{}
	// checkpointed stays zero: what a start has replayed gets a checkpoint at
	// once. A process that dies again and again replays no more each time.
	now := s.b.cfg.Now()
	m.retained, m.producersSeen = now, now
}

// kick makes the next step come soon.
func (m *maintenance) kick() {
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// halt ends run.
func (m *maintenance) halt() { m.once.Do(func() { close(m.stop) }) }

// run is the goroutine. halt stops it.
func (m *maintenance) run() {
	defer m.s.stopped.Done()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() { <-m.stop; cancel() }()
	tick := time.NewTicker(m.s.b.cfg.intervals.step)
	defer tick.Stop()
	for {
		select {
		case <-m.stop:
			return
		case <-tick.C:
		case <-m.wake:
		}
		if err := m.step(ctx, false); err != nil && ctx.Err() == nil && !isKind(err, Stopping) {
			m.s.b.cfg.Logger.Error("background work failed; it will be tried again", "shard", m.s.id, "error", err)
			select { // whoever wakes it, not sooner than this
			case <-m.stop:
			case <-time.After(m.s.b.cfg.intervals.step):
			}
		}
	}
}

// step does what is due, or, with force, whatever can be done. One part that
// fails does not keep the others from being done. What gives space back comes
// first, and checkpoints come before rewrites, which may take long.
func (m *maintenance) step(ctx context.Context, force bool) error {
	now := m.s.b.cfg.Now()
	var errs []error
	if force || now.Sub(m.retained) >= m.s.b.Settings().RetentionCheckInterval {
		m.retained = now
		errs = append(errs, m.retain(ctx, now))
	}
	if force || now.Sub(m.producersSeen) >= m.s.b.cfg.intervals.producers {
		m.producersSeen = now
		errs = append(errs, m.expireProducers(ctx, now))
	}
	if m.s.leftovers.Load() {
		errs = append(errs, m.s.clearAll(ctx))
	}
	if now.Sub(m.tightened) > tightFor {
		m.tight = 0
	}
	short := m.s.b.short()
	scarce := short || m.tight > 0
	if scarce && m.waiting {
		errs = append(errs, m.mark(ctx))
		force = true
	}
	if !force && m.idle(now) {
		errs = append(errs, m.mark(ctx))
	}
	if force || m.checkpointDue(now) {
		m.checkpointed = now
		errs = append(errs, m.checkpoint(ctx))
	}
	if !short {
		errs = append(errs, m.buildIndexes(ctx))
	}
	errs = append(errs, m.rewrite(ctx, scarce), m.trim(ctx))
	if m.squeezing && !m.waiting {
		m.squeezing = false
		m.s.b.squeeze.Unlock()
	}
	return errors.Join(errs...)
}

// short says whether the disk, which all shards share, is full for one of them.
// Then what little space there is is kept for checkpoints and for rewrites that
// free much more than they take.
func (b *Broker) short() bool {
	return slices.ContainsFunc(b.shards, func(s *shard) bool { return s.eng.Scarce() })
}

// buildIndexes writes the .idx of files that are complete, and those anew that
// a read has found damaged or missing.
func (m *maintenance) buildIndexes(ctx context.Context) error {
	var errs []error
	for _, id := range m.s.index.Unindexed() {
		errs = append(errs, m.s.index.BuildIdx(ctx, id))
	}
	for _, id := range m.s.index.Spoilt() {
		if !m.lost[id] {
			errs = append(errs, m.rebuildIndex(ctx, id))
		}
	}
	return errors.Join(errs...)
}

// rebuildIndex makes an .idx anew from the file itself.
func (m *maintenance) rebuildIndex(ctx context.Context, id engine.FileID) error {
	s := m.s
	err := s.index.Rebuild(ctx, id, func(add func([]datafile.Extent) error) error {
		for _, f := range s.eng.Files() {
			if f.ID == id {
				return s.scanExtents(ctx, f, add)
			}
		}
		return fmt.Errorf("journal file %016x: %w", uint64(id), engine.ErrNotFound)
	})
	var damaged *engine.ErrDamaged
	if errors.As(err, &damaged) {
		m.lost[id] = true
	}
	if err != nil {
		return fmt.Errorf("an .idx that was damaged cannot be made again: %w", err)
	}
	s.b.cfg.Logger.Warn("an .idx was damaged and has been made again", "shard", s.id, "file", fmt.Sprintf("%016x", uint64(id)))
	return nil
}

// mark logs an entry that changes nothing, unless there is something that no
// checkpoint has yet. Dead files wait for checkpoints, and checkpoints need new
// slots, which on a full disk nobody else makes.
func (m *maintenance) mark(ctx context.Context) error {
	s := m.s
	if s.j.Last() > s.cps.Newest() {
		return nil
	}
	_, err := call(ctx, s, func(int64) (struct{}, error) {
		if s.room(toFree, 0) == nil {
			s.log(typeProducersExpired, &topic.ProducersExpired{}, nil, nil)
		}
		return struct{}{}, nil
	})
	return err
}

// idle says whether dead files wait for a checkpoint that would come, had
// anybody anything to write.
func (m *maintenance) idle(now time.Time) bool {
	return m.waiting && now.Sub(m.checkpointed) >= m.s.b.cfg.intervals.checkpoint && m.s.j.Last() <= m.s.cps.Newest()
}

func (m *maintenance) checkpointDue(now time.Time) bool {
	s := m.s
	written := s.j.Stats().Bytes.Load() - m.checkpointAt
	return s.b.cfg.intervals.checkpointDue(now.Sub(m.checkpointed), written, s.j.Last() > s.cps.Newest())
}

// checkpoint makes a checkpoint of everything that is durable.
func (m *maintenance) checkpoint(ctx context.Context) error {
	at := m.s.j.Stats().Bytes.Load()
	if err := m.s.cps.Make(ctx, m.s.j.Last()); err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	m.checkpointAt = at
	return nil
}

// retain moves the starts of partitions over what is too old or too much.
func (m *maintenance) retain(ctx context.Context, now time.Time) error {
	for _, t := range m.s.b.Topics() {
		age, size := t.Settings.RetentionTime, t.Settings.RetentionBytes
		if age < 0 && size < 0 {
			continue
		}
		for _, p := range t.Partitions {
			if p.shard != m.s || p.Deleted() {
				continue
			}
			if err := m.retainPartition(ctx, p, now, age, size); err != nil {
				return fmt.Errorf("retention of partition %d of topic %q: %w", p.index, t.Name, err)
			}
		}
	}
	return nil
}

// retainPartition deletes, from the front, extents that are older than age
// or that size can do without. A negative limit is none.
func (m *maintenance) retainPartition(ctx context.Context, p *Partition, now time.Time, age time.Duration, size int64) error {
	bounds := p.Bounds()
	oldest := int64(0)
	if age >= 0 {
		oldest = now.Add(-age).UnixMilli()
	}
	left := int64(0)
	if size >= 0 {
		var err error
		if left, err = m.s.index.Bytes(p.log, bounds.Start); err != nil {
			return err
		}
	}
	start := bounds.Start
	it := m.s.index.Find(p.log, bounds.Start, bounds.HighWatermark)
	defer it.Close()
	for it.Next() {
		e := it.Place()
		tooOld := age >= 0 && e.MaxTime < oldest
		tooMuch := size >= 0 && left-e.Bytes >= size
		if !tooOld && !tooMuch {
			break
		}
		left -= e.Bytes
		start = min(e.End(), bounds.HighWatermark)
	}
	if it.Err() != nil || start == bounds.Start {
		return it.Err()
	}
	_, err := m.s.trim(ctx, p, start)
	if isKind(err, UnknownTopic) {
		return nil // deleted meanwhile
	}
	if isKind(err, StorageFull) {
		return nil // nothing can be done before somebody makes room
	}
	return err
}

// expireProducers forgets idempotent producers that have been silent.
func (m *maintenance) expireProducers(ctx context.Context, now time.Time) error {
	s := m.s
	before := now.Add(-s.b.Settings().ProducerIDExpiration).UnixMilli()
	_, err := call(ctx, s, func(int64) (struct{}, error) {
		if s.room(toCommit, 0) == nil && s.d.logs.HasProducersBefore(before) {
			s.log(typeProducersExpired, &topic.ProducersExpired{Before: before}, nil, nil)
		}
		return struct{}{}, nil
	})
	return err
}

// rewrite copies what is live in a run of mostly dead files into one new
// file.
func (m *maintenance) rewrite(ctx context.Context, scarce bool) error {
	s := m.s
	old := s.index.Candidates(m.policy(scarce))
	if len(old) == 0 || s.room(toFree, 0) != nil || scarce && (m.waiting || !m.maySqueeze()) {
		return nil
	}
	type plan struct {
		n     uint64
		order engine.FileID
	}
	p, err := call(ctx, s, func(int64) (plan, error) {
		return plan{s.d.files.next, s.d.files.orderOf(old[0])}, nil
	})
	if err != nil {
		return err
	}
	id := datafile.RewrittenFile(p.n)
	res, err := s.index.Rewrite(ctx, id, old)
	var damaged *engine.ErrDamaged
	if errors.As(err, &damaged) {
		for _, f := range old {
			m.damaged[f] = true
		}
		s.b.cfg.Logger.Error("stored records are damaged; their files stay as they are and are not rewritten", "shard", s.id, "error", err)
		return nil
	}
	if errors.Is(err, engine.ErrFull) {
		if m.tight++; scarce { // even a little was too much
			m.tight = max(m.tight, 2)
		}
		m.tightened = s.b.cfg.Now()
		return nil
	}
	if err != nil || res.Extents == 0 {
		return err
	}
	if err := m.logReplaced(ctx, &replaced{New: id, Order: p.order, Old: old}); err != nil {
		return err
	}
	if err := s.index.Replace(old, id); err != nil {
		return fmt.Errorf("replace rewritten files: %w", err)
	}
	s.b.cfg.Logger.Info("files rewritten", "shard", s.id, "files", len(old))
	return nil
}

// maySqueeze says whether this shard may rewrite on a full disk: one at a time,
// until the files that it has rewritten are trimmed.
func (m *maintenance) maySqueeze() bool {
	if !m.squeezing {
		m.squeezing = m.s.b.squeeze.TryLock()
	}
	return m.squeezing
}

// policy says which files are worth rewriting. Where space is scarce that is
// only where very little is left: it must fit into a part of the engine's
// ballast, the rest of which is for the checkpoints that the old files wait for.
func (m *maintenance) policy(scarce bool) datafile.Policy {
	if !scarce {
		return datafile.Policy{Eligible: func(id engine.FileID) bool { return !m.damaged[id] }}
	}
	most := m.s.traits.ReserveBytes / 4 >> max(0, m.tight-1)
	little := map[engine.FileID]bool{}
	for _, f := range m.s.index.Files() {
		little[f.File] = f.Live <= most && !m.damaged[f.File]
	}
	return datafile.Policy{
		OutputBytes: most, SmallFiles: math.MaxInt,
		Eligible: func(id engine.FileID) bool { return little[id] },
	}
}

func (m *maintenance) logReplaced(ctx context.Context, e *replaced) error {
	_, err := call(ctx, m.s, func(int64) (struct{}, error) {
		m.s.log(typeReplaced, e, nil, nil)
		return struct{}{}, nil
	})
	return err
}

// orderOf is the place of a data file in the order of files.
func (f *files) orderOf(id engine.FileID) engine.FileID {
	for _, r := range f.rewritten {
		if r.id == id {
			return r.order
		}
	}
	return id
}

// trim gives back the space of files that nothing refers to: rewritten files
// at once, journal files when no recovery needs their entries any more.
func (m *maintenance) trim(ctx context.Context) error {
	s := m.s
	dead := s.index.DeadFiles()
	safe := s.cps.Safe()
	known := map[engine.FileID]bool{}
	for _, f := range s.index.Files() {
		known[f.File] = true
	}
	last := map[engine.FileID]engine.SlotNo{}
	for _, f := range s.eng.Files() {
		if f.Open {
			continue
		}
		last[f.ID] = f.Last
		if !known[f.ID] { // replaced by a rewrite before the last start
			dead = append(dead, f.ID)
		}
	}
	if err := m.forget(ctx, dead); err != nil {
		return err
	}
	m.waiting = false
	var trim []engine.FileID
	for _, id := range dead {
		if n, isJournal := last[id]; isJournal && n > safe {
			m.waiting = true
			continue
		}
		gone, err := s.index.Remove(id)
		if err != nil {
			return err
		}
		if gone && !datafile.IsRewritten(id) {
			trim = append(trim, id)
		}
	}
	if len(trim) == 0 {
		return nil
	}
	s.b.cfg.Logger.Debug("journal files trimmed", "shard", s.id, "files", len(trim))
	if err := s.eng.Trim(trim...); err != nil {
		return err
	}
	return m.forgetTrimmed(ctx)
}

// forgetTrimmed logs which replaced journal files are not there any more: the
// state need not remember that they were replaced.
func (m *maintenance) forgetTrimmed(ctx context.Context) error {
	s := m.s
	there := map[engine.FileID]bool{}
	for _, f := range s.eng.Files() {
		there[f.ID] = true
	}
	_, err := call(ctx, s, func(int64) (struct{}, error) {
		e := &trimmed{}
		for _, id := range s.d.files.gone {
			if !there[id] {
				e.Files = append(e.Files, id)
			}
		}
		if len(e.Files) > 0 && s.room(toFree, 0) == nil {
			s.log(typeTrimmed, e, nil, nil)
		}
		return struct{}{}, nil
	})
	return err
}

// forget logs that dead rewritten files are no longer part of the data.
func (m *maintenance) forget(ctx context.Context, dead []engine.FileID) error {
	if !slices.ContainsFunc(dead, datafile.IsRewritten) {
		return nil
	}
	s := m.s
	_, err := call(ctx, s, func(int64) (struct{}, error) {
		e := &replaced{}
		for _, r := range s.d.files.rewritten {
			if slices.Contains(dead, r.id) {
				e.Old = append(e.Old, r.id)
			}
		}
		if len(e.Old) > 0 {
			s.log(typeReplaced, e, nil, nil)
		}
		return struct{}{}, nil
	})
	return err
}

// yield paces a rewrite. A checkpoint that comes due meanwhile is made: a
// rewrite that gives way to clients may take long, and the journal grows.
func (m *maintenance) yield(ctx context.Context, n int) error {
	if m.s.b.cfg.Inline {
		return nil
	}
	if now := m.s.b.cfg.Now(); m.checkpointDue(now) {
		m.checkpointed = now
		if err := m.checkpoint(ctx); err != nil {
			return err
		}
	}
	wait := m.pace.take(n, m.s.j.Busy)
	if wait == 0 {
		return ctx.Err()
	}
	select {
	case <-time.After(wait):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
