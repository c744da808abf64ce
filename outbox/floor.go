package outbox

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/waxwing-mq/waxwing/internal/safeguard"
	"github.com/waxwing-mq/waxwing/internal/sqltx"
)

// A floor is PostgreSQL's cure against dead rows: while an old snapshot keeps them,
// each read of a bucket's first rows would go through all that were deleted. A read
// that begins above them must not leave out a row whose transaction took its id
// early and commits late. So ids are proved to be decided first:
//
//  1. Read the last id that was handed out, L.
//  2. Collect the transactions that hold the lock on the table which every INSERT
//     takes before it takes an id, and keeps to its end. Whoever had taken an id
//     up to L is among them, or has ended.
//  3. Once all of those have ended, every id up to L is of a row that is committed,
//     and visible, or will never be. A lock goes after its transaction is visible.
//
// A prepared transaction has another name than it had before, so that the proof
// waits until there is none; a savepoint that is rolled back gives the lock back,
// but its rows are gone too.
//
// The other databases have no such proof, and begin at the first row.
type floor struct {
	store  *store
	log    *slog.Logger
	proved atomic.Int64 // all ids up to it are decided
	seen   atomic.Int64 // the highest id that was read

	last    int64           // L of the proof under way
	waiting map[string]bool // transactions that it waits for; nil if none is under way

	mu     sync.Mutex // of the two that follow, and of changes of proved
	resets int
	begun  int // resets when the proof under way began
}

const floorPause = 500 * time.Millisecond

// run proves floors, while something is published, until ctx ends.
func (f *floor) run(ctx context.Context, failed func(error)) {
	if f.store.dialect != sqltx.Postgres || safeguard.Removed(safeguard.Order) {
		return // in another order, a first row says nothing of what is before it
	}
	for ctx.Err() == nil {
		if f.seen.Load() > f.proved.Load() {
			timed, cancel := context.WithTimeout(ctx, 5*time.Second)
			if err := f.step(timed); err != nil && ctx.Err() == nil {
				f.waiting = nil
				f.reset()
				failed(err)
			}
			cancel()
		}
		select {
		case <-ctx.Done():
		case <-time.After(floorPause):
		}
	}
}

// saw notes an id that was read.
func (f *floor) saw(id int64) {
	for {
		seen := f.seen.Load()
		if id <= seen || f.seen.CompareAndSwap(seen, id) {
			return
		}
	}
}

// reset forgets what was proved: the database may be another by now.
func (f *floor) reset() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.resets++
	f.proved.Store(0)
}

// step begins a proof, or sees whether one is complete.
func (f *floor) step(ctx context.Context) error {
	if f.waiting == nil {
		if err := f.begin(ctx); err != nil {
			return err
		}
	}
	running, prepared, err := f.holders(ctx)
	if err != nil {
		return err
	}
	if f.waiting == nil {
		f.waiting = running
	}
	for t := range f.waiting {
		if !running[t] {
			delete(f.waiting, t)
		}
	}
	if len(f.waiting) == 0 && !prepared {
		f.conclude()
	}
	return nil
}

// conclude ends a proof, which counts unless there was a reset meanwhile.
func (f *floor) conclude() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.waiting = nil
	if f.resets == f.begun {
		f.proved.Store(f.last)
	}
}

// begin reads the last id that was handed out.
func (f *floor) begin(ctx context.Context) error {
	f.mu.Lock()
	f.begun = f.resets
	f.mu.Unlock()
	var sequence string
	if err := sqltx.One(ctx, f.store.conn, "SELECT pg_get_serial_sequence('waxwing_outbox', 'id')", nil, &sequence); err != nil {
		return err
	}
	err := sqltx.One(ctx, f.store.conn, "SELECT CASE WHEN is_called THEN last_value ELSE last_value - 1 END FROM "+sequence, nil, &f.last)
	if err != nil {
		return err
	}
	if seen := f.seen.Load(); f.last < seen {
		f.reset()
		f.seen.Store(f.last)
		f.log.Error("outbox: ids are handed out again, as after a restore or a failover that lost commits: call RenewEpoch and start the relays again", "last", f.last, "seen", seen)
	}
	return nil
}

// holders are the transactions that may be inserting, and whether some are prepared.
func (f *floor) holders(ctx context.Context) (running map[string]bool, prepared bool, err error) {
	running = map[string]bool{}
	err = sqltx.Each(ctx, f.store.conn, "SELECT virtualtransaction, pid IS NULL FROM pg_locks WHERE locktype = 'relation' AND mode = 'RowExclusiveLock'"+
		" AND relation = 'waxwing_outbox'::regclass AND database = (SELECT oid FROM pg_database WHERE datname = current_database())", nil,
		func(read func(...any) error) error {
			var name string
			var nobody bool
			err := read(&name, &nobody)
			if nobody {
				prepared = true
			} else {
				running[name] = true
			}
			return err
		})
	return running, prepared, err
}

// A mark is the floor of a bucket: nothing of it is or will be at or below.
type mark struct {
	id   int64
	full time.Time // when it was last read from its beginning
	zero bool      // the read under way is from the beginning
}

// fromStart is how often a bucket is read from its beginning all the same, in case
// ids are handed out again.
const fromStart = time.Minute

// from is the id behind which a read begins.
func (m *mark) from() int64 {
	if m.zero = time.Since(m.full) >= fromStart; m.zero {
		return 0
	}
	return m.id
}

// read notes what a read found, before which ids up to proved were decided.
func (m *mark) read(p *part, proved int64) {
	if p.unread && len(p.ids) == 0 {
		return // the read did not get to this bucket
	}
	if m.zero {
		m.id, m.full = 0, time.Now()
	}
	if proved == 0 {
		m.id = 0
		return
	}
	if len(p.ids) > 0 {
		proved = min(proved, p.ids[0]-1)
	}
	m.id = max(m.id, proved)
}
