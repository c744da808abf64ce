package prekey

import (
	"bytes"
	"maps"
	"slices"
	"time"
)

// Machine decides on a Durable. Its Decide methods change nothing of it: they
// return the entries that would, in order, or an *Error. No entries and no error
// means that there is nothing to do. What it remembers itself, who has taken how
// much lately, is lost with the process. One goroutine owns it.
type Machine struct {
	Limits Limits
	d      *Durable
	takers map[taker]int64
	pruned int64 // ms; when takers was looked through last
}

// NewMachine decides on d, with DefaultLimits.
func NewMachine(d *Durable) *Machine {
	return &Machine{Limits: DefaultLimits, d: d, takers: map[taker]int64{}}
}

// DecideTake gives out a bundle of an identity to a user, with its next one-time
// keys. A user who has got too many lately gets one without them.
func (m *Machine) DecideTake(now time.Time, user, name string) (Bundle, []Entry, error) {
	i := m.d.identities[name]
	if i == nil {
		return Bundle{}, nil, noIdentity(name)
	}
	b := Bundle{
		RegistrationID: i.RegistrationID, Certificate: i.Certificate, Signed: i.Signed,
		KEM: i.LastResort, LastResort: i.LastResort.ID != 0,
	}
	if len(i.oneTime)+len(i.oneTimeKEM) == 0 || !m.mayTake(now.UnixMilli(), taker{user, name}) {
		return b, nil, nil
	}
	if len(i.oneTime) > 0 {
		b.OneTime = i.oneTime[0]
	}
	taken := &KeysTaken{Name: name, OneTime: b.OneTime.ID}
	if len(i.oneTimeKEM) > 0 {
		b.KEM, b.LastResort = i.oneTimeKEM[0], false
		taken.OneTimeKEM = b.KEM.ID
	}
	return b, []Entry{taken}, nil
}

// taker is who takes from whom.
type taker struct{ user, identity string }

// mayTake counts a take. For each taker it keeps the time (ms) up to which its
// takes are spread, one per TakeEvery; that may be so far ahead as TakeBurst of
// them reach. One that is not ahead is as one that never was.
func (m *Machine) mayTake(now int64, t taker) bool {
	every := m.Limits.TakeEvery.Milliseconds()
	until, known := m.takers[t]
	until = max(until, now) + every
	if until-now > every*int64(m.Limits.TakeBurst) {
		return false
	}
	if !known && len(m.takers) >= m.Limits.Takers {
		if m.pruneTakers(now); len(m.takers) >= m.Limits.Takers {
			return false // rather than forgetting who has taken much
		}
	}
	m.takers[t] = until
	return true
}

// pruneTakers forgets those that may take as much as new ones, now and then.
func (m *Machine) pruneTakers(now int64) {
	if now-m.pruned < m.Limits.TakeEvery.Milliseconds() {
		return
	}
	m.pruned = now
	maps.DeleteFunc(m.takers, func(_ taker, until int64) bool { return until <= now })
}

// DecideRaise lifts the marks of lanes, and returns what the marks of these lanes
// are then: what was given, or more, since marks never sink.
func (m *Machine) DecideRaise(name string, marks map[uint32]uint64) (map[uint32]uint64, []Entry, error) {
	i := m.d.identities[name]
	if i == nil {
		return nil, nil, noIdentity(name)
	}
	then := make(map[uint32]uint64, min(len(marks), int(m.Limits.Lanes)))
	raised, more := &MarksRaised{Name: name}, 0
	for _, lane := range slices.Sorted(maps.Keys(marks)) {
		if lane >= m.Limits.Lanes {
			return nil, nil, refuse(Invalid, "lane %d: they are numbered from 0 to %d", lane, m.Limits.Lanes-1)
		}
		if then[lane] = max(marks[lane], i.marks[lane]); then[lane] == i.marks[lane] {
			continue
		}
		if i.marks[lane] == 0 {
			more += markSize
		}
		raised.Marks = append(raised.Marks, Mark{lane, marks[lane]})
	}
	if len(raised.Marks) == 0 {
		return then, nil, nil
	}
	if err := m.fits(more); err != nil {
		return nil, nil, err
	}
	return then, []Entry{raised}, nil
}

// DecideDelete deletes an identity with its keys and marks.
func (m *Machine) DecideDelete(name string) ([]Entry, error) {
	if m.d.identities[name] == nil {
		return nil, noIdentity(name)
	}
	return []Entry{&IdentityDeleted{name}}, nil
}

// DecidePublish stores what an identity publishes. The entries keep p's slices.
func (m *Machine) DecidePublish(name string, p *Publication) ([]Entry, error) {
	if err := m.checkPublication(name, p); err != nil {
		return nil, err
	}
	old := m.d.identities[name]
	if old == nil {
		switch {
		case p.RegistrationID == 0 || len(p.Certificate) == 0 || p.Signed.ID == 0:
			return nil, refuse(Invalid, "identity '%s' is new: what it publishes first has a registration id, a certificate and a signed prekey", name)
		case len(m.d.identities) >= m.Limits.Identities:
			return nil, refuse(QuotaReached, "cannot make identity '%s': there are %d already", name, m.Limits.Identities)
		}
		old = &identity{}
	}
	if err := conflicts(old, p); err != nil {
		return nil, err
	}
	return m.publish(name, old, p)
}

// publish says what changes, if that fits.
func (m *Machine) publish(name string, old *identity, p *Publication) (entries []Entry, err error) {
	stored, more := merged(name, old, p), 0
	if old.Name == "" || !stored.equal(&old.IdentityStored) {
		entries = append(entries, stored)
		more = stored.size() - old.size()
	}
	if old.Name == "" {
		more += identityOverhead
	}
	dropped := m.dropped(name, old, p)
	n, k := old.below(dropped)
	if n+k > 0 {
		entries = append(entries, dropped)
		more -= keysSize(old.oneTime[:n]) + signedKeysSize(old.oneTimeKEM[:k])
	}
	added := newKeys(name, old, p)
	if err := m.checkWaiting(name, len(old.oneTime)-n+len(added.OneTime), len(old.oneTimeKEM)-k+len(added.OneTimeKEM)); err != nil {
		return nil, err
	}
	if len(added.OneTime)+len(added.OneTimeKEM) > 0 {
		entries = append(entries, added)
		more += keysSize(added.OneTime) + signedKeysSize(added.OneTimeKEM)
	}
	if err := m.fits(more); err != nil {
		return nil, err
	}
	if err := m.fitsAccount(name, old.Name == "", more, p.Account); err != nil {
		return nil, err
	}
	return entries, nil
}

func (m *Machine) checkWaiting(name string, oneTime, kem int) error {
	if most := max(oneTime, kem); most > m.Limits.OneTime {
		return refuse(QuotaReached, "identity '%s' would have %d one-time keys of a kind that wait, %d are allowed", name, most, m.Limits.OneTime)
	}
	return nil
}

// fits says whether so many bytes more may be stored.
func (m *Machine) fits(more int) error {
	if have := m.d.totals.Bytes; more > 0 && more > m.Limits.Bytes-have {
		return refuse(QuotaReached, "all identities together take %d bytes, and may take %d", have, m.Limits.Bytes)
	}
	return nil
}

// fitsAccount says whether an account may have one identity more, or so many bytes
// more. It looks at all names, but only for what makes the account larger.
func (m *Machine) fitsAccount(name string, isNew bool, more int, mine func(identity string) bool) error {
	if mine == nil || more <= 0 {
		return nil
	}
	count, bytes := 0, 0
	for name, i := range m.d.identities {
		if mine(name) {
			count++
			bytes += i.bytes
		}
	}
	switch {
	case isNew && count >= m.Limits.UserIdentities:
		return refuse(QuotaReached, "cannot make identity '%s': its user has %d already, %d are allowed", name, count, m.Limits.UserIdentities)
	case more > m.Limits.UserBytes-bytes:
		return refuse(QuotaReached, "cannot store that for '%s': the identities of its user take %d bytes, and may take %d", name, bytes, m.Limits.UserBytes)
	}
	return nil
}

// merged is what an identity is with what p says.
func merged(name string, old *identity, p *Publication) *IdentityStored {
	s := old.IdentityStored
	s.Name = name
	if p.RegistrationID != 0 {
		s.RegistrationID = p.RegistrationID
	}
	if len(p.Certificate) > 0 {
		s.Certificate = p.Certificate
	}
	if p.Signed.ID != 0 {
		s.Signed = p.Signed
	}
	if p.LastResort.ID != 0 {
		s.LastResort = p.LastResort
	}
	return &s
}

func (e *IdentityStored) equal(o *IdentityStored) bool {
	return e.RegistrationID == o.RegistrationID && bytes.Equal(e.Certificate, o.Certificate) &&
		e.Signed.equal(&o.Signed) && e.LastResort.equal(&o.LastResort)
}

func (k *SignedKey) equal(o *SignedKey) bool {
	return k.ID == o.ID && bytes.Equal(k.Key, o.Key) && bytes.Equal(k.Signature, o.Signature)
}

// dropped is from which ids on one-time keys stay.
func (m *Machine) dropped(name string, old *identity, p *Publication) *KeysDropped {
	e := &KeysDropped{Name: name}
	if !p.Replace {
		return e
	}
	e.OneTimeFrom, e.OneTimeKEMFrom = after(old.oneTimeMax), after(old.oneTimeKEMMax)
	if len(p.OneTime) > 0 {
		e.OneTimeFrom = p.OneTime[0].ID
	}
	if len(p.OneTimeKEM) > 0 {
		e.OneTimeKEMFrom = p.OneTimeKEM[0].ID
	}
	return e
}

// newKeys are those of p that were not published before.
func newKeys(name string, old *identity, p *Publication) *KeysAdded {
	e := &KeysAdded{Name: name, OneTimeMax: old.oneTimeMax, OneTimeKEMMax: old.oneTimeKEMMax}
	n, _ := findKey(p.OneTime, after(old.oneTimeMax))
	k, _ := findSigned(p.OneTimeKEM, after(old.oneTimeKEMMax))
	if e.OneTime = p.OneTime[n:]; len(e.OneTime) > 0 {
		e.OneTimeMax = e.OneTime[len(e.OneTime)-1].ID
	}
	if e.OneTimeKEM = p.OneTimeKEM[k:]; len(e.OneTimeKEM) > 0 {
		e.OneTimeKEMMax = e.OneTimeKEM[len(e.OneTimeKEM)-1].ID
	}
	return e
}
