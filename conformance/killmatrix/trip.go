//go:build killpoints

package killmatrix

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/waxwing-mq/waxwing/bus"
	"github.com/waxwing-mq/waxwing/inbox"
	"github.com/waxwing-mq/waxwing/saga"
	"github.com/waxwing-mq/waxwing/waxtest"
)

// A trip is the state of the workload's saga.
type trip struct{ ID string }

// A job is what participants are asked to do.
type job struct{ Saga, Step string }

// The instances: trip-0 and trip-3 complete; of trip-1 the charge is refused; of
// trip-2 the label comes too late, after it was undone; and so on.
func kind(id string) int {
	var n int
	if _, err := fmt.Sscanf(id, "trip-%d", &n); err != nil {
		panic(err)
	}
	return n % 4
}

// ends says whether an instance may end so. The late ones end by who is first after
// a crash.
func ends(id, state string) bool {
	switch kind(id) {
	case 1:
		return state == "compensated"
	case 2:
		return true
	default:
		return state == "completed"
	}
}

// The versions of the saga.
const (
	version     = 1
	lateVersion = 2
)

// versionOf is that of an instance.
func (w *worker) versionOf(id string) *saga.Definition[trip] {
	if kind(id) == 2 {
		return w.late
	}
	return w.trip
}

// slow is for how long a late label is put off, and patience how long the saga waits.
const (
	slow     = 900 * time.Millisecond
	patience = 400 * time.Millisecond
)

// define is the saga, of which the late instances have a version of their own, in
// which a label may take only so long. Compensations go another way than actions do,
// so that one may overtake the other.
func (w *worker) define(version int) *saga.Definition[trip] {
	do := func(step string) saga.Builder[trip] {
		return func(s trip) (saga.Command, error) {
			return saga.Command{Topic: w.Prefix + "do", Type: "do", Data: job{s.ID, step}}, nil
		}
	}
	undo := func(step string) saga.Builder[trip] {
		return func(s trip) (saga.Command, error) {
			return saga.Command{Topic: w.Prefix + "undo", Type: "undo", Data: job{s.ID, step}}, nil
		}
	}
	quick := saga.Backoff(50*time.Millisecond, 200*time.Millisecond)
	again := []saga.StepOption{saga.Attempts(100), quick}
	label := again
	if version == lateVersion {
		label = append(slices.Clone(again), saga.Timeout(patience))
	}
	return saga.Define[trip]("trip", version).
		Step("reserve", do("reserve"), undo("reserve"), again...).
		Parallel(
			saga.Branch("pack", do("pack"), undo("pack"), again...),
			saga.Branch("label", late(do("label"), w.Prefix), undo("label"), label...)).
		Pivot("charge", do("charge"), again...).
		Step("ship", do("ship"), nil, again...)
}

// late has the labels that come too late go a way of their own, so that the others
// need not wait behind them.
func late(b saga.Builder[trip], prefix string) saga.Builder[trip] {
	return func(s trip) (saga.Command, error) {
		c, err := b(s)
		if kind(s.ID) == 2 {
			c.Topic = prefix + "late"
		}
		return c, err
	}
}

// participant carries out the commands.
func (w *worker) participant() (*saga.Participant[*sql.Tx], error) {
	ib, err := w.inbox("participant")
	if err != nil {
		return nil, err
	}
	p := saga.NewParticipant(w.db, ib, w.answers)
	saga.Serve(p, w.Prefix+"do", "do", w.do)
	saga.Serve(p, w.Prefix+"late", "do", func(ctx context.Context, tx *sql.Tx, j job, m *bus.Delivery) (any, error) {
		if w.attempts("late "+j.Saga) == 1 {
			return nil, inbox.Retry(slow, errNotNow)
		}
		return w.do(ctx, tx, j, m)
	})
	saga.ServeCompensation(p, w.Prefix+"undo", "undo", func(ctx context.Context, tx *sql.Tx, j job, _ *bus.Delivery) (any, error) {
		return nil, w.step(ctx, tx, j, "compensation")
	})
	return p, nil
}

// do carries out an action.
func (w *worker) do(ctx context.Context, tx *sql.Tx, j job, _ *bus.Delivery) (any, error) {
	if j.Step == "charge" && kind(j.Saga) == 1 {
		return nil, saga.Rejected(errors.New("no money"))
	}
	return nil, w.step(ctx, tx, j, "action")
}

// step writes an effect of a saga into the ledger.
func (w *worker) step(ctx context.Context, tx *sql.Tx, j job, op string) error {
	return w.ledger.Effect(ctx, tx, waxtest.Effect{Consumer: "participant", CauseID: j.Saga, Key: j.Step + "/" + op})
}

// startSagas starts all instances, each once.
func (w *worker) startSagas(ctx context.Context) error {
	for i := range sagas {
		id := fmt.Sprintf("trip-%d", i)
		if err := w.ob.InTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
			return saga.Start(ctx, w.engine, tx, w.versionOf(id), id, trip{id})
		}); err != nil {
			return err
		}
		time.Sleep(20 * time.Millisecond)
	}
	w.produced.Add(1)
	<-ctx.Done()
	return nil
}

// runs are the sagas as the check wants them.
func (w *worker) runs(ctx context.Context, effects []waxtest.Effect) (runs []waxtest.SagaRun, err error) {
	all, err := saga.List(ctx, w.db, saga.Filter{Limit: 2 * sagas})
	if err != nil {
		return nil, err
	}
	for _, in := range all {
		r := waxtest.SagaRun{ID: in.ID, State: in.State, Steps: sagaSteps}
		for _, e := range effects {
			if e.Consumer == "participant" && e.CauseID == in.ID {
				step, op, _ := strings.Cut(e.Key, "/")
				r.Effects = append(r.Effects, waxtest.SagaEffect{Step: step, Op: op})
			}
		}
		runs = append(runs, r)
	}
	return runs, nil
}
