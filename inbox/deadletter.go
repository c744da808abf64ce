package inbox

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/waxwing-mq/waxwing/bus"
	"github.com/waxwing-mq/waxwing/internal/sqltx"
	"github.com/waxwing-mq/waxwing/sqldb"
)

// A Parked is a message that is put aside: a dead letter, which waits for an operator; with Filter.All also one that
// is tried again ("retry") or waits behind another of its key ("waiting").
type Parked struct {
	ID       int64
	Consumer string
	State    string        // "dead", "retry" or "waiting"
	Message  bus.Message   // ListDeadLetters leaves out the body
	Position *bus.Position // nil if it came from a queue
	Size     int           // of the body, in bytes
	Attempts int           // since it came, or since its last replay
	Replays  int
	Reason   string    // what the last attempt failed with
	ParkedAt time.Time // when it was put aside first
	FailedAt time.Time // when it failed last; zero if it was not tried yet
	DueAt    time.Time // of one that is tried again: when
	Behind   int       // how many wait behind it; only ShowDeadLetter counts
}

// A Filter chooses messages that are put aside: those that fit all of its fields.
type Filter struct {
	Consumer string  // all, if empty
	Topic    string  // all, if empty
	Key      string  // all, if empty
	IDs      []int64 // all, if empty
	All      bool    // also those that are no dead letters (yet)
	After    int64   // only ids above: to list page by page
	Limit    int     // at most so many; ListDeadLetters: 100 by default
}

// where is the condition, without After and Limit.
func (f *Filter) where() (string, []any) {
	cond, args := []string{"id > ?"}, []any{f.After}
	add := func(c string, a ...any) {
		cond, args = append(cond, c), append(args, a...)
	}
	if !f.All {
		add("state = ?", stateDead)
	}
	if f.Consumer != "" {
		add("consumer = ?", f.Consumer)
	}
	if f.Topic != "" {
		add("topic = ?", f.Topic)
	}
	if f.Key != "" {
		add("key_col = ?", column(f.Key))
	}
	if len(f.IDs) > 0 {
		ids := make([]any, len(f.IDs))
		for n, id := range f.IDs {
			ids[n] = id
		}
		add("id IN ("+sqltx.Marks(len(ids))+")", ids...)
	}
	return strings.Join(cond, " AND "), args
}

const listMax = 100

// withoutBody are the columns, with an empty body.
var withoutBody = strings.TrimSuffix(columns, "body") + "substr(body, 1, 0)"

// ListDeadLetters lists dead letters in the order of their ids, which is, per key,
// that of the messages.
func ListDeadLetters[TX any](ctx context.Context, db *sqldb.DB[TX], f Filter) ([]Parked, error) {
	where, args := f.where()
	limit := f.Limit
	if limit <= 0 {
		limit = listMax
	}
	out := []Parked{}
	query := "SELECT " + withoutBody + ", length(body) FROM waxwing_parked WHERE " + where + " ORDER BY id LIMIT ?"
	err := sqltx.Each(ctx, db.Conn(), query, append(args, limit), func(read func(dest ...any) error) error {
		size := 0
		r, err := scan(func(dest ...any) error { return read(append(dest, &size)...) })
		if err == nil {
			r.d.Body = nil
			out = append(out, r.public(size))
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("inbox: %w", err)
	}
	return out, nil
}

// ErrNotFound means that there is no message put aside with that id.
var ErrNotFound = errors.New("inbox: there is no such message put aside")

// ShowDeadLetter is one message that is put aside, in whichever state.
func ShowDeadLetter[TX any](ctx context.Context, db *sqldb.DB[TX], id int64) (*Parked, error) {
	rows, err := rowsWhere(ctx, db.Conn(), "id = ?", id)
	if err != nil {
		return nil, fmt.Errorf("inbox: %w", err)
	}
	if len(rows) == 0 {
		return nil, fmt.Errorf("%w: %d", ErrNotFound, id)
	}
	r := rows[0]
	out := r.public(len(r.d.Body))
	if r.blocks == 1 {
		err = sqltx.One(ctx, db.Conn(), counted("waxwing_parked p WHERE "+parkedKey+" AND p.id > ?"),
			[]any{r.consumer, r.d.Topic, r.keyCol, r.id, countMax}, &out.Behind)
	}
	return &out, err
}

// public is a row as the outside sees it.
func (r *row) public(size int) Parked {
	at := func(us int64) (t time.Time) {
		if us != 0 {
			t = time.UnixMicro(us).UTC()
		}
		return t
	}
	d := Parked{
		ID: r.id, Consumer: r.consumer, State: r.state, Message: r.d.Message, Position: r.d.Position, Size: size,
		Attempts: r.attempts, Replays: r.replays, Reason: r.reason, ParkedAt: at(r.parkedAt), FailedAt: at(r.failedAt),
	}
	if r.state == stateRetry {
		d.DueAt = at(r.due)
	}
	return d
}

// DropDeadLetters deletes the messages that a filter chooses, which has to name at
// least a consumer or ids, and lets those behind them go on. They are handled by
// nobody any more, also if the broker sends them again. It returns their ids; with
// dryRun those that it would delete. Of those that are sealed what the endpoint keeps
// stays until its time ends (seal.KeepParked); the method of Inbox discards it.
func DropDeadLetters[TX any](ctx context.Context, db *sqldb.DB[TX], f Filter, dryRun bool) (ids []int64, err error) {
	if f.Consumer == "" && len(f.IDs) == 0 {
		return nil, errors.New("inbox: say of which consumer, or which, to drop")
	}
	return dropAll(ctx, db, f, dryRun, func(context.Context, sqltx.Conn, *row) error { return nil })
}

// DropDeadLetters is the function of that name, for messages of this consumer. Those that
// are sealed cannot be opened any more.
func (i *Inbox[TX]) DropDeadLetters(ctx context.Context, f Filter, dryRun bool) (ids []int64, err error) {
	f.Consumer = i.consumer
	return dropAll(ctx, i.db, f, dryRun, func(ctx context.Context, c sqltx.Conn, r *row) error {
		if err := sqltx.One(ctx, c, "SELECT body FROM waxwing_parked WHERE id = ?", []any{r.id}, &r.d.Body); err != nil {
			return err
		}
		return i.discard(ctx, c, &r.d)
	})
}

// dropAll drops what a filter chooses, and calls forget in the transaction of each.
func dropAll[TX any](ctx context.Context, db *sqldb.DB[TX], f Filter, dryRun bool, forget func(ctx context.Context, c sqltx.Conn, r *row) error) (ids []int64, err error) {
	for {
		page, err := chosen(ctx, db, f, len(ids))
		if err != nil || len(page) == 0 {
			return ids, err
		}
		for _, r := range page {
			f.After = r.id
			ok := true
			if !dryRun {
				if ok, err = drop(ctx, db, r, forget); err != nil {
					return ids, fmt.Errorf("inbox: %w", err)
				}
			}
			if ok {
				ids = append(ids, r.id)
			}
		}
	}
}

// chosen is the next page of what a filter chooses, without bodies.
func chosen[TX any](ctx context.Context, db *sqldb.DB[TX], f Filter, have int) (out []*row, err error) {
	page := pageRows
	if f.Limit > 0 {
		page = min(page, f.Limit-have)
	}
	if page <= 0 {
		return nil, nil
	}
	where, args := f.where()
	query := "SELECT " + withoutBody + " FROM waxwing_parked WHERE " + where + " ORDER BY id LIMIT ?"
	err = sqltx.Each(ctx, db.Conn(), query, append(args, page), func(read func(dest ...any) error) error {
		r, err := scan(read)
		out = append(out, r)
		return err
	})
	if err != nil {
		err = fmt.Errorf("inbox: %w", err)
	}
	return out, err
}

// drop deletes a message unless somebody was faster.
func drop[TX any](ctx context.Context, db *sqldb.DB[TX], r *row, forget func(ctx context.Context, c sqltx.Conn, r *row) error) (ok bool, err error) {
	err = again(ctx, func() error {
		return db.InTx(ctx, func(ctx context.Context, tx TX) error {
			c := db.Bind(tx)
			var state string
			err := sqltx.One(ctx, c, "SELECT state FROM waxwing_parked WHERE id = ?"+db.Dialect().ForUpdate(), []any{r.id}, &state)
			if err != nil || state != r.state {
				return errors.Join(err, errNotNow)
			}
			if err := forget(ctx, c, r); err != nil {
				return err
			}
			_, err = remove(ctx, c, r, time.Now().UnixMicro())
			return err
		})
	})
	if errors.Is(err, errNotNow) && (errors.Is(err, sqltx.ErrNoRows) || !sqltx.Transient(err)) {
		return false, nil
	}
	return err == nil, err
}
