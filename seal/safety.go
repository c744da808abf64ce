package seal

import (
	"context"
	"crypto/subtle"
	"strings"

	"github.com/waxwing-mq/waxwing/internal/sqltx"
	"github.com/waxwing-mq/waxwing/seal/ratchet"
	"github.com/waxwing-mq/waxwing/seal/safetynumber"
)

// SafetyNumber is the number of this service and a peer, in groups of five digits, that
// people on both sides compare over a channel that shows who speaks. It returns
// ErrNoSession if nothing is known of the peer yet; Prepare finds that out.
func (e *Endpoint[TX]) SafetyNumber(ctx context.Context, peer string) (string, error) {
	p, err := e.core.peer(ctx, e.core.conn, peer)
	if err != nil {
		return "", err
	}
	if p == nil {
		return "", text(ErrNoSession, "nothing is known of "+peer)
	}
	return e.core.number(peer, ratchet.PublicKey(p.key)), nil
}

func (e *core) number(peer string, key ratchet.PublicKey) string {
	return safetynumber.Group(safetynumber.Compute(safetynumber.Party{ID: []byte(e.local), Key: e.self.Key()}, safetynumber.Party{ID: []byte(peer), Key: key}))
}

// Verify notes that the safety number with a peer is the one that the peer has told
// (VerifiedOnly). It returns ErrUntrusted if it is not.
func (e *Endpoint[TX]) Verify(ctx context.Context, peer, number string) error {
	return e.core.inTx(ctx, func(ctx context.Context, c sqltx.Conn) error {
		p, err := e.core.peer(ctx, c, peer)
		if err != nil {
			return err
		}
		if p == nil {
			return text(ErrNoSession, "nothing is known of "+peer)
		}
		digits := func(s string) []byte { return []byte(strings.Join(strings.Fields(s), "")) }
		if subtle.ConstantTimeCompare(digits(number), digits(e.core.number(peer, ratchet.PublicKey(p.key)))) != 1 {
			return text(ErrUntrusted, "the safety number with "+peer+" is another one")
		}
		_, err = c.Exec(ctx, "UPDATE waxwing_seal_peer SET verified = 1 WHERE local = ? AND remote = ? AND identity_key = ?", e.core.local, peer, p.key)
		return failed(err)
	})
}
