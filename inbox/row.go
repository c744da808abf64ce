package inbox

import (
	"context"
	"database/sql"
	"strings"
	"time"

	"github.com/waxwing-mq/waxwing/bus"
	"github.com/waxwing-mq/waxwing/internal/busrow"
	"github.com/waxwing-mq/waxwing/internal/sqltx"
)

// The states of a row of waxwing_parked.
const (
	stateRetry   = "retry"
	stateWaiting = "waiting"
	stateDead    = "dead"
)

// A row is one of waxwing_parked.
type row struct {
	id                 int64
	consumer           string
	keyCol             []byte
	blocks             int
	state              string
	due                int64
	attempts, replays  int
	parkedAt, failedAt int64
	reason             string
	eventKey           []byte
	d                  bus.Delivery
}

// written are the columns that an INSERT gives.
var written = []string{
	"consumer", "topic", "key_col", "blocks", "state", "due_us", "attempts", "replays", "parked_us", "failed_us", "reason", "event_key",
	"msg_key", "event_id", "source", "event_type", "content_type", "event_us", "part", "log_offset", "headers", "body",
}

var (
	columns   = "id, " + strings.Join(written, ", ")
	insertRow = "INSERT INTO waxwing_parked (" + strings.Join(written, ", ") + ") VALUES (" + sqltx.Marks(len(written)) + ")"
)

// insert writes a row, whose id comes after those of all rows of its key.
func insert(ctx context.Context, c sqltx.Conn, r *row) error {
	var at, part, offset any
	if !r.d.Time.IsZero() {
		at = r.d.Time.UnixMicro()
	}
	if p := r.d.Position; p != nil {
		part, offset = p.Partition, p.Offset
	}
	_, err := c.Exec(ctx, insertRow, r.consumer, r.d.Topic, r.keyCol, r.blocks, r.state, r.due, r.attempts, r.replays, r.parkedAt, r.failedAt, r.reason, r.eventKey,
		[]byte(r.d.Key), []byte(r.d.ID), []byte(r.d.Source), []byte(r.d.Type), []byte(r.d.ContentType), at, part, offset,
		busrow.EncodeHeaders(r.d.Headers), notNil(r.d.Body))
	return err
}

func notNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// scan reads the columns of a row.
func scan(read func(dest ...any) error) (*row, error) {
	var r row
	var key, id, source, kind, content, headers []byte
	var at, part, offset sql.NullInt64
	err := read(&r.id, &r.consumer, &r.d.Topic, &r.keyCol, &r.blocks, &r.state, &r.due, &r.attempts, &r.replays, &r.parkedAt, &r.failedAt, &r.reason, &r.eventKey,
		&key, &id, &source, &kind, &content, &at, &part, &offset, &headers, &r.d.Body)
	if err != nil {
		return nil, err
	}
	r.d.Key, r.d.ID, r.d.Source, r.d.Type, r.d.ContentType = string(key), string(id), string(source), string(kind), string(content)
	if at.Valid {
		r.d.Time = time.UnixMicro(at.Int64).UTC()
	}
	if offset.Valid {
		r.d.Position = &bus.Position{Topic: r.d.Topic, Partition: int32(part.Int64), Offset: offset.Int64}
	}
	r.d.Redelivered, r.d.Attempt = true, 1
	r.d.Headers, err = busrow.DecodeHeaders(headers)
	return &r, err
}

// rowsWhere reads rows.
func rowsWhere(ctx context.Context, c sqltx.Conn, where string, args ...any) (out []*row, err error) {
	err = sqltx.Each(ctx, c, "SELECT "+columns+" FROM waxwing_parked WHERE "+where, args, func(read func(dest ...any) error) error {
		r, err := scan(read)
		out = append(out, r)
		return err
	})
	return out, err
}

// remove deletes a row that is locked, lets the next of its key have its turn, and
// returns that one's id, or 0.
func remove(ctx context.Context, c sqltx.Conn, r *row, now int64) (next int64, err error) {
	if _, err := c.Exec(ctx, "DELETE FROM waxwing_parked WHERE id = ?", r.id); err != nil {
		return 0, err
	}
	if len(r.eventKey) == 0 {
		return turn(ctx, c, r, now)
	}
	// Its retention begins now.
	if _, err := c.Exec(ctx, "UPDATE waxwing_inbox_event SET seen_us = ? WHERE consumer = ? AND event_key = ? AND seen_us < ?", now, r.consumer, r.eventKey, now); err != nil {
		return 0, err
	}
	return turn(ctx, c, r, now)
}

// turn is promote, if the row had somebody wait.
func turn(ctx context.Context, c sqltx.Conn, r *row, now int64) (int64, error) {
	if r.blocks == 0 {
		return 0, nil
	}
	return promote(ctx, c, r, now)
}

// promote lets the first message of a key have its turn, if it waits, and returns
// its id, or 0. It looks again when the first has gone under its hands.
func promote(ctx context.Context, c sqltx.Conn, r *row, now int64) (int64, error) {
	for tried := int64(0); ; {
		first, err := firstOf(ctx, c, r)
		if err != nil || first == 0 || first == tried {
			return 0, err
		}
		n, err := c.Exec(ctx, "UPDATE waxwing_parked SET state = ?, due_us = ? WHERE id = ? AND state = ?", stateRetry, now, first, stateWaiting)
		if err != nil || n > 0 {
			return first, err
		}
		tried = first
	}
}

// firstOf is the id of the first message of a row's key that blocks others, or 0.
func firstOf(ctx context.Context, c sqltx.Conn, r *row) (int64, error) {
	var id sql.NullInt64
	err := sqltx.One(ctx, c, "SELECT MIN(p.id) FROM waxwing_parked p WHERE "+parkedKey, []any{r.consumer, r.d.Topic, r.keyCol}, &id)
	return id.Int64, err
}

// reasonMax is how much of an error is kept.
const reasonMax = 8 << 10

// reasonText is an error as a column takes it.
func reasonText(err error) string {
	if err == nil {
		return ""
	}
	text := err.Error()
	if len(text) > reasonMax {
		text = text[:reasonMax]
	}
	return strings.ReplaceAll(strings.ToValidUTF8(text, "\uFFFD"), "\x00", "\uFFFD")
}
