package seal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/waxwing-mq/waxwing/internal/sqltx"
)

// A peerRow is what is known of a peer.
type peerRow struct {
	key, certificate []byte
	verified         bool
}

func (e *core) peer(ctx context.Context, c sqltx.Conn, name string) (*peerRow, error) {
	var p peerRow
	var verified int
	err := sqltx.One(ctx, c, "SELECT identity_key, certificate, verified FROM waxwing_seal_peer WHERE local = ? AND remote = ?", []any{e.local, name},
		&p.key, &p.certificate, &verified)
	if errors.Is(err, sqltx.ErrNoRows) {
		return nil, nil
	}
	p.verified = verified == 1
	return &p, failed(err)
}

// trust reads a certificate, which has to be of a name, and decides whether to believe
// it. It writes nothing.
func (e *core) trust(ctx context.Context, c sqltx.Conn, b []byte, name string) (*Certificate, error) {
	cert, p, err := e.believe(ctx, c, b, name)
	if err == nil && e.verified && (p == nil || !p.verified) {
		return nil, text(ErrUntrusted, name+" was not verified")
	}
	return cert, err
}

// believe is trust without asking whether somebody has compared the safety number. It
// returns what is known of the peer, where that matters.
func (e *core) believe(ctx context.Context, c sqltx.Conn, b []byte, name string) (*Certificate, *peerRow, error) {
	cert, err := ParseCertificate(b)
	if err != nil {
		return nil, nil, err
	}
	if cert.Name != name {
		return nil, nil, because(ErrUntrusted, fmt.Errorf("%s has the certificate of %s", name, cert.Name))
	}
	if err := cert.valid(e.now()); err != nil {
		return nil, nil, err
	}
	if err := e.certified(cert); err != nil {
		return nil, nil, err
	}
	if !e.tofu && !e.verified {
		return cert, nil, nil
	}
	p, err := e.peer(ctx, c, name)
	if err == nil && p != nil && !bytes.Equal(p.key, cert.Key[:]) {
		err = text(ErrUntrusted, "the key of "+name+" is another one than at first (Forget, if that is right)")
	}
	return cert, p, err
}

// certified says whether a root that is pinned has signed a certificate; trust on first
// use takes also those that are signed by themselves, which ParseCertificate has seen to.
func (e *core) certified(cert *Certificate) error {
	if e.tofu && cert.RootID == ([8]byte{}) {
		return nil
	}
	for _, root := range e.roots {
		if root.ID() == cert.RootID {
			return cert.signedBy(root)
		}
	}
	return text(ErrUntrusted, "the certificate of "+cert.Name+" is by a root that is not pinned")
}

// remember notes a peer that is trusted. It returns ErrUntrusted if another transaction
// has noted another key first, where that matters.
func (e *core) remember(ctx context.Context, c sqltx.Conn, cert *Certificate) error {
	n, err := c.Exec(ctx, e.dialect.InsertOnce("waxwing_seal_peer", "local", "remote", "identity_key", "certificate", "verified", "seen_us"),
		e.local, cert.Name, cert.Key[:], cert.Bytes(), 0, e.nowUS())
	if err != nil || n == 1 {
		return failed(err)
	}
	p, err := e.peer(ctx, c, cert.Name)
	if err != nil {
		return err
	}
	if p == nil {
		return text(ErrConflict, "a peer was forgotten")
	}
	if bytes.Equal(p.certificate, cert.Bytes()) {
		return nil
	}
	same := bytes.Equal(p.key, cert.Key[:])
	if !same && (e.tofu || e.verified) {
		return text(ErrUntrusted, "the key of "+cert.Name+" is another one than at first")
	}
	verified := 0
	if p.verified && same {
		verified = 1
	}
	_, err = c.Exec(ctx, "UPDATE waxwing_seal_peer SET identity_key = ?, certificate = ?, verified = ?, seen_us = ? WHERE local = ? AND remote = ?",
		cert.Key[:], cert.Bytes(), verified, e.nowUS(), e.local, cert.Name)
	return failed(err)
}

// Forget forgets a peer's key, and ends the sessions with it: the next message to it
// begins a new one. What is under way from it cannot be opened any more.
func (e *Endpoint[TX]) Forget(ctx context.Context, tx TX, peer string) error {
	return e.core.forget(ctx, e.db.Bind(tx), peer)
}

func (e *core) forget(ctx context.Context, c sqltx.Conn, peer string) error {
	if err := e.deleteSessions(ctx, c, peer); err != nil {
		return err
	}
	for _, q := range []string{
		"DELETE FROM waxwing_seal_skipped WHERE pq > 1 AND local = ? AND tag IN (SELECT tag FROM waxwing_seal_receiver WHERE local = ? AND remote = ?)",
		"DELETE FROM waxwing_seal_receiver WHERE local = ? AND remote = ?",
		"DELETE FROM waxwing_seal_bundle WHERE local = ? AND remote = ?",
		"DELETE FROM waxwing_seal_peer WHERE local = ? AND remote = ?",
	} {
		args := []any{e.local, peer}
		if sqlArgs(q) == 3 {
			args = []any{e.local, e.local, peer}
		}
		if _, err := c.Exec(ctx, q, args...); err != nil {
			return failed(err)
		}
	}
	return nil
}

// deleteSessions deletes the sessions with a peer, and notes how far they were. It deletes
// those that it has locked: one that has begun meanwhile would be deleted without a note,
// and Check would take it for lost.
func (e *core) deleteSessions(ctx context.Context, c sqltx.Conn, peer string) error {
	for {
		tags, err := e.lockSessions(ctx, c, " AND remote = ?", peer)
		if err != nil || len(tags) == 0 {
			return err
		}
		if err := e.keepSequences(ctx, c, peer); err != nil {
			return err
		}
		for _, tag := range tags {
			if _, err := c.Exec(ctx, "DELETE FROM waxwing_seal_session WHERE local = ? AND tag = ?", e.local, tag); err != nil {
				return failed(err)
			}
			if err := e.deleteSkipped(ctx, c, tag, sessionKeys); err != nil {
				return err
			}
		}
	}
}

// keepSequences notes how far a peer's streams are, before its sessions go.
func (e *core) keepSequences(ctx context.Context, c sqltx.Conn, peer string) error {
	return e.keepSequencesOf(ctx, c, "waxwing_seal_session", " AND remote = ?", peer)
}

// keepAllSequences notes how far all streams are.
func (e *core) keepAllSequences(ctx context.Context, c sqltx.Conn) error {
	if err := e.keepSequencesOf(ctx, c, "waxwing_seal_session", ""); err != nil {
		return err
	}
	return e.keepSequencesOf(ctx, c, "waxwing_seal_sender", "")
}

func (e *core) keepSequencesOf(ctx context.Context, c sqltx.Conn, table, where string, args ...any) error {
	last := map[int64]int64{}
	err := sqltx.Each(ctx, c, "SELECT stream, seq FROM "+table+" WHERE local = ?"+where+e.dialect.ForUpdate(), append([]any{e.local}, args...),
		func(read func(...any) error) error { // locked, so that none seals meanwhile
			var stream, seq int64
			err := read(&stream, &seq)
			last[stream] = max(last[stream], seq)
			return err
		})
	if err != nil {
		return failed(err)
	}
	for _, stream := range slices.Sorted(maps.Keys(last)) {
		if _, err := c.Exec(ctx, "UPDATE waxwing_seal_stream SET low = ? WHERE local = ? AND stream = ? AND low < ?", last[stream], e.local, stream, last[stream]); err != nil {
			return failed(err)
		}
	}
	return nil
}

// sqlArgs is how many arguments a query takes.
func sqlArgs(q string) (n int) {
	for _, c := range q {
		if c == '?' {
			n++
		}
	}
	return n
}
