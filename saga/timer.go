package saga

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/waxwing-mq/waxwing/internal/flow"
	"github.com/waxwing-mq/waxwing/internal/killpoint"
	"github.com/waxwing-mq/waxwing/internal/sqltx"
)

// timersPerRead is how many timers are read at once.
const timersPerRead = 100

// FireTimers does what is due now: timers, operators' requests, the removal of
// instances that ended long ago. It returns how many instances it has worked on.
// Run calls it; tests with a clock of their own may. Instances that others work on
// are left to them. An error does not keep it from the other instances.
func (e *Engine[TX]) FireTimers(ctx context.Context) (fired int, err error) {
	var failed int
	var first error
	after := timerRow{}
	for {
		rows, err := e.dueTimers(ctx, after)
		if err != nil {
			return fired, fmt.Errorf("saga: %w", err)
		}
		for _, r := range rows {
			done, err := e.fire(ctx, r.id)
			if err != nil {
				failed++
				first = cmp.Or(first, err)
			}
			if done {
				fired++
			}
		}
		if len(rows) < timersPerRead || ctx.Err() != nil {
			break
		}
		after = rows[len(rows)-1]
	}
	if fired > 0 {
		e.ob.Wake()
	}
	if failed > 0 {
		return fired, fmt.Errorf("saga: %d instances failed: %w", failed, first)
	}
	return fired, nil
}

type timerRow struct {
	due int64
	id  string
}

// dueTimers are the next ones after another, without a lock.
func (e *Engine[TX]) dueTimers(ctx context.Context, after timerRow) (rows []timerRow, err error) {
	now, _ := e.clock()
	err = sqltx.Each(ctx, e.db.Conn(), fmt.Sprintf(`SELECT due_us, saga_id FROM waxwing_saga_timer
		WHERE due_us <= %s AND (due_us > ? OR due_us = ? AND saga_id > ?) ORDER BY due_us, saga_id LIMIT %d`, now, timersPerRead),
		[]any{after.due, after.due, after.id},
		func(read func(...any) error) error {
			var r timerRow
			err := read(&r.due, &r.id)
			rows = append(rows, r)
			return err
		})
	return rows, err
}

// fire does what is due of an instance, in a transaction. The instance is locked
// before its timer, as everywhere.
func (e *Engine[TX]) fire(ctx context.Context, id string) (done bool, err error) {
	err = e.db.InTx(ctx, func(ctx context.Context, tx TX) error {
		done = false
		if err := killpoint.At(ctx, killpoint.SagaTimer, killpoint.Before); err != nil {
			return err
		}
		c := e.db.Bind(tx)
		in, err := e.load(ctx, c, id, true)
		if err != nil || in == nil {
			return err
		}
		if err := e.fireLoaded(ctx, tx, c, in); err != nil {
			return err
		}
		done = true
		return killpoint.At(ctx, killpoint.SagaTimer, killpoint.After)
	})
	if sqltx.Transient(err) {
		return false, nil // the next look is soon
	}
	return done && err == nil, err
}

func (e *Engine[TX]) fireLoaded(ctx context.Context, tx TX, c sqltx.Conn, in *instance) error {
	if !in.State().Live() {
		return e.remove(ctx, c, in)
	}
	t := transition{in: in, replyTo: e.replyTo, rearm: true}
	for _, step := range slices.Sorted(maps.Keys(in.Due)) {
		if in.Due[step] > in.now {
			continue
		}
		delete(in.Due, step)
		t.take(flow.Event{Kind: flow.Timer, Step: step})
	}
	t.operator()
	return e.commit(ctx, tx, c, &t)
}

// remove forgets an instance that ended long ago.
func (e *Engine[TX]) remove(ctx context.Context, c sqltx.Conn, in *instance) error {
	if in.Timer == 0 || in.Timer > in.now { // an operator made the row due, too late
		return e.setTimer(ctx, c, in.id, in.Timer)
	}
	if _, err := c.Exec(ctx, "DELETE FROM waxwing_saga WHERE id = ?", in.id); err != nil {
		return err
	}
	return e.setTimer(ctx, c, in.id, 0)
}
