package inbox

import (
	"context"
	"fmt"

	"github.com/waxwing-mq/waxwing/internal/killpoint"
	"github.com/waxwing-mq/waxwing/internal/safeguard"
	"github.com/waxwing-mq/waxwing/internal/sqltx"
)

// statements are those of a dialect by which a message is admitted: each inserts or
// raises a row, and affects none if the message was seen. With PostgreSQL they
// return a row that says whether its key is parked; elsewhere that is asked
// separately.
type statements struct {
	returning         bool
	event, seq, place string
	update            map[level]string // of a row that is there, with the same arguments
	isParked          string
}

// parkedKey are the messages that later ones of a key have to wait for.
const parkedKey = "p.consumer = ? AND p.topic = ? AND p.key_col = ? AND p.blocks = 1"

func statementsOf(d sqltx.Dialect) statements {
	s := statements{
		event:    d.InsertOnce("waxwing_inbox_event", "consumer", "event_key", "seen_us"),
		seq:      raise(d, "waxwing_inbox_key", "seq", "consumer", "epoch", "topic", "msg_key"),
		place:    raise(d, "waxwing_inbox_position", "next_offset", "consumer", "topic", "part"),
		isParked: "SELECT 1 FROM waxwing_parked p WHERE " + parkedKey + " LIMIT 1",
	}
	if d == sqltx.Postgres {
		s.returning = true
		s.update = map[level]string{
			bySequence: "UPDATE waxwing_inbox_key SET seen_us = $5, seq = $6 WHERE consumer = $1 AND epoch = $2 AND topic = $3 AND msg_key = $4 AND seq < $6",
			byPosition: "UPDATE waxwing_inbox_position SET seen_us = $4, next_offset = $5 WHERE consumer = $1 AND topic = $2 AND part = $3 AND next_offset < $5",
		}
		const other = " RETURNING EXISTS (SELECT 1 FROM waxwing_parked p WHERE " + parkedKey + ")"
		s.event += other
		s.place += other
		const own = " RETURNING EXISTS (SELECT 1 FROM waxwing_parked p WHERE p.consumer = waxwing_inbox_key.consumer" +
			" AND p.topic = waxwing_inbox_key.topic AND p.key_col = waxwing_inbox_key.msg_key AND p.blocks = 1)"
		s.seq += own
		s.update[bySequence] += own
		s.update[byPosition] += " RETURNING EXISTS (SELECT 1 FROM waxwing_parked p WHERE p.consumer = $6 AND p.topic = $7 AND p.key_col = $8 AND p.blocks = 1)"
	}
	return s
}

// raise is an INSERT of a row with a mark, or an UPDATE of one whose mark is lower.
// Its arguments are the key, seen_us and the mark.
func raise(d sqltx.Dialect, table, mark string, key ...string) string {
	names, marks := "", ""
	for _, k := range key {
		names, marks = names+k+", ", marks+"?, "
	}
	q := "INSERT INTO " + table + " (" + names + "seen_us, " + mark + ") VALUES (" + marks + "?, ?)"
	if d == sqltx.MySQL { // assigns from left to right: the mark comes last
		return q + fmt.Sprintf(" ON DUPLICATE KEY UPDATE seen_us = IF(%[1]s < VALUES(%[1]s), VALUES(seen_us), seen_us), %[1]s = GREATEST(%[1]s, VALUES(%[1]s))", mark)
	}
	return q + fmt.Sprintf(" ON CONFLICT (%[1]s) DO UPDATE SET seen_us = excluded.seen_us, %[2]s = excluded.%[2]s WHERE %[3]s.%[2]s < excluded.%[2]s",
		names[:len(names)-2], mark, table)
}

// An admission is what the row says that a message is known by.
type admission struct {
	fresh  bool // the message is new
	parked bool // it has to wait behind others of its key
}

// An admitError says that f was not called: the message has no part in it.
type admitError struct{ error }

func (e admitError) Unwrap() error { return e.error }

// admitted runs f in a transaction that begins with the row that a message is known
// by, and tells it what that said.
func (i *Inbox[TX]) admitted(ctx context.Context, it *item, f func(ctx context.Context, tx TX, a admission) error) error {
	begin := i.admit
	if i.sql.returning && it.level != byNothing {
		begin = i.admitFirst
	}
	return again(ctx, func() error {
		called := false
		err := begin(ctx, it, func(ctx context.Context, tx TX, a admission) error {
			called = true
			return f(ctx, tx, a)
		})
		if err != nil && !called {
			return admitError{fmt.Errorf("inbox: %w", err)}
		}
		return err
	})
}

// admitFirst begins by the statement that says all.
func (i *Inbox[TX]) admitFirst(ctx context.Context, it *item, f func(ctx context.Context, tx TX, a admission) error) error {
	if err := killpoint.At(ctx, killpoint.InboxInsert, killpoint.Before); err != nil {
		return err
	}
	q := i.question(it)
	var a admission
	return i.db.InTxFirst(ctx, q.first, q.args, a.scan, func(ctx context.Context, tx TX) error {
		if err := i.answered(ctx, i.db.Bind(tx), it, &q, &a); err != nil {
			return err
		}
		return f(ctx, tx, a)
	})
}

// A question is how PostgreSQL is asked for all that an admission is.
type question struct {
	first, query string
	args         []any
	hash         uint64 // of the row
}

// question is that of an item. Of a row that is known it is an UPDATE first; if that
// finds nothing, the message was seen, or the row is gone, which query tells.
func (i *Inbox[TX]) question(it *item) (q question) {
	q.query, q.args = i.row(it)
	if it.level != bySequence { // whose row has it all
		q.args = append(q.args, i.consumer, it.d.Topic, it.keyCol)
	}
	q.hash, q.first = i.known.hash(it), q.query
	if i.known.has(q.hash) {
		q.first = i.sql.update[it.level]
	}
	return q
}

// answered completes what the first statement of a question has told.
func (i *Inbox[TX]) answered(ctx context.Context, c sqltx.Conn, it *item, q *question, a *admission) error {
	if !a.fresh && q.first != q.query {
		if err := a.ask(ctx, c, q.query, q.args); err != nil {
			return err
		}
	}
	i.known.add(q.hash)
	a.parked = a.parked && it.d.Key != ""
	return i.guarded(ctx, c, it, a)
}

// ask carries out a statement that begins no transaction.
func (a *admission) ask(ctx context.Context, c sqltx.Conn, query string, args []any) error {
	rows, err := c.Query(ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	if err := a.scan(rows); err != nil {
		return err
	}
	rows.Close()
	return rows.Err()
}

// admit begins, and then writes the row.
func (i *Inbox[TX]) admit(ctx context.Context, it *item, f func(ctx context.Context, tx TX, a admission) error) error {
	return i.db.InTx(ctx, func(ctx context.Context, tx TX) error {
		a, err := i.admitWithin(ctx, i.db.Bind(tx), it)
		if err != nil {
			return err
		}
		return f(ctx, tx, a)
	})
}

// admitWithin writes an item's row in a transaction that is under way, by one
// statement or two.
func (i *Inbox[TX]) admitWithin(ctx context.Context, c sqltx.Conn, it *item) (a admission, err error) {
	if err := killpoint.At(ctx, killpoint.InboxInsert, killpoint.Before); err != nil {
		return a, err
	}
	if i.sql.returning && it.level != byNothing {
		q := i.question(it)
		if err := a.ask(ctx, c, q.first, q.args); err != nil {
			return a, err
		}
		return a, i.answered(ctx, c, it, &q, &a)
	}
	a.fresh = true
	if query, args := i.row(it); query != "" {
		n, err := c.Exec(ctx, query, args...)
		if err != nil {
			return a, err
		}
		a.fresh = n > 0
	}
	if a.fresh {
		if a.parked, err = i.isParked(ctx, c, it); err != nil {
			return a, err
		}
	}
	return a, i.guarded(ctx, c, it, &a)
}

// scan reads what a statement of PostgreSQL returns.
func (a *admission) scan(rows sqltx.Rows) error {
	if !rows.Next() {
		return rows.Err()
	}
	a.fresh = true
	return rows.Scan(&a.parked)
}

// guarded lets a demonstration handle what was seen before.
func (i *Inbox[TX]) guarded(ctx context.Context, c sqltx.Conn, it *item, a *admission) (err error) {
	if !a.fresh && safeguard.Removed(safeguard.Dedup) {
		a.fresh = true
		if a.parked, err = i.isParked(ctx, c, it); err != nil {
			return err
		}
	}
	return killpoint.At(ctx, killpoint.InboxInsert, killpoint.After)
}

// row is the statement that writes an item's row.
func (i *Inbox[TX]) row(it *item) (query string, args []any) {
	d := it.d
	switch it.level {
	case bySequence:
		return i.sql.seq, []any{i.consumer, it.epoch, d.Topic, it.keyCol, i.now(), it.seq}
	case byPosition:
		return i.sql.place, []any{i.consumer, d.Position.Topic, d.Position.Partition, i.now(), d.Position.Offset + 1}
	case byEvent:
		return i.sql.event, []any{i.consumer, it.eventKey, i.now()}
	}
	return "", nil
}

// isParked asks whether messages of the item's key are parked.
func (i *Inbox[TX]) isParked(ctx context.Context, c sqltx.Conn, it *item) (bool, error) {
	if it.d.Key == "" {
		return false, nil
	}
	rows, err := c.Query(ctx, i.sql.isParked, i.consumer, it.d.Topic, it.keyCol)
	if err != nil {
		return false, err
	}
	defer rows.Close()
	return rows.Next(), rows.Err()
}
