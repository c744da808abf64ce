package queue

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/waxwing-mq/waxwing/internal/datafile"
	"github.com/waxwing-mq/waxwing/internal/enc"
)

// Snapshot appends the state; equal states give equal bytes (as drawn in
// fact.go):
//
//	u next queue · u next log · u queues · queues × queue, ascending by id
//	queue     u id · spec · u seq · u levels · levels × level · dedup
//	level     1 byte priority · u log · u next · u floor · u mark ·
//	          spans settled above the floor, ascending ·
//	          u count · count × apart, ascending · runs expiry · runs sizes ·
//	          runs transient · [runs younger, of the high level of a quorum
//	          queue]
//	apart     u offset · 1 byte state, plus 128 if it has a place · 1 byte
//	          reason · u count · u seq · s not before ms ·
//	          [place: u after · u turn]
//	runs      u count · count × (u distance from the end of the one before,
//	          the first from the floor · u offsets · s value)
//	dedup     u count · count × str id, the oldest first
//
// The level with the highest priority comes first. Version and checksum are
// the container's business.
func (d *Durable) Snapshot(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(d.nextID))
	dst = binary.AppendUvarint(dst, uint64(d.nextLog))
	dst = binary.AppendUvarint(dst, uint64(len(d.byID)))
	for _, id := range sortedKeys(d.byID) {
		dst = d.byID[id].snapshot(dst)
	}
	return dst
}

func (q *queue) snapshot(dst []byte) []byte {
	dst = appendSpec(binary.AppendUvarint(dst, uint64(q.id)), &q.spec)
	dst = binary.AppendUvarint(dst, q.seq)
	dst = binary.AppendUvarint(dst, uint64(len(q.levels)))
	for _, l := range q.levels {
		dst = l.snapshot(dst)
		if q.ranks(l) {
			dst = l.younger.snapshot(dst, l.floor)
		}
	}
	if q.dedup == nil {
		return append(dst, 0)
	}
	dst = binary.AppendUvarint(dst, uint64(len(q.dedup.ring)))
	q.dedup.each(func(id string) { dst = enc.String(dst, id) })
	return dst
}

func (l *level) snapshot(dst []byte) []byte {
	dst = binary.AppendUvarint(append(dst, l.priority), uint64(l.log))
	for _, v := range [...]int64{l.next, l.floor, l.mark} {
		dst = binary.AppendUvarint(dst, uint64(v))
	}
	dst = appendSpans(dst, slices.Concat(l.settled.chunks...))
	dst = binary.AppendUvarint(dst, uint64(len(l.apart)))
	for _, o := range sortedKeys(l.apart) {
		a := l.apart[o]
		dst = a.snapshot(binary.AppendUvarint(dst, uint64(o)))
	}
	dst = l.expiry.snapshot(dst, l.floor)
	dst = l.sizes.snapshot(dst, l.floor)
	return l.transient.snapshot(dst, l.floor)
}

// hasPlace is added to the state of a message that has a place.
const hasPlace = 1 << 7

func (a *apart) snapshot(dst []byte) []byte {
	state := byte(a.state)
	if a.place != (place{}) {
		state |= hasPlace
	}
	dst = append(dst, state, byte(a.reason))
	dst = binary.AppendUvarint(dst, uint64(a.count))
	dst = binary.AppendUvarint(dst, a.seq)
	dst = binary.AppendVarint(dst, a.notBefore)
	if state&hasPlace != 0 {
		dst = binary.AppendUvarint(dst, uint64(a.place.after))
		dst = binary.AppendUvarint(dst, a.place.turn)
	}
	return dst
}

func (r *runs) snapshot(dst []byte, floor int64) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(r.list)-r.dead))
	for _, v := range r.list[r.dead:] {
		from := max(v.from, floor)
		dst = binary.AppendUvarint(dst, uint64(from-floor))
		dst = binary.AppendUvarint(dst, uint64(v.to-from))
		dst = binary.AppendVarint(dst, v.value)
		floor = v.to
	}
	return dst
}

// Restore reads what Snapshot wrote. It fails with ErrMalformed, and is then in
// no defined state.
func (d *Durable) Restore(r *enc.Reader) error {
	*d = *NewDurable()
	nextID, nextLog := ID(r.Uvarint()), datafile.LogID(r.Uvarint())
	for n := r.Count(19); n > 0; n-- {
		if err := d.restoreQueue(r); err != nil {
			return err
		}
	}
	if r.Err() != nil || nextID < d.nextID || nextLog < d.nextLog {
		return fmt.Errorf("queue snapshot: %w", ErrMalformed)
	}
	d.nextID, d.nextLog = nextID, nextLog
	return nil
}

func (d *Durable) restoreQueue(r *enc.Reader) error {
	id := ID(r.Uvarint())
	spec, ok := readSpec(r)
	if !ok || !d.declare(id, spec) {
		return fmt.Errorf("queue snapshot: queue %d: %w", id, ErrMalformed)
	}
	q := d.byID[id]
	q.seq = r.Uvarint()
	for n := r.Count(10); n > 0 && ok; n-- {
		ok = d.restoreLevel(q, r)
	}
	for n := r.Count(1); n > 0 && ok; n-- {
		id := r.String()
		if ok = q.dedup != nil && len(q.dedup.ring) < q.dedup.size && !q.dedup.has(id); ok {
			q.dedup.add(id)
		}
	}
	if !ok || r.Err() != nil {
		return fmt.Errorf("queue snapshot: queue %d: %w", id, ErrMalformed)
	}
	return nil
}

func (d *Durable) restoreLevel(q *queue, r *enc.Reader) bool {
	b := r.Take(1)
	if r.Err() != nil {
		return false
	}
	l := &level{priority: b[0], log: datafile.LogID(r.Uvarint())}
	if n := len(q.levels); l.log+1 == 0 || n > 0 && q.levels[n-1].priority <= l.priority {
		return false
	}
	l.next, l.floor, l.mark = int64(r.Uvarint()), int64(r.Uvarint()), int64(r.Uvarint())
	if r.Err() != nil || l.next < 0 || l.next > offsetMax || l.floor < 0 || l.floor > l.next || l.mark < 0 {
		return false
	}
	d.nextLog = max(d.nextLog, l.log+1)
	q.levels = append(q.levels, l)
	ok := l.restoreSettled(r) && l.restoreApart(r, q.seq) &&
		l.expiry.restore(r, l.floor, l.next) && l.sizes.restore(r, l.floor, l.next) && l.transient.restore(r, l.floor, l.next)
	if ok && q.ranks(l) {
		ok = l.younger.restore(r, l.floor, l.next)
	}
	if !ok || !l.sizesFit(q.spec.Settings.MaxBytes >= 0) {
		return false
	}
	count := l.unsettled(l.floor, l.next)
	q.count += count
	q.bytes += l.size(l.floor, l.next)
	return q.count >= 0 && q.bytes >= 0
}

// offsetMax is beyond what a queue could ever hold, so that sums do not
// overflow.
const offsetMax = 1 << 60

// restoreSettled reads spans that ascend and do not touch.
func (l *level) restoreSettled(r *enc.Reader) bool {
	last := int64(0)
	for n := r.Count(2); n > 0; n-- {
		s, ok := readSpan(r, last)
		if !ok || s.from <= max(l.floor, last) || s.to > l.next {
			return false
		}
		l.settled.add(s.from, s.to)
		last = s.to
	}
	return r.Err() == nil
}

func (l *level) restoreApart(r *enc.Reader, seq uint64) bool {
	last := int64(-1)
	for n := r.Count(6); n > 0; n-- {
		o := int64(r.Uvarint())
		a, ok := readApart(r)
		if !ok || o <= last || !l.alive(o) || a.seq > seq || a.place.turn > a.seq || a.place.after >= l.next {
			return false
		}
		if a.place != (place{}) && a.place.after < o {
			return false
		}
		l.setApart(o, a)
		last = o
	}
	return r.Err() == nil
}

func readApart(r *enc.Reader) (a apart, ok bool) {
	b := r.Take(2)
	if r.Err() != nil {
		return a, false
	}
	a = apart{state: apartState(b[0] &^ hasPlace), reason: Reason(b[1]), count: uint32(r.Uvarint()), seq: r.Uvarint(), notBefore: r.Varint()}
	placed := b[0]&hasPlace != 0
	if placed {
		a.place = place{int64(r.Uvarint()), r.Uvarint()}
	}
	fits := a.state > 0 && a.state <= behind && a.reason <= DeliveryLimit && (a.state == doomed) == (a.reason != 0)
	if placed {
		fits = fits && a.place.turn > 0 && (a.state == returned || a.state >= due && a.notBefore == 0)
	}
	return a, fits && placed == (a.place.turn > 0) && (placed || a.state < due)
}

func (r *runs) restore(in *enc.Reader, floor, next int64) bool {
	for n := in.Count(3); n > 0; n-- {
		gap, length, value := in.Uvarint(), in.Uvarint(), in.Varint()
		left := uint64(next - floor)
		if in.Err() != nil || gap > left || length == 0 || length > left-gap {
			return false
		}
		from := floor + int64(gap)
		floor = from + int64(length)
		if k := len(r.list); k > 0 && r.list[k-1].to == from && r.list[k-1].value == value {
			return false // one run, written as two
		}
		r.list = append(r.list, valueRun{from, floor, value})
	}
	return in.Err() == nil
}

// sizesFit says whether there are sizes where they are wanted, and that they
// add up to a number.
func (l *level) sizesFit(wanted bool) bool {
	if !wanted {
		return len(l.sizes.list) == 0
	}
	sum := int64(0)
	for _, v := range l.sizes.list {
		if v.value < 0 || v.value > (math.MaxInt64-sum)/(v.to-v.from) {
			return false
		}
		sum += v.value * (v.to - v.from)
	}
	return true
}

// Equal says whether two states are the same.
func (d *Durable) Equal(o *Durable) bool { return slices.Equal(d.Snapshot(nil), o.Snapshot(nil)) }

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K {
	return slices.Sorted(maps.Keys(m))
}
