package outbox

import (
	"context"
	"fmt"
	"time"

	"github.com/waxwing-mq/waxwing/bus"
	"github.com/waxwing-mq/waxwing/internal/busrow"
	"github.com/waxwing-mq/waxwing/internal/sqltx"
)

// An Entry is an event in the outbox that is not published yet.
type Entry struct {
	ID      int64 // of the row, as the relay's log names it
	Bucket  int
	Message bus.Message // as it will be published, without bus.HeaderSequence
}

// List returns the first events that wait in each bucket, up to n of each, in order
// of their ids within a bucket.
func (o *Outbox[TX]) List(ctx context.Context, n int) (out []Entry, err error) {
	for b := range Buckets {
		err := sqltx.Each(ctx, o.db.Conn(), "SELECT id, topic, msg_key, event_id, event_type, content_type, headers, body, created_us"+
			" FROM waxwing_outbox WHERE bucket = ? ORDER BY id LIMIT ?", []any{b, n}, func(read func(...any) error) error {
			e := Entry{Bucket: b}
			m := &e.Message
			var key, headers []byte
			var created int64
			err := read(&e.ID, &m.Topic, &key, &m.ID, &m.Type, &m.ContentType, &headers, &m.Body, &created)
			if err != nil {
				return err
			}
			m.Key, m.Source, m.Time = string(key), o.source, time.UnixMicro(created)
			m.Headers, err = busrow.DecodeHeaders(headers)
			out = append(out, e)
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("outbox: list: %w", err)
		}
	}
	return out, nil
}

// Drop removes an event that is not published yet, and says whether it was there.
// It is the way out where the broker will never take one, so that those of its key
// behind it wait for ever. A relay that is sending it may still do so.
func (o *Outbox[TX]) Drop(ctx context.Context, id int64) (bool, error) {
	args := []any{id}
	for b := range Buckets {
		args = append(args, b) // the index begins with it
	}
	n, err := o.db.Conn().Exec(ctx, "DELETE FROM waxwing_outbox WHERE id = ? AND bucket IN ("+sqltx.Marks(Buckets)+")", args...)
	if err != nil {
		return false, fmt.Errorf("outbox: drop: %w", err)
	}
	return n > 0, nil
}
