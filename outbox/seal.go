package outbox

import (
	"context"
	"fmt"

	"github.com/waxwing-mq/waxwing/bus"
	"github.com/waxwing-mq/waxwing/internal/killpoint"
	"github.com/waxwing-mq/waxwing/internal/sqltx"
)

// A Sealer seals messages in the transaction that publishes them. seal.Endpoint is one.
type Sealer interface {
	// SealEvents returns what is to be published in place of messages, in order: those
	// that its rules name are sealed, and others may have to go in front. What it changes
	// in the database is undone with the transaction.
	SealEvents(ctx context.Context, c sqltx.Conn, msgs []bus.Message) ([]bus.Message, error)
}

// Seal has events sealed by the rules of an endpoint (seal.To, seal.ToGroup) when they
// are published: rows hold final ciphertext, which the relay sends as it is, and
// sessions move on in the same transaction. MaxBytes is of what is sealed, which is
// larger. Until the transaction ends, others that seal to the same peer in the same lane
// wait, as they do for a key; if Publish returns an error, roll back.
func Seal(s Sealer) Option { return func(o *options) { o.sealer = s } }

// sealed are messages as they go into rows.
//
// Sessions are locked before keys: what goes in front has keys of its own, which are
// known only then. Those with the same topic and key are sealed by one session, so that
// also with CallerLocks they get their ids in the order of the commits.
func (o *Outbox[TX]) sealed(ctx context.Context, c sqltx.Conn, msgs []bus.Message) ([]bus.Message, error) {
	if o.sealer == nil {
		return msgs, nil
	}
	if err := killpoint.At(ctx, killpoint.Seal, killpoint.Before); err != nil {
		return nil, err
	}
	msgs, err := o.sealer.SealEvents(ctx, c, msgs)
	if err != nil {
		return nil, fmt.Errorf("outbox: %w", err)
	}
	for i := range msgs {
		if err := o.fits(&msgs[i]); err != nil {
			return nil, err
		}
	}
	return msgs, killpoint.At(ctx, killpoint.Seal, killpoint.After)
}
