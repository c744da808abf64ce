package outbox

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/waxwing-mq/waxwing/internal/killpoint"
	"github.com/waxwing-mq/waxwing/internal/safeguard"
	"github.com/waxwing-mq/waxwing/internal/sqltx"
)

// remove deletes what is durable. It tries until it succeeds or the lease is over,
// since what is not deleted is sent again.
func (w *worker) remove(ctx context.Context, parts []*part) error {
	parts = slices.DeleteFunc(parts, func(p *part) bool { return len(p.ids) == 0 })
	for pause := w.r.pollMin; ; pause = min(pause*2, w.r.backMax) {
		fenced, err := w.try(ctx, parts)
		if err == nil {
			w.fenced(fenced)
			return nil
		}
		w.r.floor.reset()
		w.r.failed("delete", err)
		leased, cancel := within(ctx, parts)
		select {
		case <-time.After(pause):
		case <-leased.Done():
		}
		over := leased.Err() != nil
		cancel()
		if over {
			return err
		}
	}
}

// try is one attempt. It is bounded by time and not by the leases, whose tokens
// the statement itself compares.
func (w *worker) try(ctx context.Context, parts []*part) (fenced []*part, err error) {
	if err := killpoint.At(ctx, killpoint.OutboxDelete, killpoint.Before); err != nil {
		return nil, err
	}
	timed, cancel := context.WithTimeout(ctx, w.r.lease)
	defer cancel()
	ours, err := w.r.store.remove(timed, parts)
	if err != nil {
		return nil, err
	}
	for _, p := range parts {
		if !slices.Contains(ours, p.lease.bucket) {
			fenced = append(fenced, p)
		}
	}
	return fenced, killpoint.At(ctx, killpoint.OutboxDelete, killpoint.After)
}

// fenced drops buckets whose lease has another token by now.
func (w *worker) fenced(parts []*part) {
	for _, p := range parts {
		w.r.metrics.fenced.Inc()
		w.r.log.Warn("outbox: relay: somebody else owns the bucket by now; what was sent comes again", "bucket", p.lease.bucket, "messages", len(p.ids))
		w.r.keeper.drop(p.lease)
	}
}

// remove deletes the rows of the parts' ids from the buckets whose leases still have
// the parts' tokens, and returns those buckets. Until it has committed nobody can
// take over a bucket.
func (s *store) remove(ctx context.Context, parts []*part) (ours []int, err error) {
	if s.dialect == sqltx.Postgres {
		err = s.byIndex(ctx, func(ctx context.Context, c sqltx.Conn) error {
			query, args := removePostgres(parts)
			ours, err = readBuckets(ctx, c, query, args)
			return err
		})
		return ours, err
	}
	err = s.inTx(ctx, func(ctx context.Context, c sqltx.Conn) error {
		ours, err = s.lockLeases(ctx, c, parts)
		if err != nil {
			return err
		}
		for _, p := range parts {
			if slices.Contains(ours, p.lease.bucket) {
				if err := s.removeRows(ctx, c, p); err != nil {
					return err
				}
			}
		}
		return nil
	})
	return ours, err
}

// tokens is a condition for the rows of leases that have the parts' tokens; without
// the fence, for those of their buckets.
func tokens(parts []*part) (condition string, args []any) {
	one := "(bucket = ? AND token = ?)"
	if safeguard.Removed(safeguard.Fence) {
		one = "(bucket = ? AND token >= ?)"
	}
	for _, p := range parts {
		args = append(args, p.lease.bucket, p.lease.token)
	}
	return repeat(one, " OR ", len(parts)), args
}

// removePostgres is one statement for all, to save round trips. FOR SHARE waits for
// a takeover under way, and then sees its token. The range, within which the ids
// are, is what the index is searched for; it may prefer that to the ids.
func removePostgres(parts []*part) (query string, args []any) {
	condition, args := tokens(parts)
	var q strings.Builder
	q.WriteString("WITH lease AS (SELECT bucket FROM waxwing_outbox_lease WHERE " + condition + " FOR SHARE)")
	for i, p := range parts {
		q.WriteString(", gone" + strconv.Itoa(i) + " AS (DELETE FROM waxwing_outbox WHERE bucket = ? AND id BETWEEN ? AND ? AND id = ANY(?) AND EXISTS (SELECT 1 FROM lease WHERE lease.bucket = ?))")
		args = append(args, p.lease.bucket, slices.Min(p.ids), slices.Max(p.ids), p.ids, p.lease.bucket)
	}
	q.WriteString(" SELECT bucket FROM lease")
	return q.String(), args
}

// lockLeases locks the leases of the parts that still have their tokens, against a
// takeover. In SQLite, the transaction has locked the database.
func (s *store) lockLeases(ctx context.Context, c sqltx.Conn, parts []*part) ([]int, error) {
	condition, args := tokens(parts)
	lock := ""
	if s.dialect == sqltx.MySQL {
		lock = " LOCK IN SHARE MODE"
	}
	return readBuckets(ctx, c, "SELECT bucket FROM waxwing_outbox_lease WHERE "+condition+lock, args)
}

func readBuckets(ctx context.Context, c sqltx.Conn, query string, args []any) (out []int, err error) {
	err = sqltx.Each(ctx, c, query, args, func(read func(...any) error) error {
		var b int
		err := read(&b)
		out = append(out, b)
		return err
	})
	return out, err
}

// idsPerDelete is how many ids a statement names.
const idsPerDelete = 500

// removeRows deletes the rows of a part.
func (s *store) removeRows(ctx context.Context, c sqltx.Conn, p *part) error {
	for ids := range slices.Chunk(p.ids, idsPerDelete) {
		if _, err := c.Exec(ctx, s.removal(p.lease.bucket, ids)); err != nil {
			return err
		}
	}
	return nil
}

// removal deletes rows of a bucket. For MySQL the ids are a table, whose rows are joined
// by the whole primary key. Given a list of them it reads all of the bucket where it takes
// the table for small, as after a while without events, and waits for rows that others are
// inserting.
func (s *store) removal(bucket int, ids []int64) string {
	list := make([]string, len(ids))
	for i, id := range ids {
		list[i] = strconv.FormatInt(id, 10)
	}
	all, in := strings.Join(list, ", "), strconv.Itoa(bucket)
	if s.dialect == sqltx.MySQL {
		return "DELETE o FROM JSON_TABLE('[" + all + "]', '$[*]' COLUMNS (id BIGINT PATH '$')) AS k" +
			" STRAIGHT_JOIN waxwing_outbox AS o" + s.forced() + " ON o.id = k.id WHERE o.bucket = " + in
	}
	return "DELETE FROM waxwing_outbox WHERE bucket = " + in + " AND id IN (" + all + ")"
}
