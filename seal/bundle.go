package seal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/waxwing-mq/waxwing/internal/sqltx"
	"github.com/waxwing-mq/waxwing/seal/directory"
	"github.com/waxwing-mq/waxwing/seal/ratchet"
)

// A Directory gives out what is needed to begin a session with a service, and is given
// what others need of this one. directory.Client is one. It is not trusted.
type Directory interface {
	// Take returns a bundle, whose one-time keys no other call returns.
	Take(ctx context.Context, name string) (directory.Bundle, error)
	// Publish adds to what an identity has there.
	Publish(ctx context.Context, name string, p directory.Publication) (directory.Status, error)
	// Status tells what an identity has there; an error that is directory.ErrNotFound
	// says that there is none.
	Status(ctx context.Context, name string) (directory.Status, error)
}

var _ interface {
	Directory
	Counter
} = (*directory.Client)(nil)

// Prepare fetches bundles of peers, so that Seal does not have to ask the directory
// within a transaction: one for each lane that has neither a session nor a bundle. Run
// does so for the peers of the rules. Call it at start where others are sealed to. It
// goes on after an error, and returns all.
func (e *Endpoint[TX]) Prepare(ctx context.Context, peers ...string) error {
	var all []error
	for _, p := range peers {
		for lane := range e.core.self.certificate.Lanes {
			if err := e.core.prepare(ctx, p, lane); err != nil {
				all = append(all, fmt.Errorf("seal: a bundle of %s: %w", p, err))
				break
			}
		}
	}
	return errors.Join(all...)
}

// prepare fetches a bundle if one is needed.
func (e *core) prepare(ctx context.Context, peer string, lane int) error {
	var have int
	err := sqltx.One(ctx, e.conn, "SELECT COUNT(*) FROM waxwing_seal_session WHERE local = ? AND remote = ? AND lane = ? AND slot = 0", []any{e.local, peer, lane}, &have)
	if err != nil || have > 0 {
		return failed(err)
	}
	if b, err := e.fetched(ctx, e.conn, peer, lane); err != nil || b != nil {
		return err
	}
	if e.dir == nil {
		return text(ErrNoSession, "there is no directory (Through)")
	}
	b, err := e.dir.Take(ctx, peer)
	if err != nil {
		return err
	}
	cert, err := e.usable(ctx, e.conn, &b, peer)
	if err != nil {
		return err
	}
	raw, err := json.Marshal(b)
	if err != nil {
		return err
	}
	return e.inTx(ctx, func(ctx context.Context, c sqltx.Conn) error {
		if err := e.remember(ctx, c, cert); err != nil {
			return err
		}
		if err := e.dropBundle(ctx, c, peer, lane); err != nil {
			return err
		}
		_, err := c.Exec(ctx, e.dialect.InsertOnce("waxwing_seal_bundle", "local", "remote", "lane", "bundle", "fetched_us"), e.local, peer, lane, raw, e.nowUS())
		return err
	})
}

// dropBundle deletes the bundle that was fetched ahead.
func (e *core) dropBundle(ctx context.Context, c sqltx.Conn, peer string, lane int) error {
	_, err := c.Exec(ctx, "DELETE FROM waxwing_seal_bundle WHERE local = ? AND remote = ? AND lane = ?", e.local, peer, lane)
	return failed(err)
}

// usable says whether a bundle begins a session: not with a certificate that has ended
// since it was fetched, nor with keys that are not signed.
func (e *core) usable(ctx context.Context, c sqltx.Conn, b *directory.Bundle, peer string) (*Certificate, error) {
	cert, _, err := e.believe(ctx, c, b.Certificate, peer)
	if err != nil {
		return nil, err
	}
	public, err := bundleOf(*b, cert.Key, e.profile)
	if err != nil {
		return nil, err
	}
	return cert, translated(public.Verify(e.profile))
}

// fetched is the bundle that was fetched ahead, nil if there is none that can be used.
func (e *core) fetched(ctx context.Context, c sqltx.Conn, peer string, lane int) (*directory.Bundle, error) {
	var raw []byte
	err := sqltx.One(ctx, c, "SELECT bundle FROM waxwing_seal_bundle WHERE local = ? AND remote = ? AND lane = ? AND fetched_us > ?",
		[]any{e.local, peer, lane, e.now().Add(-bundleKept).UnixMicro()}, &raw)
	if errors.Is(err, sqltx.ErrNoRows) {
		return nil, nil
	}
	var b directory.Bundle
	if err == nil {
		err = json.Unmarshal(raw, &b)
	}
	if err != nil {
		return nil, failed(err)
	}
	if _, err := e.usable(ctx, c, &b, peer); errors.As(err, new(*fault)) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	return &b, nil
}

// bundle is the bundle that was fetched ahead, or is fetched now.
func (e *core) bundle(ctx context.Context, c sqltx.Conn, peer string, lane int) (b directory.Bundle, err error) {
	if ahead, err := e.fetched(ctx, c, peer, lane); err != nil {
		return b, err
	} else if ahead != nil {
		return *ahead, nil
	}
	if e.dir == nil {
		return b, text(ErrNoSession, "with "+peer+", and no directory to begin one by (Through)")
	}
	ctx, cancel := context.WithTimeout(ctx, e.fetch)
	defer cancel()
	start := time.Now()
	if b, err = e.dir.Take(ctx, peer); err != nil {
		return b, because(ErrNoSession, fmt.Errorf("with %s: a bundle: %w", peer, err))
	}
	e.log.InfoContext(ctx, "seal: a bundle was fetched within a transaction", "peer", peer, "lane", lane, "took", time.Since(start))
	return b, nil
}

// bundleOf is a bundle as the ratchet takes it, with the key of the certificate, for a
// profile.
func bundleOf(b directory.Bundle, identity ratchet.PublicKey, p ratchet.Profile) (out ratchet.Bundle, err error) {
	out = ratchet.Bundle{RegistrationID: b.RegistrationID, Identity: identity, SignedID: b.Signed.ID, SignedSig: b.Signed.Signature}
	if out.Signed, err = ratchet.ParsePublicKey(b.Signed.Key); err != nil {
		return out, because(ErrMismatch, err)
	}
	if b.KEM == nil {
		return out, text(ErrMismatch, "a bundle without a KEM key")
	}
	if len(b.KEM.Key) > 0 && ratchet.KEM(b.KEM.Key[0]) != kemOf(p) {
		return out, text(ErrMismatch, "its prekeys are not of profile "+p.String()+", which this endpoint has: both need the same (Profile)")
	}
	out.KEMID, out.KEMKey, out.KEMSig = b.KEM.ID, b.KEM.Key, b.KEM.Signature
	if b.OneTime != nil {
		key, err := ratchet.ParsePublicKey(b.OneTime.Key)
		if err != nil {
			return out, because(ErrMismatch, err)
		}
		out.OneTimeID, out.OneTime = b.OneTime.ID, &key
	}
	return out, nil
}
