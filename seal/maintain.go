package seal

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/waxwing-mq/waxwing/internal/sqltx"
	"github.com/waxwing-mq/waxwing/seal/directory"
)

// How often Run looks.
const (
	maintainEvery = 10 * time.Minute
	maintainAgain = 15 * time.Second // after an error
)

// Run maintains the endpoint until ctx ends, and returns nil then. Every process may run
// it.
func (e *Endpoint[TX]) Run(ctx context.Context) error {
	for {
		pause := maintainEvery
		if err := e.Maintain(ctx); err != nil && ctx.Err() == nil {
			e.core.log.ErrorContext(ctx, "seal: maintenance", "endpoint", e.core.local, "error", err)
			pause = maintainAgain
		}
		if sleep(ctx, pause/2+rand.N(pause)) != nil {
			return nil
		}
	}
}

// Maintain does what has to be done from time to time, and what Run does. With a counter
// it looks whether the database was set back (Check), as by a failover to a replica that
// had not got everything: no process needs to start for that. It publishes prekeys, renews
// those that are older than a week, deletes those that were replaced 30 days ago; deletes
// what is past its time: keys of messages that have not come, messages put aside, sessions
// that are not used any more; and fetches bundles (Prepare) of the peers of rules, and of
// groups' members. In SQLite it empties the log, which holds rows as they were. It goes on
// after an error, and returns all.
func (e *Endpoint[TX]) Maintain(ctx context.Context) error {
	var err error
	if e.core.counter != nil {
		_, err = e.core.check(ctx)
	}
	err = errors.Join(err, e.Publish(ctx), e.core.clean(ctx))
	if e.core.dir == nil {
		return err
	}
	return errors.Join(err, e.Prepare(ctx, e.core.routes.peers()...), e.core.prepareMembers(ctx))
}

// prepareMembers fetches bundles of groups' members, for the lane in which they are sent
// keys.
func (e *core) prepareMembers(ctx context.Context) error {
	var members []string
	err := sqltx.Each(ctx, e.conn, "SELECT DISTINCT member FROM waxwing_seal_member WHERE local = ? AND member <> ?", []any{e.local, e.local}, func(read func(...any) error) error {
		var m string
		err := read(&m)
		members = append(members, m)
		return err
	})
	all := []error{failed(err)}
	for _, m := range members {
		if err := e.prepare(ctx, m, e.laneOf(e.local)); err != nil {
			all = append(all, fmt.Errorf("seal: a bundle of %s: %w", m, err))
		}
	}
	return errors.Join(all...)
}

// peers are those of rules.
func (r *routes) peers() (out []string) {
	for _, one := range r.out {
		if one.peer != "" && !slices.Contains(out, one.peer) {
			out = append(out, one.peer)
		}
	}
	return out
}

// Publish makes the prekeys that are missing, or too old, and publishes them with the
// certificate. From a database that has published nothing of the identity yet it replaces
// the one-time keys that wait at the directory: who took one of those would seal what nobody
// can open. Without a directory it does nothing.
func (e *Endpoint[TX]) Publish(ctx context.Context) error { return e.core.publishAll(ctx) }

// RenewPrekeys makes all prekeys anew and publishes them: those that wait at the directory
// are not given out any more. It is for when somebody may know them, or when the directory
// was set back and gives one-time keys out again. Handshakes with the old ones still open:
// with the signed and the last-resort one for 30 days, as after an ordinary renewal.
func (e *Endpoint[TX]) RenewPrekeys(ctx context.Context) error {
	if e.core.dir == nil {
		return errors.New("seal: there is no directory (Through)")
	}
	if err := e.core.ensureIdentity(ctx); err != nil {
		return err
	}
	if _, err := e.core.conn.Exec(ctx, "UPDATE waxwing_seal_identity SET renew = 1 WHERE name = ?", e.core.local); err != nil {
		return failed(err)
	}
	return e.core.publishAll(ctx)
}

func (e *core) publishAll(ctx context.Context) error {
	if e.dir == nil {
		return nil
	}
	if err := e.ensureIdentity(ctx); err != nil {
		return err
	}
	s, err := e.dir.Status(ctx, e.local)
	if err != nil && !errors.Is(err, directory.ErrNotFound) {
		return fmt.Errorf("seal: publishing prekeys: %w", err)
	}
	var replace, setBack bool
	err = e.inTx(ctx, func(ctx context.Context, c sqltx.Conn) (err error) {
		replace, setBack, err = e.makePrekeys(ctx, c, s)
		return err
	})
	if err != nil {
		return failed(err)
	}
	if setBack {
		e.restored(ctx, "the directory has prekeys that the database does not know of", nil)
	}
	p, ids, err := e.publication(ctx)
	if err != nil {
		return failed(err)
	}
	// Without new keys of both kinds another process has just published them: it has
	// replaced what waited, and these must not be.
	replace = replace && len(p.OneTime) > 0 && len(p.OneTimeKEM) > 0
	p.Replace = replace
	if s, err = e.dir.Publish(ctx, e.local, p); err != nil {
		return fmt.Errorf("seal: publishing prekeys: %w", err)
	}
	e.m.waiting.Set(float64(s.OneTime))
	for len(ids) > 0 {
		n := min(len(ids), rowsPerInsert)
		if _, err := e.conn.Exec(ctx, "UPDATE waxwing_seal_prekey SET published = 1 WHERE local = ? AND published = 0 AND id IN ("+sqltx.Marks(n)+")",
			append([]any{e.local}, ids[:n]...)...); err != nil {
			return failed(err)
		}
		ids = ids[n:]
	}
	if replace {
		_, err = e.conn.Exec(ctx, "UPDATE waxwing_seal_identity SET renew = 0 WHERE name = ? AND renew = 2", e.local)
	}
	return failed(err)
}

// clean deletes what is past its time.
func (e *core) clean(ctx context.Context) error {
	now := e.now()
	before := func(d time.Duration) int64 { return now.Add(-d).UnixMicro() }
	var all []error
	for _, q := range []struct {
		query string
		args  []any
	}{
		{"DELETE FROM waxwing_seal_skipped WHERE local = ? AND expires_us < ?", []any{e.local, now.UnixMicro()}},
		{"UPDATE waxwing_seal_pinned SET secret = ? WHERE local = ? AND expires_us < ?", []any{[]byte{}, e.local, now.UnixMicro()}},
		{"DELETE FROM waxwing_seal_pinned WHERE local = ? AND expires_us < ?", []any{e.local, before(tombstones)}},
		{"DELETE FROM waxwing_seal_prekey WHERE local = ? AND retired_us > 0 AND retired_us < ?", []any{e.local, before(prekeyKept)}},
		{"DELETE FROM waxwing_seal_replay WHERE local = ? AND (kem_id NOT IN (SELECT id FROM waxwing_seal_prekey WHERE local = ?) OR signed_id NOT IN (SELECT id FROM waxwing_seal_prekey WHERE local = ?))",
			[]any{e.local, e.local, e.local}},
		{"DELETE FROM waxwing_seal_receiver WHERE local = ? AND until_us < ?", []any{e.local, before(certGrace)}},
		{"DELETE FROM waxwing_seal_bundle WHERE local = ? AND fetched_us < ?", []any{e.local, before(bundleKept)}},
	} {
		if _, err := e.conn.Exec(ctx, q.query, q.args...); err != nil {
			all = append(all, failed(err))
		}
	}
	all = append(all, e.cleanSessions(ctx, before(archivedKept)), e.cleanEnded(ctx, before(certGrace)))
	if e.dialect == sqltx.SQLite {
		// The log holds rows as they were. Readers that are in its way are no error: the next time.
		_, err := e.conn.Exec(ctx, "PRAGMA wal_checkpoint(TRUNCATE)")
		all = append(all, failed(err))
	}
	return errors.Join(all...)
}

// cleanSessions deletes sessions that are not sealed with and were not used since a
// time, and those beyond the number that is kept.
func (e *core) cleanSessions(ctx context.Context, before int64) error {
	type archived struct {
		remote string
		lane   int
		tag    []byte
	}
	var all []archived
	read := func(query string, args ...any) error {
		return sqltx.Each(ctx, e.conn, "SELECT remote, lane, tag FROM waxwing_seal_session WHERE local = ? AND slot <> 0 AND "+query, append([]any{e.local}, args...),
			func(read func(...any) error) error {
				var a archived
				err := read(&a.remote, &a.lane, &a.tag)
				all = append(all, a)
				return err
			})
	}
	if err := read("used_us < ? LIMIT 1000", before); err != nil {
		return failed(err)
	}
	many, err := e.crowded(ctx)
	if err != nil {
		return failed(err)
	}
	for _, l := range many {
		if err := read("remote = ? AND lane = ? ORDER BY used_us DESC LIMIT 1000 OFFSET ?", l.remote, l.lane, archivedMax); err != nil {
			return failed(err)
		}
	}
	for _, a := range all {
		if err := e.deleteSession(ctx, a.tag); err != nil {
			return err
		}
	}
	return nil
}

// cleanEnded deletes sessions that are sealed with and whose certificates ended so long ago
// that nothing opens any more: also of a peer that nothing is sealed to again.
func (e *core) cleanEnded(ctx context.Context, before int64) error {
	var tags [][]byte
	err := sqltx.Each(ctx, e.conn, "SELECT tag FROM waxwing_seal_session WHERE local = ? AND slot = 0 AND until_us < ? LIMIT 1000", []any{e.local, before},
		func(read func(...any) error) error {
			var tag []byte
			err := read(&tag)
			tags = append(tags, tag)
			return err
		})
	if err != nil {
		return failed(err)
	}
	for _, tag := range tags {
		err := e.inTx(ctx, func(ctx context.Context, c sqltx.Conn) error {
			if err := e.keepSequencesOf(ctx, c, "waxwing_seal_session", " AND tag = ?", tag); err != nil {
				return err
			}
			if _, err := c.Exec(ctx, "DELETE FROM waxwing_seal_session WHERE local = ? AND tag = ?", e.local, tag); err != nil {
				return err
			}
			return e.deleteSkipped(ctx, c, tag, sessionKeys)
		})
		if err != nil {
			return failed(err)
		}
	}
	return nil
}

// A lane of a peer.
type lane struct {
	remote string
	lane   int
}

// crowded are the lanes with more sessions than are kept.
func (e *core) crowded(ctx context.Context) (out []lane, err error) {
	err = sqltx.Each(ctx, e.conn, "SELECT remote, lane FROM waxwing_seal_session WHERE local = ? AND slot <> 0 GROUP BY remote, lane HAVING COUNT(*) > ?",
		[]any{e.local, archivedMax}, func(read func(...any) error) error {
			var l lane
			err := read(&l.remote, &l.lane)
			out = append(out, l)
			return err
		})
	return out, err
}

// deleteSession deletes a session that is not sealed with, and its keys.
func (e *core) deleteSession(ctx context.Context, tag []byte) error {
	return failed(e.inTx(ctx, func(ctx context.Context, c sqltx.Conn) error {
		n, err := c.Exec(ctx, "DELETE FROM waxwing_seal_session WHERE local = ? AND tag = ? AND slot <> 0", e.local, tag)
		if err != nil || n == 0 {
			return err
		}
		return e.deleteSkipped(ctx, c, tag, sessionKeys)
	}))
}
