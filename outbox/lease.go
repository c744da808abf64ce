package outbox

import (
	"context"
	"fmt"
	"time"

	"github.com/waxwing-mq/waxwing/internal/sqltx"
)

// A leaseRow is a row of waxwing_outbox_lease. Who holds a bucket, and whether the
// lease is over, is decided by single statements that compare token and expiry, by
// the database's clock or, if a watch says that it is over, with what was read.
type leaseRow struct {
	bucket  int
	owner   string
	token   int64
	expires int64         // microseconds since 1970
	left    time.Duration // until it expires; not positive if it has
	over    bool          // it has expired, or a watch says so
}

// A relayRow is a row of waxwing_outbox_relay.
type relayRow struct {
	owner string
	seen  int64         // microseconds since 1970
	ago   time.Duration // negative if the clock was set back
}

// prepare makes the rows of all buckets.
func (s *store) prepare(ctx context.Context) error {
	insert := s.dialect.InsertOnce("waxwing_outbox_lease", "bucket", "owner", "token", "expires_us")
	for b := range Buckets {
		if _, err := s.conn.Exec(ctx, insert, b, "", 0, 0); err != nil {
			return err
		}
	}
	return nil
}

// leases are all rows.
func (s *store) leases(ctx context.Context) (rows []leaseRow, err error) {
	query := "SELECT bucket, owner, token, expires_us, expires_us - " + s.dialect.Now() + " FROM waxwing_outbox_lease"
	err = sqltx.Each(ctx, s.conn, query, nil, func(read func(...any) error) error {
		var r leaseRow
		var us int64
		err := read(&r.bucket, &r.owner, &r.token, &r.expires, &us)
		r.left = time.Duration(us) * time.Microsecond
		r.over = r.left <= 0
		rows = append(rows, r)
		return err
	})
	return rows, err
}

// relays are those that were heard of.
func (s *store) relays(ctx context.Context) (rows []relayRow, err error) {
	query := "SELECT owner, seen_us, " + s.dialect.Now() + " - seen_us FROM waxwing_outbox_relay"
	err = sqltx.Each(ctx, s.conn, query, nil, func(read func(...any) error) error {
		var r relayRow
		var us int64
		err := read(&r.owner, &r.seen, &us)
		r.ago = time.Duration(us) * time.Microsecond
		rows = append(rows, r)
		return err
	})
	return rows, err
}

// beat says that a relay lives, and forgets those that have not for a while.
func (s *store) beat(ctx context.Context, owner string, forget time.Duration) error {
	seen := "UPDATE waxwing_outbox_relay SET seen_us = " + s.dialect.Now() + " WHERE owner = ?"
	n, err := s.conn.Exec(ctx, seen, owner)
	if err == nil && n == 0 {
		if _, err = s.conn.Exec(ctx, s.dialect.InsertOnce("waxwing_outbox_relay", "owner", "seen_us"), owner, 0); err == nil {
			_, err = s.conn.Exec(ctx, seen, owner)
		}
	}
	if err != nil {
		return err
	}
	_, err = s.conn.Exec(ctx, "DELETE FROM waxwing_outbox_relay WHERE seen_us < "+s.dialect.Now()+" - ?", forget.Microseconds())
	return err
}

// acquire takes a bucket whose lease is over, or the owner's own, if nobody has
// acquired it since it was read, nor renewed it.
func (s *store) acquire(ctx context.Context, r leaseRow, owner string, d time.Duration) (bool, error) {
	asRead := int64(-1) // no lease expires then
	if r.over {
		asRead = r.expires
	}
	n, err := s.conn.Exec(ctx, "UPDATE waxwing_outbox_lease SET owner = ?, token = token + 1, expires_us = "+s.dialect.Now()+
		" + ? WHERE bucket = ? AND token = ? AND (owner = ? OR expires_us <= "+s.dialect.Now()+" OR expires_us = ?)",
		owner, d.Microseconds(), r.bucket, r.token, owner, asRead)
	return n == 1, err
}

// renew extends the leases that are still the owner's under their tokens, and says
// whether all are.
func (s *store) renew(ctx context.Context, owner string, leases []*lease, d time.Duration) (all bool, err error) {
	args := []any{d.Microseconds(), owner}
	for _, l := range leases {
		args = append(args, l.bucket, l.token)
	}
	n, err := s.conn.Exec(ctx, "UPDATE waxwing_outbox_lease SET expires_us = "+s.dialect.Now()+" + ? WHERE owner = ? AND ("+
		repeat("(bucket = ? AND token = ?)", " OR ", len(leases))+")", args...)
	return n == int64(len(leases)), err
}

// release ends a lease at once. The token stays, so that the next one is higher.
func (s *store) release(ctx context.Context, owner string, l *lease) error {
	_, err := s.conn.Exec(ctx, "UPDATE waxwing_outbox_lease SET owner = '', expires_us = 0 WHERE bucket = ? AND owner = ? AND token = ?", l.bucket, owner, l.token)
	return err
}

// leave ends all that a relay has.
func (s *store) leave(ctx context.Context, owner string) error {
	_, err := s.conn.Exec(ctx, "UPDATE waxwing_outbox_lease SET owner = '', expires_us = 0 WHERE owner = ?", owner)
	if err != nil {
		return fmt.Errorf("leases: %w", err)
	}
	_, err = s.conn.Exec(ctx, "DELETE FROM waxwing_outbox_relay WHERE owner = ?", owner)
	return err
}
