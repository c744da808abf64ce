package seal

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/waxwing-mq/waxwing/internal/sqltx"
	"github.com/waxwing-mq/waxwing/seal/directory"
)

// A Restore is what Check has found: the database knows less than was published.
type Restore struct {
	Name   string   // of the identity
	Behind []Behind // the streams; none if it was found otherwise: by prekeys that the database has forgotten, or marks that are gone
}

// Behind is a stream of messages of which the database has forgotten some.
type Behind struct {
	Peer              string // or a group's chain; empty if the database does not know the stream
	Lane              int
	Stream            uint32
	Database, Counter uint64 // the last sequence that each knows
}

// Check compares the database with the counter (CountedBy), at the start of each process,
// before anything is sealed; Maintain does so again. If the counter is ahead, the database
// was set back, and keys may have been used that it has not used yet. Check then ends all
// sessions and group chains for sealing, goes on with sequences beyond the counter's, has
// prekeys made anew by the next Publish, counts and logs that, calls OnRestore, and says
// true. The next Seal, of any process, begins new sessions. Those that were are kept for
// opening, but what peers have sealed since then may be lost: they learn of the new session
// with the first message. A directory that does not know the identity, although prekeys were
// published there, has lost its marks: that counts as a restore, too. Others may seal and
// publish meanwhile.
func (e *Endpoint[TX]) Check(ctx context.Context) (restored bool, err error) {
	return e.core.check(ctx)
}

func (e *core) check(ctx context.Context) (bool, error) {
	if e.counter == nil {
		return false, errors.New("seal: there is no counter (CountedBy)")
	}
	if err := e.ensureIdentity(ctx); err != nil {
		return false, err
	}
	marks, err := e.counter.Marks(ctx, e.local) // before the database is read, which only grows
	unknown := errors.Is(err, directory.ErrNotFound)
	if err != nil && !unknown {
		return false, fmt.Errorf("seal: the counter: %w", err)
	}
	for stream, mark := range marks {
		if stream >= streamsMax || mark > markMax {
			return false, fmt.Errorf("seal: the counter says that stream %d is at %d: that is not believed", stream, mark)
		}
	}
	var behind []Behind
	err = e.inTx(ctx, func(ctx context.Context, c sqltx.Conn) (err error) {
		// One process at a time, so that the second finds everything done.
		var id int64
		if err := sqltx.One(ctx, c, "SELECT next_id FROM waxwing_seal_identity WHERE name = ?"+e.dialect.ForUpdate(), []any{e.local}, &id); err != nil {
			return err
		}
		if unknown { // as it should be only if nothing was published yet
			if unknown, err = e.hasPublished(ctx, c); err != nil {
				return err
			}
		}
		if behind, err = e.compare(ctx, c, marks); err != nil || len(behind) == 0 && !unknown {
			return err
		}
		return e.beginAnew(ctx, c, behind)
	})
	if err != nil {
		return false, failed(err)
	}
	e.checked.Store(true)
	switch {
	case len(behind) > 0:
		e.restored(ctx, "the counter is ahead", behind)
	case unknown:
		e.restored(ctx, "the directory does not know the identity any more, and has no marks of it", nil)
	default:
		return false, nil
	}
	return true, nil
}

// restored tells that sessions begin anew, and why.
func (e *core) restored(ctx context.Context, why string, behind []Behind) {
	e.m.restores.Inc()
	e.log.ErrorContext(ctx, "seal: the database was set back; sessions begin anew", "endpoint", e.local, "reason", why)
	for _, b := range behind {
		e.log.ErrorContext(ctx, "seal: a stream that was set back", "endpoint", e.local,
			"peer", b.Peer, "lane", b.Lane, "stream", b.Stream, "database", b.Database, "counter", b.Counter)
	}
	e.onRestore(Restore{e.local, behind})
}

// hasPublished says whether the directory has taken prekeys of this database, since it was
// set back last.
func (e *core) hasPublished(ctx context.Context, c sqltx.Conn) (bool, error) {
	var n int
	err := sqltx.One(ctx, c, "SELECT COUNT(*) FROM waxwing_seal_prekey WHERE local = ? AND published = 1", []any{e.local}, &n)
	return n > 0, err
}

// markMax is above what anybody has sealed. A sequence goes on beyond the counter's, and must
// not run out.
const markMax = 1 << 60

// compare finds the streams that the counter knows more of than the database. Who deletes a
// session notes its sequence in the stream's row, so that is read last: each statement may
// see what was committed since the one before.
func (e *core) compare(ctx context.Context, c sqltx.Conn, marks map[uint32]uint64) (out []Behind, err error) {
	last := map[int64]int64{}
	for _, table := range []string{"waxwing_seal_session", "waxwing_seal_sender"} {
		err := sqltx.Each(ctx, c, "SELECT stream, MAX(seq) FROM "+table+" WHERE local = ? GROUP BY stream", []any{e.local}, func(read func(...any) error) error {
			var stream, seq int64
			err := read(&stream, &seq)
			last[stream] = max(last[stream], seq)
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	known := map[uint32]*Behind{}
	err = sqltx.Each(ctx, c, "SELECT stream, remote, lane, low FROM waxwing_seal_stream WHERE local = ?", []any{e.local}, func(read func(...any) error) error {
		var stream, low int64
		var b Behind
		err := read(&stream, &b.Peer, &b.Lane, &low)
		b.Stream, b.Database = uint32(stream), uint64(max(low, last[stream]))
		known[b.Stream] = &b
		return err
	})
	if err != nil {
		return nil, err
	}
	for stream, mark := range marks {
		b := known[stream]
		if b == nil {
			b = &Behind{Stream: stream}
		}
		if b.Counter = mark; mark > b.Database {
			out = append(out, *b)
		}
	}
	slices.SortFunc(out, func(a, b Behind) int { return int(a.Stream) - int(b.Stream) })
	return out, nil
}

// beginAnew has nothing used again that may have been used.
func (e *core) beginAnew(ctx context.Context, c sqltx.Conn, behind []Behind) error {
	if err := e.openingOnly(ctx, c, ""); err != nil {
		return err
	}
	for _, q := range []string{
		"UPDATE waxwing_seal_sender SET group_version = -1, version = version + 1 WHERE local = ?",
		"DELETE FROM waxwing_seal_bundle WHERE local = ?",
		"UPDATE waxwing_seal_identity SET renew = 1 WHERE name = ?",
		fmt.Sprintf("UPDATE waxwing_seal_prekey SET published = %d WHERE local = ?", publishedBefore),
	} {
		if _, err := c.Exec(ctx, q, e.local); err != nil {
			return err
		}
	}
	for _, b := range behind {
		if err := e.lift(ctx, c, b); err != nil {
			return err
		}
	}
	return e.keepAllSequences(ctx, c)
}

// lift has a stream go on beyond the counter. One that the database does not know is not
// given to anybody.
func (e *core) lift(ctx context.Context, c sqltx.Conn, b Behind) error {
	if b.Peer == "" {
		_, err := c.Exec(ctx, e.dialect.InsertOnce("waxwing_seal_stream", "local", "remote", "lane", "stream", "low"),
			e.local, fmt.Sprintf("?%d", b.Stream), 0, int64(b.Stream), int64(b.Counter))
		return err
	}
	_, err := c.Exec(ctx, "UPDATE waxwing_seal_stream SET low = ? WHERE local = ? AND stream = ? AND low < ?", int64(b.Counter), e.local, int64(b.Stream), int64(b.Counter))
	return err
}
