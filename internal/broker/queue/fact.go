package queue

import (
	"encoding/binary"
	"fmt"
	"math"
	"time"

	"github.com/waxwing-mq/waxwing/internal/datafile"
	"github.com/waxwing-mq/waxwing/internal/enc"
)

// An entry holds all facts that one call brought about, so that they survive
// together or not at all:
//
//	1 byte version · facts
//
// Each fact begins with a byte that says what it is, and draws the rest above
// its encoder (u: unsigned varint, s: signed varint, str: length and bytes).
// What a released (version, fact) means never changes.
const entryVersion = 1

const (
	factDeclared byte = iota + 1
	factDeleted
	factOpened
	factAppended
	factSettled
	factMarked
	factReturned
	factDoomed
	factRipened
	factRequeued
)

// fact is one thing that has happened.
type fact interface{ encode(dst []byte) []byte }

// at names a level of a queue.
//
//	u queue · 1 byte priority
type at struct {
	queue    ID
	priority uint8
}

func (a at) encode(dst []byte, kind byte) []byte {
	return append(binary.AppendUvarint(append(dst, kind), uint64(a.queue)), a.priority)
}

// span is a run of offsets, to not included.
type span struct{ from, to int64 }

// appendSpans writes spans in their order, each by its distance from the end
// of the one before:
//
//	u count · count × (s distance · u offsets)
func appendSpans(dst []byte, spans []span) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(spans)))
	last := int64(0)
	for _, s := range spans {
		dst = binary.AppendVarint(dst, s.from-last)
		dst = binary.AppendUvarint(dst, uint64(s.to-s.from))
		last = s.to
	}
	return dst
}

// readSpan reads the span that follows one that ended at last.
func readSpan(r *enc.Reader, last int64) (span, bool) {
	d, n := r.Varint(), r.Uvarint()
	from := last + d
	if r.Err() != nil || n == 0 || n > math.MaxInt64 || from < 0 || from > math.MaxInt64-int64(n) {
		return span{}, false
	}
	return span{from, from + int64(n)}, true
}

// declared says that there is a new queue.
//
//	u queue · spec
type declared struct {
	id   ID
	spec *Spec
}

func (f *declared) encode(dst []byte) []byte {
	return appendSpec(binary.AppendUvarint(append(dst, factDeclared), uint64(f.id)), f.spec)
}

// deleted says that a queue is gone, with its messages.
//
//	u queue
type deleted struct{ id ID }

func (f *deleted) encode(dst []byte) []byte {
	return binary.AppendUvarint(append(dst, factDeleted), uint64(f.id))
}

// opened says that a queue has a log for messages of a priority.
//
//	at · u log
type opened struct {
	at
	log datafile.LogID
}

func (f *opened) encode(dst []byte) []byte {
	return binary.AppendUvarint(f.at.encode(dst, factOpened), uint64(f.log))
}

// appended says that a message was added to a queue.
//
//	at · u offset · 1 byte flags (1 expires, 2 has a size, 4 is for later,
//	8 transient, 16 has a dedup id) · [s expiry ms] · [u size] ·
//	[s not before ms] · [str dedup id]
type appended struct {
	at
	offset    int64
	expiry    int64 // ms; 0: never
	size      int64 // with Settings.MaxBytes only
	notBefore int64 // ms; 0: ready at once
	transient bool
	dedupID   string
}

const (
	flagExpiry byte = 1 << iota
	flagSize
	flagNotBefore
	flagTransient
	flagDedup
	flagsKnown = flagDedup<<1 - 1
)

func (f *appended) flags() (b byte) {
	for _, x := range [...]struct {
		is   bool
		flag byte
	}{
		{f.expiry != 0, flagExpiry}, {f.size != 0, flagSize}, {f.notBefore != 0, flagNotBefore},
		{f.transient, flagTransient}, {f.dedupID != "", flagDedup},
	} {
		if x.is {
			b |= x.flag
		}
	}
	return b
}

func (f *appended) encode(dst []byte) []byte {
	flags := f.flags()
	dst = append(binary.AppendUvarint(f.at.encode(dst, factAppended), uint64(f.offset)), flags)
	if flags&flagExpiry != 0 {
		dst = binary.AppendVarint(dst, f.expiry)
	}
	if flags&flagSize != 0 {
		dst = binary.AppendUvarint(dst, uint64(f.size))
	}
	if flags&flagNotBefore != 0 {
		dst = binary.AppendVarint(dst, f.notBefore)
	}
	if flags&flagDedup != 0 {
		dst = enc.String(dst, f.dedupID)
	}
	return dst
}

func (f *appended) decode(r *enc.Reader) bool {
	f.offset = int64(r.Uvarint())
	b := r.Take(1)
	if r.Err() != nil || b[0] > flagsKnown {
		return false
	}
	f.transient = b[0]&flagTransient != 0
	if b[0]&flagExpiry != 0 {
		f.expiry = r.Varint()
	}
	if b[0]&flagSize != 0 {
		f.size = int64(r.Uvarint())
	}
	if b[0]&flagNotBefore != 0 {
		f.notBefore = r.Varint()
	}
	if b[0]&flagDedup != 0 {
		f.dedupID = r.String()
	}
	return r.Err() == nil
}

// settled says that messages are done with.
//
//	at · spans
type settled struct {
	at
	spans []span
}

func (f *settled) encode(dst []byte) []byte {
	return appendSpans(f.at.encode(dst, factSettled), f.spans)
}

// marked says that no message of a level from mark on was delivered yet.
//
//	at · u mark
type marked struct {
	at
	mark int64
}

func (f *marked) encode(dst []byte) []byte {
	return binary.AppendUvarint(f.at.encode(dst, factMarked), uint64(f.mark))
}

// cameBack says that messages came back, in this order, each for the count-th
// time.
//
//	at · u count · s not before ms (0: ready at once) · spans
type cameBack struct {
	at
	count     uint32
	notBefore int64
	spans     []span
}

func (f *cameBack) encode(dst []byte) []byte {
	dst = binary.AppendUvarint(f.at.encode(dst, factReturned), uint64(f.count))
	return appendSpans(binary.AppendVarint(dst, f.notBefore), f.spans)
}

// condemned says that messages are to be dead-lettered and nothing else.
//
//	at · 1 byte reason · spans
type condemned struct {
	at
	reason Reason
	spans  []span
}

func (f *condemned) encode(dst []byte) []byte {
	return appendSpans(append(f.at.encode(dst, factDoomed), byte(f.reason)), f.spans)
}

// ripened says that messages that were published for later became due, in this
// order.
//
//	at · spans
type ripened struct {
	at
	spans []span
}

func (f *ripened) encode(dst []byte) []byte {
	return appendSpans(f.at.encode(dst, factRipened), f.spans)
}

// requeued says that messages came back, in this order, each for the count-th
// time, and stand behind all that are there.
//
//	at · u count · spans
type requeued struct {
	at
	count uint32
	spans []span
}

func (f *requeued) encode(dst []byte) []byte {
	return appendSpans(binary.AppendUvarint(f.at.encode(dst, factRequeued), uint64(f.count)), f.spans)
}

// applyFact reads one fact and takes it in.
func (d *Durable) applyFact(r *enc.Reader) error {
	b := r.Take(1)
	if r.Err() != nil {
		return fmt.Errorf("queue entry: %w", ErrMalformed)
	}
	kind, fits := b[0], false
	switch {
	case kind == 0:
	case kind > factRequeued:
		return fmt.Errorf("queue fact of type %d: %w", kind, ErrNewer)
	case kind <= factDeleted:
		fits = d.applyToQueue(kind, ID(r.Uvarint()), r)
	default:
		fits = d.applyToLevel(kind, r)
	}
	if r.Err() != nil {
		return fmt.Errorf("queue fact of type %d: %w", kind, ErrMalformed)
	}
	if !fits {
		return fmt.Errorf("queue fact of type %d does not fit the state: %w", kind, ErrMalformed)
	}
	return nil
}

func (d *Durable) applyToQueue(kind byte, id ID, r *enc.Reader) bool {
	if kind == factDeclared {
		spec, ok := readSpec(r)
		return ok && d.declare(id, spec)
	}
	q := d.byID[id]
	if q != nil && r.Err() == nil {
		d.delete(q)
	}
	return q != nil
}

func (d *Durable) applyToLevel(kind byte, r *enc.Reader) bool {
	q := d.byID[ID(r.Uvarint())]
	b := r.Take(1)
	if q == nil || r.Err() != nil {
		return false
	}
	if kind == factOpened {
		log := datafile.LogID(r.Uvarint())
		return r.Err() == nil && d.open(q, b[0], log)
	}
	l, _ := q.level(b[0])
	if l == nil {
		return false
	}
	switch kind {
	case factAppended:
		var f appended
		return f.decode(r) && q.append(l, &f)
	case factMarked:
		m := int64(r.Uvarint())
		fits := r.Err() == nil && m >= l.mark
		if fits {
			l.mark = m
		}
		return fits
	case factSettled:
		return applySpans(r, func(s span) bool {
			q.settle(l, s.from, s.to)
			return true
		}, l.next)
	case factReturned:
		a := apart{state: returned, count: uint32(r.Uvarint()), notBefore: r.Varint()}
		return applySpans(r, func(s span) bool { return q.putApart(l, s.from, s.to, a) }, l.next)
	case factRequeued:
		count := uint32(r.Uvarint())
		return applySpans(r, func(s span) bool { return q.requeue(l, s.from, s.to, count) }, l.next)
	case factRipened:
		return applySpans(r, func(s span) bool { return q.ripen(l, s.from, s.to) }, l.next)
	default:
		reason := r.Take(1)
		if r.Err() != nil || reason[0] == 0 || Reason(reason[0]) > DeliveryLimit {
			return false
		}
		a := apart{state: doomed, reason: Reason(reason[0])}
		return applySpans(r, func(s span) bool { return q.putApart(l, s.from, s.to, a) }, l.next)
	}
}

// applySpans reads spans, none of which may go beyond next.
func applySpans(r *enc.Reader, apply func(span) bool, next int64) bool {
	last := int64(0)
	for n := r.Count(2); n > 0; n-- {
		s, ok := readSpan(r, last)
		if !ok || s.to > next || !apply(s) {
			return false
		}
		last = s.to
	}
	return r.Err() == nil
}

// appendSpec writes what a queue is:
//
//	str vhost · str name · 1 byte kind · 1 byte flags (1 durable,
//	2 auto-delete, 4 dead letters, 8 single active) · u exclusive connection ·
//	1 byte max priority · 1 byte overflow · s ttl ms · s expires ms ·
//	s max length · s max bytes · s delivery limit · s dedup window ·
//	u count · count × (str name · str value) · str arguments
func appendSpec(dst []byte, s *Spec) []byte {
	dst = enc.String(enc.String(dst, s.VHost), s.Name)
	flags := bit(s.Durable) | bit(s.AutoDelete)<<1 | bit(s.Settings.HasDeadLetter)<<2 | bit(s.Settings.SingleActive)<<3
	dst = append(dst, byte(s.Kind), flags)
	dst = binary.AppendUvarint(dst, uint64(s.Exclusive))
	dst = append(dst, s.Settings.MaxPriority, byte(s.Settings.Overflow))
	for _, v := range [...]int64{
		millis(s.Settings.TTL), millis(s.Settings.Expires), s.Settings.MaxLength, s.Settings.MaxBytes,
		int64(s.Settings.DeliveryLimit), int64(s.Settings.DedupWindow),
	} {
		dst = binary.AppendVarint(dst, v)
	}
	dst = binary.AppendUvarint(dst, uint64(len(s.Compared)))
	for _, a := range s.Compared {
		dst = enc.String(enc.String(dst, a.Name), a.Value)
	}
	return enc.Bytes(dst, s.Arguments)
}

func readSpec(r *enc.Reader) (s Spec, ok bool) {
	s.VHost, s.Name = r.String(), r.String()
	b := r.Take(2)
	if r.Err() != nil || b[0] > byte(Quorum) || b[1] > 15 {
		return s, false
	}
	s.Kind = Kind(b[0])
	s.Durable, s.AutoDelete = b[1]&1 != 0, b[1]&2 != 0
	s.Settings.HasDeadLetter, s.Settings.SingleActive = b[1]&4 != 0, b[1]&8 != 0
	s.Exclusive = ConnectionID(r.Uvarint())
	if b = r.Take(2); r.Err() != nil || b[1] > byte(RejectPublishDeadLetter) {
		return s, false
	}
	s.Settings.MaxPriority, s.Settings.Overflow = b[0], Overflow(b[1])
	s.Settings.TTL, s.Settings.Expires = fromMillis(r.Varint()), fromMillis(r.Varint())
	s.Settings.MaxLength, s.Settings.MaxBytes = r.Varint(), r.Varint()
	limit, window := r.Varint(), r.Varint()
	s.Settings.DeliveryLimit, s.Settings.DedupWindow = int32(limit), int32(window)
	if n := r.Count(2); n > 0 {
		s.Compared = make([]Argument, n)
	}
	for i := range s.Compared {
		s.Compared[i] = Argument{r.String(), r.String()}
	}
	if b = r.Bytes(); len(b) > 0 {
		s.Arguments = append([]byte(nil), b...)
	}
	return s, r.Err() == nil && window >= 0 && window <= dedupWindowMax && limit == int64(int32(limit))
}

func bit(b bool) byte {
	if b {
		return 1
	}
	return 0
}

// millis rounds a duration up to milliseconds; None stays None.
func millis(d time.Duration) int64 {
	if d < 0 {
		return None
	}
	ms := d.Milliseconds()
	if time.Duration(ms)*time.Millisecond < d {
		ms++
	}
	return ms
}

// fromMillis is the reverse of millis.
func fromMillis(ms int64) time.Duration {
	if ms < 0 {
		return None
	}
	return time.Duration(min(ms, math.MaxInt64/int64(time.Millisecond))) * time.Millisecond
}
