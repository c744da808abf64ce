package idempotency

import (
	"context"
	"encoding/binary"
	"errors"
	"strings"
	"time"

	"github.com/waxwing-mq/waxwing/internal/sqltx"
)

// errBusy means that another request has claimed the key.
var errBusy = errors.New("idempotency: the key is claimed")

// A row is a response that is stored.
type row struct {
	response
	fingerprint []byte
	expires     int64 // microseconds since 1970
}

// claim has the transaction of c claim a key until it ends, without waiting for
// others, and returns what is stored under the key, or nil. It returns errBusy if
// another transaction has claimed it. An expired row counts as none.
func claim(ctx context.Context, c sqltx.Conn, d sqltx.Dialect, who identity, now time.Time) (*row, error) {
	end := ""
	switch d {
	case sqltx.Postgres: // where nobody sees what others have inserted and not committed
		var got bool
		lock := int64(binary.BigEndian.Uint64(who.id[:8]))
		if err := sqltx.One(ctx, c, "SELECT pg_try_advisory_xact_lock(?)", []any{lock}, &got); err != nil {
			return nil, err
		}
		if !got {
			return nil, errBusy
		}
	case sqltx.MySQL: // where a locking read meets them
		end = " FOR UPDATE NOWAIT"
	}
	old, err := read(ctx, c, who, end)
	if err == nil && old.expires > now.UnixMicro() {
		return old, nil
	}
	if d == sqltx.MySQL && errors.Is(err, sqltx.ErrNoRows) {
		err = insertClaim(ctx, c, who)
	}
	if sqltx.Transient(err) {
		return nil, errBusy
	}
	if errors.Is(err, sqltx.ErrNoRows) {
		err = nil
	}
	return nil, err
}

// claimWait is how long insertClaim waits for another process that has inserted the
// same key since read found none, a moment ago.
const claimWait = time.Second

// insertClaim inserts the row that later becomes the response. Until the transaction
// ends nobody else can lock it.
func insertClaim(ctx context.Context, c sqltx.Conn, who identity) error {
	wait, cancel := context.WithTimeout(ctx, claimWait)
	defer cancel()
	n, err := c.Exec(wait, sqltx.MySQL.InsertOnce("waxwing_idempotency", columns...), who.id[:], who.fingerprint[:], 0, []byte{}, []byte{}, 0, 0)
	if err != nil && wait.Err() != nil && ctx.Err() == nil || err == nil && n == 0 {
		return errBusy
	}
	return err
}

var columns = []string{"id", "fingerprint", "status", "header", "body", "created_us", "expires_us"}

// read reads a row, or returns ErrNoRows. The query ends with end.
func read(ctx context.Context, c sqltx.Conn, who identity, end string) (*row, error) {
	var r row
	err := sqltx.One(ctx, c, "SELECT fingerprint, status, header, body, expires_us FROM waxwing_idempotency WHERE id = ?"+end, []any{who.id[:]},
		&r.fingerprint, &r.status, &r.header, &r.body, &r.expires)
	return &r, err
}

// store stores a response under a key that the transaction has claimed, in place of
// one that has expired. It returns errBusy if there is one that has not: the claim
// did not hold, and the transaction must not commit.
func store(ctx context.Context, c sqltx.Conn, d sqltx.Dialect, who identity, res response, now time.Time, expiry time.Duration) error {
	args := []any{who.id[:], who.fingerprint[:], res.status, notNil(res.header), notNil(res.body), now.UnixMicro(), now.Add(expiry).UnixMicro()}
	if d != sqltx.MySQL {
		args = append(args, now.UnixMicro())
	}
	n, err := c.Exec(ctx, upsert(d), args...)
	if err == nil && n == 0 {
		return errBusy
	}
	return err
}

// upsert is the statement by which a response takes the place of an expired one or,
// in MySQL, of the claim, whose row the transaction has locked.
func upsert(d sqltx.Dialect) string {
	clause, from, to, end := " ON CONFLICT (id) DO UPDATE SET ", "excluded.", "", " WHERE waxwing_idempotency.expires_us <= ?"
	if d == sqltx.MySQL {
		clause, from, to, end = " ON DUPLICATE KEY UPDATE ", "VALUES(", ")", ""
	}
	var set []string
	for _, name := range columns[1:] {
		set = append(set, name+" = "+from+name+to)
	}
	return "INSERT INTO waxwing_idempotency (" + strings.Join(columns, ", ") + ") VALUES (" + sqltx.Marks(len(columns)) + ")" + clause + strings.Join(set, ", ") + end
}

// notNil is b, or no bytes: nil would be NULL.
func notNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// batch is how many rows a transaction of a cleanup deletes at most.
const batch = 200

// cleanup deletes up to a batch of rows that have expired, and returns how many.
// Rows that others have locked are left out.
func cleanup(ctx context.Context, c sqltx.Conn, d sqltx.Dialect, now time.Time) (int, error) {
	var ids []any
	err := sqltx.Each(ctx, c, "SELECT id FROM waxwing_idempotency WHERE expires_us <= ? ORDER BY expires_us LIMIT ?"+d.SkipLocked(), []any{now.UnixMicro(), batch}, func(scan func(...any) error) error {
		var id []byte
		err := scan(&id)
		ids = append(ids, id)
		return err
	})
	if err != nil || len(ids) == 0 {
		return 0, err
	}
	_, err = c.Exec(ctx, "DELETE FROM waxwing_idempotency WHERE id IN ("+sqltx.Marks(len(ids))+")", ids...)
	return len(ids), err
}
