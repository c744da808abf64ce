// Package sim steps a whole broker, single-threaded, over a disk in memory
// that loses power, tears and reorders unsynced writes, fails syncs and fills
// up: all decided by a seed, so that every run can be repeated. Clients send,
// retry, commit and read meanwhile, and after every crash what they were told
// is compared with what is there:
//
//   - what was acknowledged is stored, where it was said to be;
//   - what was read once is read again;
//   - nothing is stored that was not sent, and an idempotent producer's record
//     once at most, in order, with no offset missing;
//   - a committed offset is the one acknowledged last, or a later one;
//   - a message that queues confirmed is in each of them until it is settled,
//     once, and one that was settled never comes again;
//   - a message that was delivered is there until it is settled, and comes again
//     as redelivered;
//   - a one-time key of the prekey directory is given out once, and a mark that
//     was raised never sinks;
//   - replay gives exactly the state that was live.
package sim

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"math/rand/v2"
	"path"
	"strings"
	"time"

	"github.com/waxwing-mq/waxwing/internal/broker"
	"github.com/waxwing-mq/waxwing/internal/engine"
	"github.com/waxwing-mq/waxwing/internal/engine/disk"
	"github.com/waxwing-mq/waxwing/internal/engine/mem"
)

// Options describe one run.
type Options struct {
	Seed   uint64
	Shards int
	Steps  int
	Log    func(format string, args ...any) // what happens, step by step; nil drops it
}

// Report says what a run did.
type Report struct {
	Hash        [32]byte // of everything that happened; equal for equal Options
	Acked       int      // batches acknowledged
	Crashes     int      // power losses, kills and failed syncs
	Recoveries  int      // openings that succeeded
	TornOpens   int      // openings that crashed themselves
	Compared    int      // recovered states compared with live ones
	Checkpoints int      // checkpoints that were spoilt while they were written
	Refused     int      // appends refused because the disk was full
	Confirmed   int      // messages that queues took
	Settled     int      // messages that were settled, and answered
	Delivered   int      // messages that came to the consumer
	Given       int      // one-time keys that were given out
}

// world is everything in one run.
type world struct {
	opt    Options
	rng    *rand.Rand
	trace  hash.Hash
	now    time.Time
	disk   *mem.Disk
	eng    *disk.Engine
	b      *broker.Broker
	spoil  bool   // the next checkpoint is damaged while it is written
	spoilt string // the file that was damaged last, under its final name
	report Report

	topics    []*topicModel
	producers []*producer
	commits   map[string]*commitModel
	work      *work
	identity  *identityModel
	live      []map[engine.SlotNo][32]byte // per shard: the live state at each slot
	opened    []engine.SlotNo              // by shard: the slot that note was last told is open; 0: none
	names     int
}

// failure is a broken promise; it ends the run.
type failure struct{ error }

// Run runs one seed and returns an error for the first promise that does not
// hold.
func Run(opt Options) (report Report, err error) {
	w := &world{
		opt: opt, rng: rand.New(rand.NewPCG(opt.Seed, 77)), trace: sha256.New(),
		now: time.UnixMilli(1_700_000_000_000), commits: map[string]*commitModel{}, work: newWork(), identity: newIdentity(1),
	}
	defer func() {
		if r := recover(); r != nil {
			f, ok := r.(failure)
			if !ok {
				f = failure{fmt.Errorf("panic: %v", r)}
			}
			report, err = w.report, fmt.Errorf("seed %d, %d shards: %w", opt.Seed, opt.Shards, f.error)
		}
	}()
	w.disk = mem.New(mem.Options{Seed: opt.Seed, FileBytes: 128 << 10, BeforeSync: w.beforeSync})
	w.live = make([]map[engine.SlotNo][32]byte, opt.Shards)
	w.opened = make([]engine.SlotNo, opt.Shards)
	for i := range w.live {
		w.live[i] = map[engine.SlotNo][32]byte{}
	}
	w.open()
	for range 3 {
		w.producers = append(w.producers, w.newProducer())
	}
	for range opt.Steps {
		w.step()
	}
	w.disk.SetFree(-1)
	w.settle()
	w.crash("the end")
	w.verify()
	w.drainQueues()
	copy(w.report.Hash[:], w.trace.Sum(nil))
	return w.report, nil
}

func (w *world) logf(format string, args ...any) {
	fmt.Fprintf(w.trace, format, args...)
	if w.opt.Log != nil {
		format = strings.TrimSuffix(format, "\n")
		w.opt.Log(format, args...)
	}
}

func (w *world) must(ok bool, format string, args ...any) {
	if !ok {
		panic(failure{fmt.Errorf(format, args...)})
	}
}

func (w *world) one(n int) bool { return w.rng.IntN(n) == 0 }

// beforeSync damages a checkpoint on its way to the disk, when asked to.
func (w *world) beforeSync(name string) {
	if w.spoil && strings.Contains(name, "checkpoint") {
		w.spoil, w.spoilt = false, strings.Replace(name, "~", "", 1)
		w.report.Checkpoints++
		if content, err := w.disk.ReadFile(name); err == nil && len(content) > 0 {
			w.must(w.disk.FlipBit(name, int64(w.rng.IntN(len(content)*8))) == nil, "cannot flip a bit of %s", name)
		}
	}
}

// open recovers the broker, however often that crashes too, and compares the
// states.
func (w *world) open() {
	for attempt := 0; ; attempt++ {
		if attempt < 3 && w.one(6) && w.report.Recoveries > 0 {
			w.disk.CrashAfter(1 + w.rng.IntN(40))
		}
		err := w.tryOpen()
		if err == nil {
			break
		}
		if errors.Is(err, syscallENOSPC) || errors.Is(err, engine.ErrFull) {
			w.logf("no room to recover\n")
			w.disk = w.disk.Kill()
			w.disk.SetFree(-1)
			continue
		}
		if errors.Is(err, engine.ErrNewer) && w.spoilt != "" && strings.Contains(err.Error(), path.Base(w.spoilt)) {
			// The damage made its version a later one, and the crash came
			// before it was read back. No broker can tell, and it says so;
			// the operator takes the file away.
			w.logf("a spoilt checkpoint looks newer\n")
			w.must(w.disk.WriteFile(w.spoilt, nil) == nil, "cannot remove %s", w.spoilt)
			w.spoilt = ""
			w.disk = w.disk.Kill()
			continue
		}
		w.must(errors.Is(err, mem.ErrCrashed) || errors.Is(err, mem.ErrIO), "recovery refuses: %v", err)
		w.logf("recovery crashed\n")
		w.report.TornOpens++
		w.powerOff()
	}
	w.disk.CrashAfter(0)
	w.report.Recoveries++
	for i := range w.opt.Shards {
		slot, state := w.b.Recovered(i)
		if want, known := w.live[i][slot]; known {
			w.report.Compared++
			w.must(want == sha256.Sum256(state), "shard %d: the state replayed up to slot %d is not the one that was live", i, slot)
		}
		w.logf("shard %d recovered to slot %d\n", i, slot)
		clear(w.live[i])
	}
	clear(w.opened)
	w.note()
}

func (w *world) tryOpen() (err error) {
	if w.eng, err = w.disk.Engine(); err != nil {
		return err
	}
	w.b, err = broker.Open(context.Background(), broker.Config{
		Engine: w.eng, Shards: w.opt.Shards, Now: func() time.Time { return w.now },
		Rand: w.disk.Rand(), Inline: true,
		Settings: map[string]string{
			"producer.id.expiration.ms": "2147483647", "offsets.retention.minutes": "2147483647",
		},
	})
	return err
}

// powerOff loses power, or only the process.
func (w *world) powerOff() {
	if w.one(3) {
		w.disk = w.disk.Kill()
		w.logf("killed\n")
		return
	}
	w.disk = w.disk.Crash(w.rng)
	w.logf("power lost\n")
}

// crash ends the broker, starts another, and verifies.
func (w *world) crash(why string) {
	w.logf("crash: %s\n", why)
	w.report.Crashes++
	w.disk.CrashAfter(0)
	w.disk.FailSync(0)
	w.b.Abandon()
	w.powerOff()
	w.work.forgetSession()
	w.open()
	w.forgetInFlight()
	w.verify()
}

// note remembers the live state of each shard under the slot that it will
// have.
func (w *world) note() {
	for i := range w.opt.Shards {
		slot, state := w.b.State(i)
		if open := w.opened[i]; open != slot {
			delete(w.live[i], open) // it became full, with more in it than was noted
		}
		w.opened[i] = slot
		if slot == 0 {
			continue // the log has failed: what is decided now never becomes durable
		}
		w.live[i][slot] = sha256.Sum256(state)
	}
}

// decide lets the broker decide what was submitted.
func (w *world) decide() {
	w.b.Decide()
	w.note()
}

// flush makes it durable. It reports false when the disk crashed instead.
func (w *world) flush() bool {
	if err := w.b.Flush(); err != nil {
		w.crash("while flushing: " + class(err))
		return false
	}
	clear(w.opened)
	return true
}

// quiet decides and flushes what is pending, so that the call that follows
// begins a slot of its own and note's last states stay true.
func (w *world) quiet() bool {
	w.decide()
	return w.flush()
}

// class names an error without its changing parts.
func class(err error) string {
	switch {
	case errors.Is(err, mem.ErrCrashed):
		return "power"
	case errors.Is(err, mem.ErrIO):
		return "sync"
	case errors.Is(err, engine.ErrFull):
		return "full"
	}
	return err.Error()
}

func (w *world) step() {
	fmt.Fprintf(w.trace, "%d;", w.disk.Ops())
	w.now = w.now.Add(time.Duration(w.rng.IntN(2000)) * time.Millisecond)
	switch n := w.rng.IntN(100); {
	case n < 22:
		w.send()
	case n < 32:
		w.queueStep()
	case n < 39:
		w.consumeStep()
	case n < 42:
		w.stray()
	case n < 44:
		w.repeat()
	case n < 47:
		w.prekeyStep()
	case n < 50:
		w.decide()
	case n < 68:
		w.decide()
		w.flush()
	case n < 74:
		w.commit()
	case n < 79:
		w.readSome()
	case n < 84:
		w.maintain()
	case n < 87:
		w.administer()
	case n < 89:
		w.trimSome()
	case n < 90:
		w.moveClock()
	case n < 92:
		w.fill()
	case n < 94:
		w.disk.FailSync(1 + w.rng.IntN(6))
	case n < 97:
		w.disk.CrashAfter(1 + w.rng.IntN(30))
	default:
		w.crash("chosen")
	}
}

// settle sends and flushes until nothing is in flight.
func (w *world) settle() {
	w.disk.CrashAfter(0)
	w.disk.FailSync(0)
	for range 50 {
		w.retry()
		w.decide()
		w.flush()
	}
	for _, p := range w.producers {
		for _, q := range p.queues {
			w.must(len(q.batches) == 0, "producer %d cannot deliver %d batches", p.id, len(q.batches))
		}
	}
}

// moveClock sets the clock far ahead, or back.
func (w *world) moveClock() {
	by := time.Duration(w.rng.IntN(48)-12) * time.Hour
	w.now = w.now.Add(by)
	w.logf("clock moved by %v\n", by)
}

// fill takes the disk's free space away, or gives it back.
func (w *world) fill() {
	free := int64(-1)
	if w.one(2) {
		free = int64(w.rng.IntN(300 << 10))
	}
	w.disk.SetFree(free)
	w.logf("%d bytes free\n", free)
}

func (w *world) maintain() {
	if !w.quiet() {
		return
	}
	w.spoil = w.one(4)
	err := w.b.Maintain(context.Background(), w.one(3))
	spoilt := w.spoil
	w.spoil = false
	w.note()
	var damaged *engine.ErrDamaged
	switch {
	case err == nil, errors.Is(err, syscallENOSPC), errors.Is(err, engine.ErrFull):
		w.logf("maintained\n")
	case !spoilt && (errors.Is(err, engine.ErrNewer) || errors.As(err, &damaged) && strings.Contains(damaged.Path, "checkpoint")):
		w.logf("a spoilt checkpoint was noticed\n")
	case isFailed(err), errors.Is(err, mem.ErrCrashed), errors.Is(err, mem.ErrIO):
		w.crash("while maintaining: " + class(err))
	default:
		w.must(false, "maintenance: %v", err)
	}
}

func isFailed(err error) bool {
	var e *broker.Error
	return errors.As(err, &e) && e.Kind == broker.Failed
}

// values reads a partition from its start, as a consumer does.
func (w *world) values(p *broker.Partition, from int64) (map[int64]string, error) {
	out := map[int64]string{}
	high := p.Bounds().HighWatermark
	for next := max(from, p.Bounds().Start); next < high; {
		plan, err := w.b.Plan(context.Background(), p, next, high, int64(1+w.rng.IntN(8192)), true)
		if err != nil {
			return nil, err
		}
		var buf bytes.Buffer
		_, err = plan.WriteTo(&buf)
		plan.Close()
		if err != nil {
			return nil, err
		}
		before := next
		if next, err = decodeValues(buf.Bytes(), next, out); err != nil {
			return nil, err
		}
		w.must(next > before, "a fetch at offset %d of %d returns nothing", before, high)
	}
	return out, nil
}
