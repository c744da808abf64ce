package saga

import (
	"context"
	"errors"
	"fmt"

	"github.com/waxwing-mq/waxwing/internal/flow"
	"github.com/waxwing-mq/waxwing/internal/killpoint"
	"github.com/waxwing-mq/waxwing/internal/safeguard"
	"github.com/waxwing-mq/waxwing/internal/sqltx"
)

// The barrier is a row per (saga, step, op), whose unique key decides what a command
// may do:
//
//   - An action inserts (step, action). If that is taken the action was carried out,
//     and its answer comes again; or its compensation was here first, and it is barred.
//   - A compensation inserts (step, compensate), and then (step, action) too. If that
//     second insert succeeds the action was never carried out: there is nothing to
//     undo, and the action, should it still come, finds its key taken.
//
// Two commands at once meet at the unique index: the second waits for the first's
// transaction.

// perform carries out a command as far as the barrier lets it.
func (p *Participant[TX]) perform(ctx context.Context, c sqltx.Conn, a *answer, act func() (any, error)) error {
	if safeguard.Removed(safeguard.Barrier) {
		return call(ctx, c, a, act)
	}
	if err := killpoint.At(ctx, killpoint.Barrier, killpoint.Before); err != nil {
		return err
	}
	b := barrier{c, p.db.Dialect(), a.name + "/" + a.saga, a.step}
	enter := b.enterAction
	if a.op == flow.Compensation {
		enter = b.enterCompensation
	}
	perform, err := enter(ctx, a)
	if err != nil {
		return fmt.Errorf("saga: barrier: %w", err)
	}
	if err := killpoint.At(ctx, killpoint.Barrier, killpoint.After); err != nil {
		return err
	}
	if !perform {
		return nil
	}
	a.reply, a.err = nil, "" // of the rejection before
	if err := call(ctx, c, a, act); err != nil {
		return err
	}
	return b.leave(ctx, a)
}

// barrier are the rows of a step.
type barrier struct {
	c          sqltx.Conn
	dialect    sqltx.Dialect
	saga, step string
}

// enterAction says whether an action may be carried out. If not, a is the answer.
func (b *barrier) enterAction(ctx context.Context, a *answer) (perform bool, err error) {
	fresh, err := b.insert(ctx, flow.Action, flow.OK)
	if err != nil || fresh {
		return fresh, err
	}
	if err := b.read(ctx, flow.Action, a); err != nil {
		return false, err
	}
	return a.outcome == flow.Rejected && a.again, nil
}

// enterCompensation says whether a compensation may be carried out. If not, a is the
// answer.
func (b *barrier) enterCompensation(ctx context.Context, a *answer) (perform bool, err error) {
	fresh, err := b.insert(ctx, flow.Compensation, flow.OK)
	if err != nil {
		return false, err
	}
	if !fresh {
		return false, b.read(ctx, flow.Compensation, a)
	}
	null, err := b.insert(ctx, flow.Action, flow.Barred)
	if err != nil {
		return false, err
	}
	if !null {
		action := answer{}
		if err := b.read(ctx, flow.Action, &action); err != nil {
			return false, err
		}
		if action.outcome == flow.OK {
			return true, nil
		}
	}
	a.outcome = flow.OK // there is nothing to undo
	return false, nil
}

// leave keeps the answer, so that it can come again. What failed may be tried again.
func (b *barrier) leave(ctx context.Context, a *answer) (err error) {
	const row = " WHERE saga = ? AND step = ? AND op = ?"
	again := a.outcome == flow.Failed || a.outcome == flow.Rejected && a.op == flow.Compensation
	switch {
	case again:
		_, err = b.c.Exec(ctx, "DELETE FROM waxwing_saga_barrier"+row, b.saga, b.step, string(a.op))
	case a.outcome == flow.OK && len(a.reply) == 0 && !a.again: // as it was inserted
	default:
		_, err = b.c.Exec(ctx, "UPDATE waxwing_saga_barrier SET outcome = ?, reply = ?, error = ?"+row,
			string(a.outcome), orEmpty(a.reply), a.err, b.saga, b.step, string(a.op))
	}
	if err != nil {
		return fmt.Errorf("saga: barrier: %w", err)
	}
	return nil
}

func orEmpty(b []byte) []byte {
	if b == nil {
		return []byte{} // nil would be NULL
	}
	return b
}

// insert takes a key, unless it is taken.
func (b *barrier) insert(ctx context.Context, op flow.Op, outcome flow.Outcome) (fresh bool, err error) {
	n, err := b.c.Exec(ctx, "INSERT INTO waxwing_saga_barrier (saga, step, op, outcome, reply, error, created_us) VALUES (?, ?, ?, ?, ?, '', "+b.dialect.Now()+")"+b.onTaken(),
		b.saga, b.step, string(op), string(outcome), []byte{})
	return n > 0, err
}

func (b *barrier) onTaken() string {
	if b.dialect == sqltx.MySQL {
		return " ON DUPLICATE KEY UPDATE saga = saga"
	}
	return " ON CONFLICT DO NOTHING"
}

// read takes an answer from a row.
func (b *barrier) read(ctx context.Context, op flow.Op, a *answer) error {
	var outcome string
	err := sqltx.One(ctx, b.c, "SELECT outcome, reply, error FROM waxwing_saga_barrier WHERE saga = ? AND step = ? AND op = ?",
		[]any{b.saga, b.step, string(op)}, &outcome, &a.reply, &a.err)
	if errors.Is(err, sqltx.ErrNoRows) {
		err = errors.New("its row was removed meanwhile")
	}
	a.outcome = flow.Outcome(outcome)
	return err
}
