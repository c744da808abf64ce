package access

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/waxwing-mq/waxwing/internal/enc"
)

// Durable is the vhosts, users and permissions of a broker: what survives a
// crash. It changes only in Apply; one goroutine owns it. Its Decide methods
// change nothing: they return the entries that would, in order, or an *Error.
// No entries and no error means that there is nothing to do.
type Durable struct {
	Limits Limits // read by Decide methods only; not part of the state
	state  state
}

// Limits bound what can be stored.
type Limits struct {
	VHosts       int
	Users        int
	Exchanges    int // with topic permissions, of a user in a vhost
	Tags         int // of a user
	NameBytes    int // of a vhost, user, exchange or tag
	PatternBytes int
}

// DefaultLimits hold unless others are set.
var DefaultLimits = Limits{
	VHosts:       10_000,
	Users:        100_000,
	Exchanges:    1_000,
	Tags:         32,
	NameBytes:    255,
	PatternBytes: 4096,
}

// NewDurable returns the state before the first entry.
func NewDurable() *Durable { return &Durable{Limits: DefaultLimits, state: newState(false)} }

// Apply takes in one fact and its slices. An error means that the entry does
// not fit the state: it was not decided on it.
func (d *Durable) Apply(e Entry) error { return d.state.apply(e) }

// VHost returns a vhost.
func (d *Durable) VHost(name string) (VHost, bool) {
	v, ok := d.state.vhosts[name]
	return v, ok
}

// User returns a user. The caller must not change its tags.
func (d *Durable) User(name string) (User, bool) {
	if u := d.state.users[name]; u != nil {
		return u.User, true
	}
	return User{}, false
}

// VHosts lists the vhosts by name.
func (d *Durable) VHosts() []VHost { return d.state.listVHosts() }

// Users lists the users by name.
func (d *Durable) Users() []User { return d.state.listUsers() }

// Grants lists the permissions by user and vhost.
func (d *Durable) Grants() []Grant { return d.state.listGrants() }

// TopicGrants lists the topic permissions by user, vhost and exchange.
func (d *Durable) TopicGrants() []TopicGrant { return d.state.listTopicGrants() }

// Equal says whether both hold the same. It costs a snapshot of each: it is
// for tests and checks.
func (d *Durable) Equal(o *Durable) bool { return bytes.Equal(d.Snapshot(nil), o.Snapshot(nil)) }

const snapshotVersion = 1

// Snapshot appends the state; equal states give equal bytes:
//
//	u version 1 · u count · count × str entry, as EncodeEntry writes it:
//	Founded if it is · VHostStored by name · UserStored by name ·
//	PermissionsSet by user, vhost · TopicPermissionsSet by user, vhost, exchange
func (d *Durable) Snapshot(dst []byte) []byte {
	all := slices.Collect(d.state.entries)
	dst = binary.AppendUvarint(dst, snapshotVersion)
	dst = binary.AppendUvarint(dst, uint64(len(all)))
	var scratch []byte
	for _, e := range all {
		scratch = EncodeEntry(scratch[:0], e)
		dst = enc.Bytes(dst, scratch)
	}
	return dst
}

// Restore reads what Snapshot wrote, and keeps no reference to it. It fails
// with ErrNewer or ErrMalformed; the state is then undefined.
func (d *Durable) Restore(r *enc.Reader) error {
	d.state = newState(false)
	if v := r.Uvarint(); r.Err() == nil && v != snapshotVersion {
		if v == 0 {
			return fmt.Errorf("access snapshot: %w", ErrMalformed)
		}
		return fmt.Errorf("access snapshot of version %d: %w", v, ErrNewer)
	}
	for n := r.Count(3); n > 0 && r.Err() == nil; n-- {
		b := r.Bytes()
		if r.Err() != nil {
			break
		}
		e, err := DecodeEntry(b)
		if err != nil {
			return fmt.Errorf("access snapshot: %w", err)
		}
		if err := d.Apply(e); err != nil {
			return fmt.Errorf("access snapshot: %w: %w", ErrMalformed, err)
		}
	}
	return r.Err()
}
