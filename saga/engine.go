package saga

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/waxwing-mq/waxwing/bus"
	"github.com/waxwing-mq/waxwing/inbox"
	"github.com/waxwing-mq/waxwing/internal/flow"
	"github.com/waxwing-mq/waxwing/internal/sqltx"
	"github.com/waxwing-mq/waxwing/outbox"
	"github.com/waxwing-mq/waxwing/sqldb"
)

// Engine carries out sagas. Several, in one process or in many, share the work. It
// can be used by several goroutines.
type Engine[TX any] struct {
	db      *sqldb.DB[TX]
	ob      *outbox.Outbox[TX]
	replyTo string
	opts    options
	stats   stats

	mu   sync.RWMutex
	defs map[ref]*definition
}

// An Option changes what NewEngine makes.
type Option func(*options)

type options struct {
	now        func() time.Time // nil: the database's clock
	poll, keep time.Duration
	stuckAfter time.Duration
	lanes      int
	opener     inbox.Opener
	log        *slog.Logger
}

// Clock is the clock by which timers fire. By default it is the database's, which
// all engines share.
func Clock(now func() time.Time) Option { return func(o *options) { o.now = now } }

// Poll is how often Run looks for timers that are due and for operators' requests,
// 500 ms by default.
func Poll(d time.Duration) Option { return func(o *options) { o.poll = d } }

// Keep is how long an instance is kept after its end, 7 days by default; with 0 for
// ever. Until then its id cannot be started again.
func Keep(d time.Duration) Option { return func(o *options) { o.keep = d } }

// StuckAfter is how long an instance may stand still before the metric
// waxwing_saga_stuck counts it, 1 hour by default.
func StuckAfter(d time.Duration) Option { return func(o *options) { o.stuckAfter = d } }

// Lanes is how many replies Run handles at once, 8 by default; those to an instance
// come one after the other.
func Lanes(n int) Option { return func(o *options) { o.lanes = n } }

// Seal has Run's inbox open replies that are sealed, see inbox.Seal. The commands are
// sealed by the outbox (outbox.Seal). What a saga's state holds is in its row as it is.
func Seal(o inbox.Opener) Option { return func(opts *options) { opts.opener = o } }

// Logger is where an engine says which steps need an operator, and what it could not
// do and tries again, by default slog.Default.
func Logger(l *slog.Logger) Option { return func(o *options) { o.log = l } }

// NewEngine is an engine in a database whose tables sqldb.Migrate has made. Its
// commands go through ob, which must be of the same database. Participants answer to
// the topic replyTo. It does not use the database yet.
func NewEngine[TX any](db *sqldb.DB[TX], ob *outbox.Outbox[TX], replyTo string, opts ...Option) *Engine[TX] {
	o := options{poll: 500 * time.Millisecond, keep: 7 * 24 * time.Hour, stuckAfter: time.Hour, lanes: 8, log: slog.Default()}
	for _, opt := range opts {
		opt(&o)
	}
	return &Engine[TX]{db: db, ob: ob, replyTo: replyTo, opts: o, stats: newStats(), defs: map[ref]*definition{}}
}

// Register makes definitions known, before Run. Several versions of a name can be
// registered. It returns what is wrong with them, and registers none then.
func (e *Engine[TX]) Register(defs ...AnyDefinition) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	more := map[ref]*definition{}
	var errs []error
	for _, d := range defs {
		def, err := d.erased()
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if known := e.defs[def.ref]; known != nil && known != def || more[def.ref] != nil {
			errs = append(errs, fmt.Errorf("saga %s: is registered already", def.ref))
		}
		more[def.ref] = def
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	for r, def := range more {
		e.defs[r] = def
	}
	return nil
}

// ErrUnregistered means that instances are under way whose definition, in that
// version, is not registered, or is another one than they began with.
var ErrUnregistered = errors.New("saga: no such definition is registered")

// definition finds the one of an instance.
func (e *Engine[TX]) definition(r ref, shape string) (*definition, error) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	def := e.defs[r]
	if def == nil {
		return nil, fmt.Errorf("%w: %s", ErrUnregistered, r)
	}
	if def.shape != shape {
		return nil, fmt.Errorf("%w: the steps of %s have changed, which needs a new version", ErrUnregistered, r)
	}
	return def, nil
}

// Check looks whether all instances that are under way can go on. It returns an
// error that is ErrUnregistered, and names what is missing, if not.
func (e *Engine[TX]) Check(ctx context.Context) error {
	var missing []string
	err := sqltx.Each(ctx, e.db.Conn(), `SELECT name, version, shape, COUNT(*) FROM waxwing_saga
		WHERE state IN (`+liveStates+`) GROUP BY name, version, shape`, nil,
		func(read func(...any) error) error {
			var r ref
			var shape string
			var n int64
			if err := read(&r.name, &r.version, &shape, &n); err != nil {
				return err
			}
			if _, err := e.definition(r, shape); err != nil {
				missing = append(missing, fmt.Sprintf("%s (%d under way)", strings.TrimPrefix(err.Error(), ErrUnregistered.Error()+": "), n))
			}
			return nil
		})
	if err != nil {
		return fmt.Errorf("saga: %w", err)
	}
	if len(missing) > 0 {
		slices.Sort(missing)
		return fmt.Errorf("%w: %s", ErrUnregistered, strings.Join(missing, ", "))
	}
	return nil
}

// liveStates are the states of instances under way, for SQL.
var liveStates = "'" + strings.Join([]string{string(flow.Running), string(flow.Compensating), string(flow.Attention)}, "', '") + "'"

// Bind has an inbox hand the replies to this engine. Who uses it runs the inbox, and
// RunTimers; Run does both.
func (e *Engine[TX]) Bind(ib *inbox.Inbox[TX]) {
	ib.Handle(e.replyTo, ReplyType, e.reply)
}

// Run carries out sagas until ctx ends: it consumes the replies, as the consumer
// "saga:" and the reply topic, and watches the timers. It refuses to start, with
// ErrUnregistered, while an instance is under way whose definition is not registered.
func (e *Engine[TX]) Run(ctx context.Context, sub bus.Subscriber) error {
	if err := e.Check(ctx); ctx.Err() != nil {
		return nil
	} else if err != nil {
		return err
	}
	ib, err := inbox.New(e.db, "saga:"+e.replyTo, inbox.Lanes(e.opts.lanes), inbox.Logger(e.opts.log), inbox.Wakes(e.ob), inbox.MaxAttempts(repliesForEver), inbox.Seal(e.opts.opener))
	if err != nil {
		return err
	}
	e.Bind(ib)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return ib.Run(ctx, sub) })
	g.Go(func() error { return e.watch(ctx) })
	return g.Wait()
}

// repliesForEver keeps a reply from becoming a dead letter while a release that does
// not know its definition yet is being replaced: a minute between two attempts.
const repliesForEver = 1 << 30

// RunTimers watches the timers and the operators' requests until ctx ends, for those
// who consume the replies through an inbox of their own. It refuses as Run does.
func (e *Engine[TX]) RunTimers(ctx context.Context) error {
	if err := e.Check(ctx); ctx.Err() != nil {
		return nil
	} else if err != nil {
		return err
	}
	return e.watch(ctx)
}

func (e *Engine[TX]) watch(ctx context.Context) error {
	tick := time.NewTicker(e.opts.poll)
	defer tick.Stop()
	for {
		if _, err := e.FireTimers(ctx); err != nil && ctx.Err() == nil {
			e.opts.log.Error("saga: timers; they are tried again", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}
