package route

import (
	"encoding/binary"
	"fmt"

	"github.com/waxwing-mq/waxwing/internal/enc"
)

// Durable is a shard's exchanges and bindings, by vhost: what survives a
// crash. It changes only in Apply; one goroutine owns it. Its Decide methods
// change nothing: they return the entries that would, in order, or an *Error.
// No entries and no error means that there is nothing to do.
type Durable struct {
	Limits Limits // read by Decide methods only; not part of the state
	state  state
}

// Limits bound what clients can make the state hold.
type Limits struct {
	Exchanges     int // of a vhost
	Bindings      int // of a vhost
	Depth         int // hops from one exchange to another
	NameBytes     int // of an exchange, queue or binding key
	ArgumentBytes int // of all arguments of an exchange or a binding
}

// DefaultLimits hold unless others are set.
var DefaultLimits = Limits{
	Exchanges:     100_000,
	Bindings:      1_000_000,
	Depth:         100,
	NameBytes:     255,
	ArgumentBytes: 64 << 10,
}

// NewDurable returns the state before the first entry.
func NewDurable() *Durable { return &Durable{Limits: DefaultLimits} }

// Apply takes in one fact and its slices. An error means that the entry does
// not fit the state: it was not decided on it.
func (d *Durable) Apply(e Entry) error { return d.state.apply(e) }

// HasVHost says whether the vhost is open.
func (d *Durable) HasVHost(vhost string) bool { return d.state.vhosts[vhost] != nil }

// VHosts lists the open vhosts by name.
func (d *Durable) VHosts() []string { return sortedKeys(d.state.vhosts) }

// Exchange returns an exchange.
func (d *Durable) Exchange(vhost, name string) (Exchange, bool) { return d.state.exchange(vhost, name) }

// Exchanges lists the exchanges of a vhost by name.
func (d *Durable) Exchanges(vhost string) []Exchange { return d.state.exchanges(vhost) }

// Bindings lists the bindings of a vhost by source, destination, key and
// arguments. The default exchange's are not listed: every queue has one.
func (d *Durable) Bindings(vhost string) []Binding { return d.state.bindings(vhost) }

// entries are the facts that make the state from nothing.
func (s *state) entries(yield func(Entry) bool) {
	for _, vhost := range sortedKeys(s.vhosts) {
		if !yield(VHostOpened{vhost}) {
			return
		}
		for _, x := range s.exchanges(vhost) {
			if !yield(ExchangeDeclared{vhost, x}) {
				return
			}
		}
		for _, b := range s.bindings(vhost) {
			if !yield(Bound{vhost, b}) {
				return
			}
		}
	}
}

const snapshotVersion = 1

// Snapshot appends the state; equal states give equal bytes (exchange and
// binding as in EncodeEntry):
//
//	u version 1 · n · n × vhost, ascending by name
//	vhost  str name · n · n × exchange, ascending by name ·
//	       n · n × (binding · str raw), ascending by source, destination, key, arguments
func (d *Durable) Snapshot(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, snapshotVersion)
	dst = binary.AppendUvarint(dst, uint64(len(d.state.vhosts)))
	for _, vhost := range d.VHosts() {
		dst = enc.String(dst, vhost)
		exchanges := d.Exchanges(vhost)
		dst = binary.AppendUvarint(dst, uint64(len(exchanges)))
		for i := range exchanges {
			dst = appendExchange(dst, &exchanges[i])
		}
		bindings := d.Bindings(vhost)
		dst = binary.AppendUvarint(dst, uint64(len(bindings)))
		for i := range bindings {
			dst = enc.Bytes(appendBinding(dst, &bindings[i]), bindings[i].Raw)
		}
	}
	return dst
}

// Restore reads what Snapshot wrote, and keeps no reference to it. It fails
// with ErrNewer or ErrMalformed; the state is then undefined.
func (d *Durable) Restore(r *enc.Reader) error {
	d.state = state{}
	if v := r.Uvarint(); r.Err() == nil && v != snapshotVersion {
		if v == 0 {
			return fmt.Errorf("route snapshot: %w", ErrMalformed)
		}
		return fmt.Errorf("route snapshot of version %d: %w", v, ErrNewer)
	}
	for n := r.Count(3); n > 0 && r.Err() == nil; n-- {
		if err := d.restoreVHost(r, r.String()); err != nil {
			return fmt.Errorf("route snapshot: %w", err)
		}
	}
	return r.Err()
}

func (d *Durable) restoreVHost(r *enc.Reader, vhost string) error {
	if err := d.restored(VHostOpened{vhost}, nil); err != nil {
		return err
	}
	for n := r.Count(4); n > 0 && r.Err() == nil; n-- {
		x, err := readExchange(r)
		if err := d.restored(ExchangeDeclared{vhost, x}, err); err != nil {
			return err
		}
	}
	for n := r.Count(6); n > 0 && r.Err() == nil; n-- {
		b, err := readBinding(r)
		b.Raw = readRaw(r)
		if err := d.restored(Bound{vhost, b}, err); err != nil {
			return err
		}
	}
	return r.Err()
}

// restored applies what was read, or says why it was not.
func (d *Durable) restored(e Entry, err error) error {
	if err != nil {
		return err
	}
	if err := d.Apply(e); err != nil {
		return fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return nil
}
