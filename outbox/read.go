package outbox

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/waxwing-mq/waxwing/bus"
	"github.com/waxwing-mq/waxwing/internal/busrow"
	"github.com/waxwing-mq/waxwing/internal/killpoint"
	"github.com/waxwing-mq/waxwing/internal/safeguard"
	"github.com/waxwing-mq/waxwing/internal/sqltx"
)

const (
	firstLimit = 64       // rows of a bucket in a first read
	maxRound   = 16 << 20 // bytes of messages in a round, beyond which it reads no more
	maxHeld    = 10       // batches of rows that are held back in a bucket, until it is blocked
)

// read reads up to a limit of rows of each part's bucket by one query, in the order
// of ids.
func (w *worker) read(ctx context.Context, parts []*part) error {
	if err := killpoint.At(ctx, killpoint.OutboxRead, killpoint.Before); err != nil {
		return err
	}
	proved := w.r.floor.proved.Load() // before the query
	query, args := w.query(parts)
	err := w.r.store.byIndex(ctx, func(ctx context.Context, c sqltx.Conn) error {
		rows, err := c.Query(ctx, query, args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		return w.scan(rows, parts)
	})
	if err != nil {
		return err
	}
	for _, p := range parts {
		p.state.mark.read(p, proved)
		if n := len(p.ids); n > 0 {
			w.r.floor.saw(p.ids[n-1])
		}
		p.withhold()
	}
	return killpoint.At(ctx, killpoint.OutboxRead, killpoint.After)
}

// query reads the parts' buckets, each from its floor on.
func (w *worker) query(parts []*part) (string, []any) {
	order := " ORDER BY id"
	if safeguard.Removed(safeguard.Order) {
		order = " ORDER BY id DESC"
	}
	open, end := "(", ")"
	if w.r.store.dialect == sqltx.SQLite { // which has no brackets there
		open, end = "SELECT * FROM (", ")"
	}
	var q strings.Builder
	var args []any
	for i, p := range parts {
		if i > 0 {
			q.WriteString(" UNION ALL ")
		}
		// Rows that are held back come first, and must not keep others from being seen.
		p.limit = w.limit + p.state.holds.room(w.r.batch)
		q.WriteString(open + "SELECT bucket, id, topic, msg_key, event_id, event_type, content_type, headers, body, created_us" +
			" FROM waxwing_outbox" + w.r.store.forced() + " WHERE bucket = ? AND id > ?" + order + " LIMIT " + strconv.Itoa(p.limit) + end)
		args = append(args, p.lease.bucket, p.state.mark.from())
	}
	return q.String(), args
}

// errOrder means that the database did not return rows in order.
var errOrder = errors.New("rows came out of order")

// scan takes rows over until there are too many bytes. What it leaves out of a
// bucket is behind what it takes.
func (w *worker) scan(rows sqltx.Rows, parts []*part) error {
	size, byBucket := 0, [Buckets]*part{}
	for _, p := range parts {
		byBucket[p.lease.bucket] = p
	}
	for rows.Next() {
		var b int
		var id, created int64
		var m bus.Message
		var key, headers []byte
		if err := rows.Scan(&b, &id, &m.Topic, &key, &m.ID, &m.Type, &m.ContentType, &headers, &m.Body, &created); err != nil {
			return err
		}
		p := byBucket[b]
		if n := len(p.ids); n > 0 && id <= p.ids[n-1] && !safeguard.Removed(safeguard.Order) {
			return errOrder
		}
		var err error
		if m.Headers, err = busrow.DecodeHeaders(headers); err != nil {
			return fmt.Errorf("row %d: %w", id, err)
		}
		m.Key, m.Source, m.Time = string(key), w.r.source, time.UnixMicro(created)
		m.SetHeader(bus.HeaderSequence, sequence(p.lease.epochs.of(id), id))
		p.ids, p.msgs = append(p.ids, id), append(p.msgs, m)
		n := len(m.Body) + len(headers) + len(key)
		p.size += n
		if size += n; size > maxRound {
			w.cut(parts)
			return nil
		}
	}
	return rows.Err()
}

// cut notes that a read ended early: any bucket may have more.
func (w *worker) cut(parts []*part) {
	for _, p := range parts {
		p.full, p.unread = true, true
	}
}

// sized says whether there may be more rows than were read, and whether the next
// read looks further behind rows that are held back. It fits the limit of that
// read: twice as many, unless these are already many bytes.
func (w *worker) sized(parts []*part) (full, further bool) {
	size := 0
	for _, p := range parts {
		full = full || p.full
		further = further || p.full && w.limit+p.state.holds.room(w.r.batch) > p.limit
		size += p.size
	}
	switch {
	case size > maxRound:
		w.limit = max(w.limit/2, 1)
	case full && size < maxRound/4:
		w.limit = min(w.limit*2, w.r.batch)
	}
	return full, further
}

// withhold takes out what is held back.
func (p *part) withhold() {
	p.full = p.full || len(p.ids) >= p.limit
	h := &p.state.holds
	h.rows = 0
	if len(h.keys) == 0 {
		return
	}
	now := time.Now()
	ids, msgs := p.ids[:0], p.msgs[:0]
	for i := range p.msgs {
		held, ok := h.keys[keyOf(&p.msgs[i])]
		if ok {
			h.rows++
		}
		if ok && now.Before(held.until) {
			continue
		}
		ids, msgs = append(ids, p.ids[i]), append(msgs, p.msgs[i])
	}
	p.ids, p.msgs = ids, msgs
}
