package saga

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/waxwing-mq/waxwing/internal/flow"
	"github.com/waxwing-mq/waxwing/internal/sqltx"
)

// ErrExists means that an instance of another definition has the id.
var ErrExists = errors.New("saga: another saga has this id")

// Start begins an instance in the caller's transaction: its row, and the commands of
// its first steps, are there once that commits (call the outbox's Wake then, or use
// its InTx). The id, of at most 200 bytes of UTF-8, without a space at its end, is the caller's, such as an order's; with
// the definition's name it must be unique among all who command the same
// participants. If there is an instance of that id and name already, whatever has
// become of it, Start does nothing.
func Start[S, TX any](ctx context.Context, e *Engine[TX], tx TX, d *Definition[S], id string, state S) error {
	if id == "" || len(id) > maxID || !plain(id) {
		return fmt.Errorf("saga: the id %.40q: an id must have 1 to %d bytes of UTF-8, without a zero and without a space at its end", id, maxID)
	}
	def, err := e.definition(d.d.ref, d.d.shape)
	if err != nil {
		return err
	}
	data, err := json.Marshal(state)
	if err != nil {
		return fmt.Errorf("saga %s: its state: %w", id, err)
	}
	c := e.db.Bind(tx)
	in := &instance{id: id, def: def, data: data, revision: 1}
	expr, at := e.clock()
	if in.now = at; at == 0 {
		if err := sqltx.One(ctx, c, "SELECT "+expr, nil, &in.now); err != nil {
			return fmt.Errorf("saga %s: %w", id, err)
		}
	}
	t := &transition{in: in, replyTo: e.replyTo}
	t.take(flow.Event{Kind: flow.Start})
	if in.Phase != flow.Running {
		return fmt.Errorf("saga %s: %s", id, in.Reason)
	}
	return e.begin(ctx, tx, c, t)
}

// plain says whether a text is itself in each of the databases: MySQL takes texts for
// the same that differ in spaces at their end, and cuts off what is not UTF-8.
func plain(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsRune(s, 0) && !strings.HasSuffix(s, " ")
}

// begin writes a new instance, unless there is one.
func (e *Engine[TX]) begin(ctx context.Context, tx TX, c sqltx.Conn, t *transition) error {
	in := t.in
	in.Timer = in.next()
	progress, err := json.Marshal(in.progress)
	if err != nil {
		return err
	}
	n, err := c.Exec(ctx, e.db.Dialect().InsertOnce("waxwing_saga", "id", "name", "version", "shape", "state", "data", "progress", "request", "revision", "created_us", "updated_us"),
		in.id, in.def.name, in.def.version, in.def.shape, string(in.State()), in.data, progress, "", in.revision, in.now, in.now)
	if err != nil {
		return fmt.Errorf("saga %s: %w", in.id, err)
	}
	if n == 0 {
		return e.existing(ctx, c, in)
	}
	if err := e.publish(ctx, tx, t); err != nil {
		return err
	}
	if in.Timer != 0 {
		if err := e.setTimer(ctx, c, in.id, in.Timer); err != nil {
			return err
		}
	}
	e.tell(t)
	return nil
}

// existing says whether the instance that is there is the one that was to begin.
func (e *Engine[TX]) existing(ctx context.Context, c sqltx.Conn, in *instance) error {
	var name string
	if err := sqltx.One(ctx, c, "SELECT name FROM waxwing_saga WHERE id = ?", []any{in.id}, &name); err != nil {
		return fmt.Errorf("saga %s: %w", in.id, err)
	}
	if name != in.def.name {
		return fmt.Errorf("%w: %s is of %s", ErrExists, in.id, name)
	}
	return nil
}
