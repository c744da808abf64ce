package saga

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/waxwing-mq/waxwing/internal/flow"
	"github.com/waxwing-mq/waxwing/internal/sqltx"
	"github.com/waxwing-mq/waxwing/sqldb"
)

// An Instance is what List and Show tell of one.
type Instance struct {
	ID      string `json:"id"`
	Name    string `json:"name"` // of its definition
	Version int    `json:"version"`
	// State is running, compensating, completed, compensated, or attention: a step
	// needs an operator.
	State    string    `json:"state"`
	Reason   string    `json:"reason,omitempty"`  // why it turned back
	Request  string    `json:"request,omitempty"` // of an operator, not carried out yet: retry or skip
	Revision int64     `json:"revision"`          // counts its transitions
	Created  time.Time `json:"created"`
	Updated  time.Time `json:"updated"` // its last transition
	Steps    []Step    `json:"steps"`
	// Data is its state, JSON; List leaves it out.
	Data json.RawMessage `json:"data,omitempty"`
}

// A Step is where a step of an instance stands.
type Step struct {
	Name string `json:"name"`
	// Status is empty before it begins, then sent, waiting (for the next attempt), done,
	// refused, unknown (it may have happened), stuck or skipped; of its compensation
	// undoing, undo-waiting, undone, undo-stuck or undo-skipped.
	Status   string     `json:"status"`
	Attempts int        `json:"attempts"`
	Error    string     `json:"error,omitempty"` // the last one
	Due      *time.Time `json:"due,omitempty"`   // of its timer
}

// Stuck says whether the step needs an operator.
func (s *Step) Stuck() bool {
	return s.Status == string(flow.Stuck) || s.Status == string(flow.UndoStuck)
}

// Open says whether the step waits for a reply or for its next attempt.
func (s *Step) Open() bool {
	switch flow.Status(s.Status) {
	case flow.Sent, flow.Waiting, flow.Undoing, flow.UndoWaiting:
		return true
	}
	return false
}

// A Filter says which instances List lists. An empty field leaves all in.
type Filter struct {
	State string // such as "attention"; "live" are all that have not ended
	Name  string
	After string // an id: those behind it, for the next page
	Limit int    // 100 if it is 0
}

// ErrNotFound means that there is no instance of that id.
var ErrNotFound = errors.New("saga: no such instance")

// ErrNotStuck means that the instance does not need an operator.
var ErrNotStuck = errors.New("saga: the instance needs no attention")

const columns = "id, name, version, state, progress, request, revision, created_us, updated_us"

// List lists instances in the order of their ids. It needs no definitions.
func List[TX any](ctx context.Context, db *sqldb.DB[TX], f Filter) (all []Instance, err error) {
	query, args := "SELECT "+columns+" FROM waxwing_saga WHERE id > ?", []any{f.After}
	switch f.State {
	case "":
	case "live":
		query += " AND state IN (" + liveStates + ")"
	default:
		query, args = query+" AND state = ?", append(args, f.State)
	}
	if f.Name != "" {
		query, args = query+" AND name = ?", append(args, f.Name)
	}
	if f.Limit <= 0 {
		f.Limit = 100
	}
	err = sqltx.Each(ctx, db.Conn(), fmt.Sprintf("%s ORDER BY id LIMIT %d", query, f.Limit), args, func(read func(...any) error) error {
		var in Instance
		err := in.scan(read)
		all = append(all, in)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("saga: %w", err)
	}
	return all, nil
}

// Show tells all of an instance. It returns ErrNotFound if there is none. It needs
// no definitions.
func Show[TX any](ctx context.Context, db *sqldb.DB[TX], id string) (*Instance, error) {
	var in *Instance
	err := sqltx.Each(ctx, db.Conn(), "SELECT "+columns+", data FROM waxwing_saga WHERE id = ?", []any{id}, func(read func(...any) error) error {
		in = &Instance{}
		return in.scan(func(dest ...any) error { return read(append(dest, (*[]byte)(&in.Data))...) })
	})
	if err != nil {
		return nil, fmt.Errorf("saga: %w", err)
	}
	if in == nil {
		return nil, fmt.Errorf("%w: %s", ErrNotFound, id)
	}
	return in, nil
}

// scan reads a row.
func (in *Instance) scan(read func(...any) error) error {
	var raw []byte
	var created, updated int64
	if err := read(&in.ID, &in.Name, &in.Version, &in.State, &raw, &in.Request, &in.Revision, &created, &updated); err != nil {
		return err
	}
	var p progress
	if err := json.Unmarshal(raw, &p); err != nil {
		return fmt.Errorf("%s: its progress: %w", in.ID, err)
	}
	in.Reason, in.Created, in.Updated = p.Reason, time.UnixMicro(created).UTC(), time.UnixMicro(updated).UTC()
	for _, s := range p.Steps {
		step := Step{Name: s.Name, Status: string(s.Status), Attempts: s.Attempt, Error: s.Error}
		if due := p.Due[s.Name]; due != 0 {
			at := time.UnixMicro(due).UTC()
			step.Due = &at
		}
		in.Steps = append(in.Steps, step)
	}
	return nil
}

// What operators ask for.
const (
	requestRetry = "retry"
	requestSkip  = "skip"
)

// Retry asks for the steps of an instance that are stuck to be sent again. An engine
// does so at its next look. It returns ErrNotFound, or ErrNotStuck if the instance
// does not need it.
func Retry[TX any](ctx context.Context, db *sqldb.DB[TX], id string) error {
	return ask(ctx, db, id, requestRetry)
}

// Skip asks for an instance to go on as if the steps that are stuck were done, or
// undone, because an operator has seen to that. It returns errors as Retry does.
func Skip[TX any](ctx context.Context, db *sqldb.DB[TX], id string) error {
	return ask(ctx, db, id, requestSkip)
}

// ask writes a request, and makes the instance due.
func ask[TX any](ctx context.Context, db *sqldb.DB[TX], id, request string) error {
	return db.InTx(ctx, func(ctx context.Context, tx TX) error {
		c := db.Bind(tx)
		var state string
		err := sqltx.One(ctx, c, "SELECT state FROM waxwing_saga WHERE id = ?"+db.Dialect().ForUpdate(), []any{id}, &state)
		if errors.Is(err, sqltx.ErrNoRows) {
			return fmt.Errorf("%w: %s", ErrNotFound, id)
		}
		if err != nil {
			return fmt.Errorf("saga %s: %w", id, err)
		}
		if state != string(flow.Attention) {
			return fmt.Errorf("%w: %s is %s", ErrNotStuck, id, state)
		}
		if _, err := c.Exec(ctx, "UPDATE waxwing_saga SET request = ? WHERE id = ?", request, id); err != nil {
			return fmt.Errorf("saga %s: %w", id, err)
		}
		_, err = c.Exec(ctx, upsertTimer(db.Dialect()), id, 0)
		return err
	})
}
