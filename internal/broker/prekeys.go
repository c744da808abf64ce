package broker

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/waxwing-mq/waxwing/internal/broker/prekey"
	"github.com/waxwing-mq/waxwing/internal/enc"
	"github.com/waxwing-mq/waxwing/internal/engine"
)

// The prekey directory is part of shard 0's state. All of its commands go to the
// sequencer, reads too, so that what they tell is durable; only counts are in the
// view. Who may do what is the caller's to check.

// prekeyEntries is what one decision about identities brings about: one entry of
// the shard.
//
//	count × (u length · entry of package prekey)
type prekeyEntries []prekey.Entry

// Append implements entry.
func (es prekeyEntries) Append(dst []byte) []byte {
	var scratch []byte
	for _, e := range es {
		scratch = prekey.EncodeEntry(scratch[:0], e)
		dst = enc.Bytes(dst, scratch)
	}
	return dst
}

func (d *durable) applyPrekeys(body []byte) error {
	for r := enc.NewReader(body); r.Len() > 0; {
		e, err := prekey.DecodeEntry(r.Bytes())
		if err == nil {
			err = d.prekeys.Apply(e)
		}
		if err == nil {
			err = r.Err()
		}
		if errors.Is(err, prekey.ErrNewer) {
			return fmt.Errorf("%w: %w", engine.ErrNewer, err)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// PrekeyStats are counts of the prekey directory.
type PrekeyStats struct {
	Identities          int
	OneTime, OneTimeKEM int // keys that wait to be given out
	Bytes               int // about what identities take in memory

	// Since the start of the process: bundles that were given out, and those of
	// them without an EC key or with the last-resort KEM key, because none
	// waited or the user had taken too many.
	Takes, TakesWithout uint64
}

// prekeyView is what everybody sees: counts of what is durable.
type prekeyView struct {
	totals              atomic.Pointer[prekey.Totals]
	takes, takesWithout atomic.Uint64
}

// PrekeyStats counts what is durable.
func (b *Broker) PrekeyStats() PrekeyStats {
	t := b.prekeys.totals.Load()
	return PrekeyStats{
		Identities: t.Identities, OneTime: t.OneTime, OneTimeKEM: t.OneTimeKEM, Bytes: t.Bytes,
		Takes: b.prekeys.takes.Load(), TakesWithout: b.prekeys.takesWithout.Load(),
	}
}

// prekeyTotals are counts that are shown when they are durable.
type prekeyTotals struct {
	view   *prekeyView
	totals prekey.Totals
}

// Durable implements journal.Waiter.
func (t *prekeyTotals) Durable(err error) {
	if err == nil {
		t.view.show(t.totals)
	}
}

func (v *prekeyView) show(t prekey.Totals) { v.totals.Store(&t) }

// prekeyCommand is a command to the directory: decide says what changes, and tell
// the answer after that.
type prekeyCommand[T any] struct {
	need   need
	decide func(*prekey.Machine, time.Time) ([]prekey.Entry, error)
	tell   func(*prekey.Durable) (T, error)
}

// callPrekeys has the sequencer carry out a command; when it returns, what it tells
// is durable. Once it has begun it does not stop when ctx ends, since the command
// refers to what the caller has.
func callPrekeys[T any](ctx context.Context, b *Broker, c prekeyCommand[T]) (T, error) {
	home := b.shards[0]
	return call(context.WithoutCancel(ctx), home, func(now int64) (answer T, err error) {
		entries, err := c.decide(home.prekeys, time.UnixMilli(now))
		if err == nil {
			err = home.logPrekeys(c.need, entries)
		}
		if err != nil {
			return answer, err
		}
		return c.tell(home.d.prekeys)
	})
}

// logPrekeys logs what was decided, if there is room for it.
func (s *shard) logPrekeys(n need, es prekeyEntries) error {
	if len(es) == 0 {
		return nil
	}
	size := es.size()
	if !s.fitsSlot(size) {
		return errf(InvalidRequest, "a publication of %d bytes is too large at once", size)
	}
	if err := s.room(n, size); err != nil {
		return err
	}
	s.log(typePrekeys, es, nil, nil)
	s.j.Attach(&prekeyTotals{&s.b.prekeys, s.d.prekeys.Totals()})
	return nil
}

// size is how many bytes they have, encoded.
func (es prekeyEntries) size() (n int64) {
	var scratch []byte
	for _, e := range es {
		scratch = prekey.EncodeEntry(scratch[:0], e)
		n += int64(len(scratch)) + binary.MaxVarintLen64
	}
	return n
}

// PublishPrekeys stores what an identity publishes, and returns what is there of it
// then. It keeps no reference to p. Refusals are a *prekey.Error.
func (b *Broker) PublishPrekeys(ctx context.Context, name string, p *prekey.Publication) (prekey.Status, error) {
	return callPrekeys(ctx, b, prekeyCommand[prekey.Status]{
		need:   toCommit,
		decide: func(m *prekey.Machine, _ time.Time) ([]prekey.Entry, error) { return m.DecidePublish(name, p) },
		tell:   func(d *prekey.Durable) (prekey.Status, error) { return d.Status(name) },
	})
}

// TakePrekeys gives a user what is needed to begin a session with an identity, with
// one-time keys that nobody else gets, if some wait and the user has not taken too
// many lately. The bytes of the bundle must not be changed. Refusals are a
// *prekey.Error.
func (b *Broker) TakePrekeys(ctx context.Context, user, name string) (prekey.Bundle, error) {
	var bundle prekey.Bundle // the sequencer's, until callPrekeys returns
	_, err := callPrekeys(ctx, b, prekeyCommand[struct{}]{
		need: toCommit,
		decide: func(m *prekey.Machine, now time.Time) (entries []prekey.Entry, err error) {
			bundle, entries, err = m.DecideTake(now, user, name)
			return entries, err
		},
		tell: func(*prekey.Durable) (struct{}, error) { return struct{}{}, nil },
	})
	if err != nil {
		return prekey.Bundle{}, err
	}
	b.prekeys.takes.Add(1)
	if bundle.OneTime.ID == 0 || bundle.LastResort {
		b.prekeys.takesWithout.Add(1)
	}
	return bundle, nil
}

// PrekeyStatus says what is there of an identity. Refusals are a *prekey.Error.
func (b *Broker) PrekeyStatus(ctx context.Context, name string) (prekey.Status, error) {
	return callPrekeys(ctx, b, prekeyCommand[prekey.Status]{
		need: toRead, decide: nothing,
		tell: func(d *prekey.Durable) (prekey.Status, error) { return d.Status(name) },
	})
}

// RaiseMarks lifts the marks of an identity's lanes, which never sink, and returns
// what the marks of these lanes are then. Refusals are a *prekey.Error.
func (b *Broker) RaiseMarks(ctx context.Context, name string, marks map[uint32]uint64) (then map[uint32]uint64, err error) {
	_, err = callPrekeys(ctx, b, prekeyCommand[struct{}]{
		need: toCommit,
		decide: func(m *prekey.Machine, _ time.Time) (entries []prekey.Entry, err error) {
			then, entries, err = m.DecideRaise(name, marks)
			return entries, err
		},
		tell: func(*prekey.Durable) (struct{}, error) { return struct{}{}, nil },
	})
	if err != nil {
		return nil, err
	}
	return then, nil
}

// Marks are all marks of an identity's lanes. Refusals are a *prekey.Error.
func (b *Broker) Marks(ctx context.Context, name string) (map[uint32]uint64, error) {
	return callPrekeys(ctx, b, prekeyCommand[map[uint32]uint64]{
		need: toRead, decide: nothing,
		tell: func(d *prekey.Durable) (map[uint32]uint64, error) { return d.Marks(name) },
	})
}

// DeletePrekeys deletes an identity, with its keys and marks. Refusals are a
// *prekey.Error.
func (b *Broker) DeletePrekeys(ctx context.Context, name string) error {
	_, err := callPrekeys(ctx, b, prekeyCommand[struct{}]{
		need:   toFree,
		decide: func(m *prekey.Machine, _ time.Time) ([]prekey.Entry, error) { return m.DecideDelete(name) },
		tell:   func(*prekey.Durable) (struct{}, error) { return struct{}{}, nil },
	})
	return err
}

// nothing is what a question decides.
func nothing(*prekey.Machine, time.Time) ([]prekey.Entry, error) { return nil, nil }
