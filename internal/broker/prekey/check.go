package prekey

import "bytes"

// checkPublication says whether p can be published by anybody.
func (m *Machine) checkPublication(name string, p *Publication) error {
	switch {
	case name == "":
		return refuse(Invalid, "the name of the identity is empty")
	case len(name) > m.Limits.NameBytes:
		return refuse(LimitReached, "the name of the identity has %d bytes, %d are allowed", len(name), m.Limits.NameBytes)
	case len(p.Certificate) > m.Limits.CertificateBytes:
		return refuse(LimitReached, "the certificate has %d bytes, %d are allowed", len(p.Certificate), m.Limits.CertificateBytes)
	case len(p.OneTime) > m.Limits.OneTime || len(p.OneTimeKEM) > m.Limits.OneTime:
		return refuse(LimitReached, "more than %d one-time keys of a kind", m.Limits.OneTime)
	}
	for _, k := range []struct {
		what string
		key  *SignedKey
	}{{"signed prekey", &p.Signed}, {"last-resort key", &p.LastResort}} {
		if none := k.key.ID == 0 && len(k.key.Key) == 0 && len(k.key.Signature) == 0; none {
			continue
		}
		if err := m.checkKey(k.what, k.key.ID, k.key.Key, k.key.Signature); err != nil {
			return err
		}
	}
	return m.checkOneTime(p)
}

func (m *Machine) checkOneTime(p *Publication) error {
	for n, k := range p.OneTime {
		if err := m.checkKey("one-time key", k.ID, k.Key, nil); err != nil {
			return err
		}
		if n > 0 && k.ID <= p.OneTime[n-1].ID {
			return notAscending(k.ID, p.OneTime[n-1].ID)
		}
	}
	for n, k := range p.OneTimeKEM {
		if err := m.checkKey("one-time KEM key", k.ID, k.Key, k.Signature); err != nil {
			return err
		}
		if n > 0 && k.ID <= p.OneTimeKEM[n-1].ID {
			return notAscending(k.ID, p.OneTimeKEM[n-1].ID)
		}
	}
	return nil
}

func notAscending(id, before uint32) error {
	return refuse(Invalid, "one-time keys ascend by id: %d comes after %d", id, before)
}

func (m *Machine) checkKey(what string, id uint32, key, signature []byte) error {
	switch {
	case id == 0:
		return refuse(Invalid, "a %s with the id 0", what)
	case id == idMax:
		return refuse(Invalid, "a %s with the id %d, which is too high", what, id)
	case len(key) == 0:
		return refuse(Invalid, "the %s %d is empty", what, id)
	case len(key) > m.Limits.KeyBytes || len(signature) > m.Limits.KeyBytes:
		return refuse(LimitReached, "the %s %d or its signature has more than %d bytes", what, id, m.Limits.KeyBytes)
	}
	return nil
}

// idMax is above all ids, so that one can say "all below".
const idMax = 1<<32 - 1

func after(id uint32) uint32 { return id + 1 }

// conflicts says whether p has another key under an id that is there.
func conflicts(old *identity, p *Publication) error {
	for _, k := range p.OneTime {
		if n, there := findKey(old.oneTime, k.ID); there && !bytes.Equal(old.oneTime[n].Key, k.Key) {
			return refuse(Conflict, "another one-time key has the id %d", k.ID)
		}
	}
	for _, k := range p.OneTimeKEM {
		if n, there := findSigned(old.oneTimeKEM, k.ID); there && !old.oneTimeKEM[n].equal(&k) {
			return refuse(Conflict, "another one-time KEM key has the id %d", k.ID)
		}
	}
	lastResort := old.LastResort.ID
	if p.LastResort.ID != 0 {
		lastResort = p.LastResort.ID
	}
	_, waits := findSigned(old.oneTimeKEM, lastResort)
	if _, comes := findSigned(p.OneTimeKEM, lastResort); lastResort != 0 && (waits || comes) {
		return refuse(Conflict, "the last-resort key and a one-time KEM key have the same id %d", lastResort)
	}
	return nil
}
