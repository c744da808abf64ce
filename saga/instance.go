package saga

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/waxwing-mq/waxwing/internal/flow"
	"github.com/waxwing-mq/waxwing/internal/killpoint"
	"github.com/waxwing-mq/waxwing/internal/sqltx"
)

// An instance is a row of waxwing_saga, locked by a transaction.
type instance struct {
	id       string
	def      *definition
	data     []byte // the state, JSON
	request  string // of an operator: "", "retry" or "skip"
	revision int64
	now      int64 // µs since 1970, when it was read
	progress
}

// progress is what the column of that name holds.
type progress struct {
	flow.Saga
	// Due are the timers of steps, in µs since 1970.
	Due map[string]int64 `json:"due,omitempty"`
	// Timer is when the row of waxwing_saga_timer is due, at the latest; 0 if there is
	// none. A timer that is cleared, or comes later, leaves that row as it is: at worst
	// the instance is looked at once in vain.
	Timer int64 `json:"timer,omitempty"`
}

// next is when the instance must be looked at, 0 if no timer runs.
func (p *progress) next() (due int64) {
	for _, d := range p.Due {
		if due == 0 || d < due {
			due = d
		}
	}
	return due
}

// clock is the expression for now, or what the clock that was given says.
func (e *Engine[TX]) clock() (expr string, at int64) {
	if e.opts.now == nil {
		return e.db.Dialect().Now(), 0
	}
	return fmt.Sprint(e.opts.now().UnixMicro()), e.opts.now().UnixMicro()
}

// load reads and locks an instance. It returns nil if there is none, or, with
// skipLocked, if somebody else works on it.
func (e *Engine[TX]) load(ctx context.Context, c sqltx.Conn, id string, skipLocked bool) (*instance, error) {
	lock := e.db.Dialect().ForUpdate()
	if skipLocked {
		lock = e.db.Dialect().SkipLocked()
	}
	now, _ := e.clock()
	in := &instance{id: id}
	var r ref
	var shape string
	var progress []byte
	err := sqltx.One(ctx, c, `SELECT name, version, shape, data, progress, request, revision, `+now+`
		FROM waxwing_saga WHERE id = ?`+lock, []any{id},
		&r.name, &r.version, &shape, &in.data, &progress, &in.request, &in.revision, &in.now)
	if errors.Is(err, sqltx.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("saga %s: %w", id, err)
	}
	if err := json.Unmarshal(progress, &in.progress); err != nil {
		return nil, fmt.Errorf("saga %s: its progress: %w", id, err)
	}
	if !in.State().Live() {
		in.def = &definition{ref: r} // nothing needs its steps any more
		return in, nil
	}
	in.def, err = e.definition(r, shape)
	return in, err
}

// save writes an instance back.
func (e *Engine[TX]) save(ctx context.Context, c sqltx.Conn, in *instance) error {
	progress, err := json.Marshal(in.progress)
	if err != nil {
		return err
	}
	if err := killpoint.At(ctx, killpoint.SagaTransition, killpoint.Before); err != nil {
		return err
	}
	n, err := c.Exec(ctx, `UPDATE waxwing_saga SET state = ?, data = ?, progress = ?, request = '', revision = revision + 1, updated_us = ?
		WHERE id = ? AND revision = ?`, string(in.State()), in.data, progress, in.now, in.id, in.revision)
	if err == nil && n != 1 {
		err = errors.New("its row was changed meanwhile")
	}
	if err != nil {
		return fmt.Errorf("saga %s: %w", in.id, err)
	}
	return killpoint.At(ctx, killpoint.SagaTransition, killpoint.After)
}

// setTimer writes or removes the row of waxwing_saga_timer.
func (e *Engine[TX]) setTimer(ctx context.Context, c sqltx.Conn, id string, due int64) (err error) {
	if due == 0 {
		_, err = c.Exec(ctx, "DELETE FROM waxwing_saga_timer WHERE saga_id = ?", id)
		return err
	}
	_, err = c.Exec(ctx, upsertTimer(e.db.Dialect()), id, due)
	return err
}

func upsertTimer(d sqltx.Dialect) string {
	end := " ON CONFLICT (saga_id) DO UPDATE SET due_us = excluded.due_us"
	if d == sqltx.MySQL {
		end = " ON DUPLICATE KEY UPDATE due_us = VALUES(due_us)"
	}
	return "INSERT INTO waxwing_saga_timer (saga_id, due_us) VALUES (?, ?)" + end
}
