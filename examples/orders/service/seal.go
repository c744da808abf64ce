package service

import (
	"context"

	"github.com/waxwing-mq/waxwing/inbox"
	"github.com/waxwing-mq/waxwing/outbox"
	"github.com/waxwing-mq/waxwing/seal"
)

// Keys are what a service seals with, and opens. Without them (nil) nothing is sealed,
// and nothing expected to be: for who only looks into the database, and to see that it
// is noticed.
type Keys struct {
	Identity  *seal.Identity
	Storage   *seal.KeyRing // of what the database keeps
	Root      seal.RootKey
	Directory seal.Directory

	rules []seal.Option
}

// With are the keys with rules: what is sealed to whom, and what has to be sealed.
func (k *Keys) With(rules ...seal.Option) *Keys {
	if k == nil {
		return nil
	}
	with := *k
	with.rules = rules
	return &with
}

// seals is how an outbox seals and an inbox opens.
func (b *Base) seals(k *Keys) (out outbox.Option, in inbox.Option, err error) {
	if k == nil {
		return outbox.Seal(nil), inbox.Seal(nil), nil
	}
	b.endpoint, err = seal.New(b.DB, k.Identity, k.Storage, append([]seal.Option{seal.Pinned(k.Root), seal.Through(k.Directory)}, k.rules...)...)
	if err != nil {
		return nil, nil, err
	}
	b.Start(func(ctx context.Context, _ Buses) error { return b.endpoint.Run(ctx) })
	return outbox.Seal(b.endpoint), inbox.Seal(b.endpoint), nil
}

// Publish publishes what others need to seal to the service. Run does so, too; this is
// for who wants to know when it is done.
func (b *Base) Publish(ctx context.Context) error {
	if b.endpoint == nil {
		return nil
	}
	return b.endpoint.Publish(ctx)
}
