package seal

import (
	"context"
	"encoding/binary"
	"errors"
	"strings"

	"github.com/waxwing-mq/waxwing/internal/sqltx"
	"github.com/waxwing-mq/waxwing/seal/ratchet"
)

// rowsPerInsert keeps a statement's placeholders below what databases take.
const rowsPerInsert = 100

// skippedRow is the identity of a row of waxwing_seal_skipped.
func (e *core) skippedRow(tag [16]byte, pq int, id ratchet.KeyID) []byte {
	var b [5]byte
	binary.BigEndian.PutUint32(b[:], id.N)
	b[4] = byte(pq)
	return rowID("skipped", e.local, string(tag[:]), string(id.Chain[:]), string(b[:]))
}

// keyKind is what the column pq says: 0 and 1 of a session's keys, 2 of a group's. What
// is deleted by its tag is deleted by its kind, too.
type keyKind int

const (
	sessionKeys keyKind = 0
	groupKeys   keyKind = 2
)

func (k keyKind) pq(id ratchet.KeyID) int {
	if id.PQ {
		return int(k) + 1
	}
	return int(k)
}

// deleteSkipped deletes all keys of a tag.
func (e *core) deleteSkipped(ctx context.Context, c sqltx.Conn, tag []byte, kind keyKind) error {
	_, err := c.Exec(ctx, "DELETE FROM waxwing_seal_skipped WHERE local = ? AND tag = ? AND pq IN (?, ?)", e.local, tag, int(kind), int(kind)+1)
	return failed(err)
}

// skippedKeys reads those of the keys that are stored. It returns ErrExpired if one is
// past its time.
func (e *core) skippedKeys(ctx context.Context, c sqltx.Conn, tag [16]byte, kind keyKind, ids []ratchet.KeyID) (keys []ratchet.SkippedKey, err error) {
	now := e.nowUS()
	for _, id := range ids {
		var secret []byte
		var expires int64
		err := sqltx.One(ctx, c, "SELECT secret, expires_us FROM waxwing_seal_skipped WHERE local = ? AND tag = ? AND chain = ? AND pq = ? AND n = ?",
			[]any{e.local, tag[:], id.Chain[:], kind.pq(id), int64(id.N)}, &secret, &expires)
		if errors.Is(err, sqltx.ErrNoRows) {
			continue
		}
		if err != nil {
			return nil, failed(err)
		}
		if now > expires {
			return nil, because(ErrDuplicate, text(ErrExpired, "the key that was kept for the message"))
		}
		key, err := e.keys.unwrap(e.skippedRow(tag, kind.pq(id), id), secret)
		if err != nil {
			return nil, err
		}
		if len(key) != 32 {
			return nil, text(ErrMismatch, "a skipped key is damaged")
		}
		keys = append(keys, ratchet.SkippedKey{ID: id, Key: [32]byte(key)})
	}
	return keys, nil
}

// keepSkipped writes down what opening a message says of skipped keys.
func (e *core) keepSkipped(ctx context.Context, c sqltx.Conn, tag [16]byte, kind keyKind, r *ratchet.Opened) error {
	for _, id := range r.Used {
		if _, err := c.Exec(ctx, "DELETE FROM waxwing_seal_skipped WHERE local = ? AND tag = ? AND chain = ? AND pq = ? AND n = ?",
			e.local, tag[:], id.Chain[:], kind.pq(id), int64(id.N)); err != nil {
			return failed(err)
		}
	}
	for _, chain := range r.Gone {
		if _, err := c.Exec(ctx, "DELETE FROM waxwing_seal_skipped WHERE local = ? AND tag = ? AND chain = ? AND pq = ?", e.local, tag[:], chain[:], int(kind)); err != nil {
			return failed(err)
		}
	}
	if len(r.Skipped) == 0 {
		return nil
	}
	for at := 0; at < len(r.Skipped); at += rowsPerInsert {
		if err := e.insertSkipped(ctx, c, tag, kind, r.Skipped[at:min(at+rowsPerInsert, len(r.Skipped))]); err != nil {
			return err
		}
	}
	if err := e.pruneSkipped(ctx, c, tag, kind, r.Skipped); err != nil {
		return err
	}
	return e.pruneSession(ctx, c, tag, kind)
}

// sessionSkipped is how many skipped keys are kept of a session, or a group's chain, in
// all: those of chains that are forgotten stay until their time ends, or others are newer.
const sessionSkipped = ratchet.MaxChains * ratchet.MaxSkipped

// pruneSession leaves that many.
func (e *core) pruneSession(ctx context.Context, c sqltx.Conn, tag [16]byte, kind keyKind) error {
	var n, least int64
	err := sqltx.One(ctx, c, "SELECT COUNT(*) FROM waxwing_seal_skipped WHERE local = ? AND tag = ? AND pq IN (?, ?)", []any{e.local, tag[:], int(kind), int(kind) + 1}, &n)
	if err != nil || n <= sessionSkipped {
		return failed(err)
	}
	err = sqltx.One(ctx, c, "SELECT expires_us FROM waxwing_seal_skipped WHERE local = ? AND tag = ? AND pq IN (?, ?) ORDER BY expires_us DESC LIMIT 1 OFFSET ?",
		[]any{e.local, tag[:], int(kind), int(kind) + 1, sessionSkipped - 1}, &least)
	if err == nil {
		_, err = c.Exec(ctx, "DELETE FROM waxwing_seal_skipped WHERE local = ? AND tag = ? AND pq IN (?, ?) AND expires_us < ?", e.local, tag[:], int(kind), int(kind)+1, least)
	}
	return failed(err)
}

func (e *core) insertSkipped(ctx context.Context, c sqltx.Conn, tag [16]byte, kind keyKind, keys []ratchet.SkippedKey) error {
	expires := e.now().Add(e.skipped).UnixMicro()
	args := make([]any, 0, 8*len(keys))
	for _, k := range keys {
		args = append(args, e.local, tag[:], k.ID.Chain[:], kind.pq(k.ID), int64(k.ID.N), int64(e.keys.active), e.keys.wrap(e.skippedRow(tag, kind.pq(k.ID), k.ID), k.Key[:]), expires)
	}
	_, err := c.Exec(ctx, "INSERT INTO waxwing_seal_skipped (local, tag, chain, pq, n, wrap_id, secret, expires_us) VALUES "+
		strings.TrimSuffix(strings.Repeat("("+sqltx.Marks(8)+"), ", len(keys)), ", "), args...)
	return failed(err)
}

// pruneSkipped leaves the last MaxSkipped keys of each chain that has got some.
func (e *core) pruneSkipped(ctx context.Context, c sqltx.Conn, tag [16]byte, kind keyKind, added []ratchet.SkippedKey) error {
	type chain struct {
		id [32]byte
		pq int
	}
	done := map[chain]bool{}
	for _, k := range added {
		ch := chain{k.ID.Chain, kind.pq(k.ID)}
		if done[ch] {
			continue
		}
		done[ch] = true
		var least int64
		err := sqltx.One(ctx, c, "SELECT n FROM waxwing_seal_skipped WHERE local = ? AND tag = ? AND chain = ? AND pq = ? ORDER BY n DESC LIMIT 1 OFFSET ?",
			[]any{e.local, tag[:], ch.id[:], ch.pq, ratchet.MaxSkipped - 1}, &least)
		if errors.Is(err, sqltx.ErrNoRows) {
			continue
		}
		if err == nil {
			_, err = c.Exec(ctx, "DELETE FROM waxwing_seal_skipped WHERE local = ? AND tag = ? AND chain = ? AND pq = ? AND n < ?", e.local, tag[:], ch.id[:], ch.pq, least)
		}
		if err != nil {
			return failed(err)
		}
	}
	return nil
}
