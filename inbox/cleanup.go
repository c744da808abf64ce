package inbox

import (
	"context"
	"fmt"
	"strings"

	"github.com/waxwing-mq/waxwing/internal/sqltx"
	"github.com/waxwing-mq/waxwing/sqldb"
)

// pageRows is how many rows a statement of the cleanup is about.
const pageRows = 500

// cleanLoop removes what is past its retention until ctx ends, once the consumer has
// caught up.
func (i *Inbox[TX]) cleanLoop(ctx context.Context) {
	for sleep(ctx, i.o.cleanEvery) == nil {
		err := i.mend(ctx)
		if err == nil && i.catchUp.done(i.now(), &i.o) {
			_, err = i.Cleanup(ctx)
		}
		if err != nil && ctx.Err() == nil {
			i.o.log.Error("inbox: what is past its retention cannot be removed", "consumer", i.consumer, "error", err)
		}
	}
}

// Cleanup removes what is past its retention and not needed by a message that is put
// aside, and returns how many rows those were. Run does so when it knows that it has
// caught up; this does not ask.
func (i *Inbox[TX]) Cleanup(ctx context.Context) (int64, error) {
	before := i.now() - i.o.retention.Microseconds()
	events, err := i.cleanEvents(ctx, before)
	if err != nil {
		return events, fmt.Errorf("inbox: %w", err)
	}
	keys, err := i.cleanKeys(ctx, before)
	if err != nil {
		err = fmt.Errorf("inbox: %w", err)
	}
	return events + keys, err
}

// cleanEvents removes rows of events seen before a time.
func (i *Inbox[TX]) cleanEvents(ctx context.Context, before int64) (total int64, err error) {
	c := i.db.Conn()
	for {
		keys, err := keysOf(ctx, c, `SELECT e.event_key, e.seen_us FROM waxwing_inbox_event e WHERE e.consumer = ? AND e.seen_us < ?
			AND NOT EXISTS (SELECT 1 FROM waxwing_parked p WHERE p.consumer = e.consumer AND p.event_key = e.event_key)
			ORDER BY e.seen_us LIMIT ?`, i.consumer, before, pageRows)
		if err != nil || len(keys) == 0 {
			return total, err
		}
		n, err := c.Exec(ctx, "DELETE FROM waxwing_inbox_event WHERE consumer = ? AND seen_us < ? AND event_key IN ("+sqltx.Marks(len(keys))+")",
			append([]any{i.consumer, before}, marks(keys)...)...)
		total += n
		if err != nil || len(keys) < pageRows {
			return total, err
		}
	}
}

// A mark is a key with the time at which it was seen.
type mark struct {
	key  []byte
	seen int64
}

func marks(all []mark) []any {
	out := make([]any, len(all))
	for n, m := range all {
		out[n] = m.key
	}
	return out
}

// keysOf reads keys and times.
func keysOf(ctx context.Context, c sqltx.Conn, query string, args ...any) (out []mark, err error) {
	err = sqltx.Each(ctx, c, query, args, func(read func(dest ...any) error) error {
		var m mark
		err := read(&m.key, &m.seen)
		out = append(out, m)
		return err
	})
	return out, err
}

// cleanKeys removes the marks of keys that have been idle since before a time. It
// walks through all of them page by page: an index by time would make each message
// write to it.
func (i *Inbox[TX]) cleanKeys(ctx context.Context, before int64) (total int64, err error) {
	var sets [][2]string
	err = sqltx.Each(ctx, i.db.Conn(), "SELECT DISTINCT epoch, topic FROM waxwing_inbox_key WHERE consumer = ?", []any{i.consumer}, func(read func(dest ...any) error) error {
		var s [2]string
		err := read(&s[0], &s[1])
		sets = append(sets, s)
		return err
	})
	if err != nil {
		return 0, err
	}
	for _, s := range sets {
		n, err := i.cleanKeysOf(ctx, s[0], s[1], before)
		total += n
		if err != nil {
			return total, err
		}
	}
	return total, nil
}

func (i *Inbox[TX]) cleanKeysOf(ctx context.Context, epoch, topic string, before int64) (total int64, err error) {
	c, last := i.db.Conn(), []byte{}
	for {
		page, err := keysOf(ctx, c, "SELECT msg_key, seen_us FROM waxwing_inbox_key WHERE consumer = ? AND epoch = ? AND topic = ? AND msg_key > ? ORDER BY msg_key LIMIT ?",
			i.consumer, epoch, topic, last, pageRows)
		if err != nil || len(page) == 0 {
			return total, err
		}
		last = page[len(page)-1].key
		var old []mark
		for _, m := range page {
			if m.seen < before {
				old = append(old, m)
			}
		}
		if len(old) == 0 {
			continue
		}
		n, err := c.Exec(ctx, deleteKeys+sqltx.Marks(len(old))+")", append([]any{i.consumer, epoch, topic, before}, marks(old)...)...)
		total += n
		if err != nil {
			return total, err
		}
	}
}

var deleteKeys = strings.Join([]string{
	"DELETE FROM waxwing_inbox_key WHERE consumer = ? AND epoch = ? AND topic = ? AND seen_us < ?",
	"AND NOT EXISTS (SELECT 1 FROM waxwing_parked p WHERE p.consumer = waxwing_inbox_key.consumer AND p.topic = waxwing_inbox_key.topic AND p.key_col = waxwing_inbox_key.msg_key)",
	"AND msg_key IN (",
}, " ")

// mend gives a turn to messages that wait for none, as when somebody has deleted the
// one before with SQL.
func (i *Inbox[TX]) mend(ctx context.Context) error {
	var ids []int64
	err := sqltx.Each(ctx, i.db.Conn(), `SELECT p.id FROM waxwing_parked p WHERE p.consumer = ? AND p.state = ? AND NOT EXISTS (
			SELECT 1 FROM waxwing_parked e WHERE e.consumer = p.consumer AND e.topic = p.topic AND e.key_col = p.key_col AND e.blocks = 1 AND e.id < p.id)
			LIMIT ?`, []any{i.consumer, stateWaiting, pageRows}, func(read func(dest ...any) error) error {
		var id int64
		err := read(&id)
		ids = append(ids, id)
		return err
	})
	for _, id := range ids {
		if err == nil {
			_, err = i.db.Conn().Exec(ctx, "UPDATE waxwing_parked SET state = ?, due_us = ? WHERE id = ? AND state = ?", stateRetry, i.now(), id, stateWaiting)
		}
	}
	return err
}

// ForgetPositions forgets how far a consumer has seen the partitions of a topic, for
// when the topic was deleted and made again, its broker was restored or has lost
// messages, or its messages are to be handled once more. The consumer must not run meanwhile.
func ForgetPositions[TX any](ctx context.Context, db *sqldb.DB[TX], consumer, topic string) error {
	c := db.Conn()
	_, err := c.Exec(ctx, "DELETE FROM waxwing_inbox_position WHERE consumer = ? AND topic = ?", consumer, topic)
	if err == nil { // and messages that are known by their places
		_, err = c.Exec(ctx, "DELETE FROM waxwing_inbox_event WHERE consumer = ? AND event_key > ? AND event_key < ?", consumer, []byte(byPlace+topic+"/"), []byte(byPlace+topic+"0"))
	}
	if err != nil {
		return fmt.Errorf("inbox: %w", err)
	}
	return nil
}
