package broker

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/waxwing-mq/waxwing/internal/broker/access"
	"github.com/waxwing-mq/waxwing/internal/broker/route"
	"github.com/waxwing-mq/waxwing/internal/enc"
	"github.com/waxwing-mq/waxwing/internal/engine"
)

// Users, vhosts and permissions are part of shard 0's state; everybody reads
// the view.

// accessEntries is what one decision about access brings about: one entry of
// the shard.
//
//	count × (u length · entry of package access)
type accessEntries []access.Entry

// Append implements entry.
func (es accessEntries) Append(dst []byte) []byte {
	for _, e := range es {
		dst = enc.Bytes(dst, access.EncodeEntry(nil, e))
	}
	return dst
}

func (d *durable) applyAccess(body []byte) error {
	for r := enc.NewReader(body); r.Len() > 0; {
		e, err := access.DecodeEntry(r.Bytes())
		if err == nil {
			err = d.access.Apply(e)
		}
		if err == nil {
			err = r.Err()
		}
		if errors.Is(err, access.ErrNewer) {
			return fmt.Errorf("%w: %w", engine.ErrNewer, err)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// foundVHost gives a new broker the vhost "/" and the user guest, who can log
// in from this machine only.
func (b *Broker) foundVHost(ctx context.Context) error {
	home := b.shards[0]
	_, err := call(ctx, home, func(int64) (struct{}, error) {
		var salt [access.SaltBytes]byte
		b.randMu.Lock()
		_, err := io.ReadFull(b.cfg.Rand, salt[:])
		b.randMu.Unlock()
		if err != nil {
			return struct{}{}, fmt.Errorf("no random numbers: %w", err)
		}
		if es := accessEntries(home.d.access.DecideFound(0, salt)); len(es) > 0 {
			home.log(typeAccess, es, nil, es)
		}
		return struct{}{}, nil
	})
	if err != nil {
		return err
	}
	for _, v := range b.access.VHosts() {
		if err := b.openVHost(ctx, v); err != nil {
			return err
		}
	}
	return nil
}

// openVHost gives a vhost its exchanges, if it has none yet.
func (b *Broker) openVHost(ctx context.Context, v access.VHost) error {
	if int(v.Shard) >= len(b.shards) {
		return fmt.Errorf("vhost %q is in shard %d, but only %d shards are configured", v.Name, v.Shard, len(b.shards))
	}
	s := b.shards[v.Shard]
	_, err := call(ctx, s, func(int64) (struct{}, error) {
		entries, err := s.d.routes.DecideOpen(v.Name)
		s.logRoutes(entries)
		if v.Name == streamVHost {
			own := route.Exchange{Name: TopicsExchange, Type: route.Topic, Durable: true, Internal: true}
			s.logRoutes(s.d.routes.DecideOwn(v.Name, own))
		}
		return struct{}{}, err
	})
	return err
}

// ChangeAccess has decide say what changes of vhosts, users and permissions; when
// it returns, that is durable and holds. A vhost that is new gets its exchanges.
// To delete a vhost takes more than that, and is refused.
func (b *Broker) ChangeAccess(ctx context.Context, decide func(*access.Durable) ([]access.Entry, error)) error {
	home := b.shards[0]
	entries, err := call(ctx, home, func(int64) ([]access.Entry, error) {
		if err := home.room(toCommit, 0); err != nil {
			return nil, err
		}
		entries, err := decide(home.d.access)
		for _, e := range entries {
			if _, ok := e.(access.VHostDeleted); ok {
				return nil, errf(InvalidRequest, "a vhost cannot be deleted")
			}
		}
		if es := accessEntries(entries); err == nil && len(es) > 0 {
			home.log(typeAccess, es, nil, es)
		}
		return entries, err
	})
	if err != nil {
		return err
	}
	for _, e := range entries {
		if v, ok := e.(access.VHostStored); ok {
			if err := b.openVHost(ctx, v.VHost); err != nil {
				return err
			}
		}
	}
	return nil
}

// VHost returns the vhost of that name.
func (b *Broker) VHost(name string) (*VHost, bool) {
	v, ok := b.access.VHost(name)
	if !ok {
		return nil, false
	}
	return &VHost{b: b, shard: b.shards[v.Shard], name: name}, true
}

// Authenticate says whether a user may log in with a password. loopback says
// that the connection comes from this machine.
func (b *Broker) Authenticate(user, password string, loopback bool) error {
	return b.access.Authenticate(user, password, loopback)
}

// MayEnter says whether a user may open a vhost.
func (b *Broker) MayEnter(user, vhost string) bool { return b.access.MayEnter(user, vhost) }

// Allow says whether a user has a right to a queue or an exchange.
func (v *VHost) Allow(user string, right access.Right, name string) bool {
	return v.b.access.Allow(user, v.name, right, name)
}

// AllowTopic says whether a user may publish to a topic exchange, or bind to
// it, with a routing key.
func (v *VHost) AllowTopic(user, exchange string, right access.Right, key string) bool {
	return v.b.access.AllowTopic(user, v.name, exchange, right, key)
}

// DefaultQueueType is what queues of the vhost are that are declared without a
// type: classic, quorum or stream; empty: the broker's default.
func (v *VHost) DefaultQueueType() string {
	h, _ := v.b.access.VHost(v.name)
	return h.DefaultQueueType
}
