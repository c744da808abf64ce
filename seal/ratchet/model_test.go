package ratchet

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	stdhkdf "crypto/hkdf"
	"crypto/hmac"
	"crypto/mlkem"
	"crypto/sha256"
	"crypto/sha3"
	"encoding/binary"
	"errors"
	"io"
)

// This is the protocol once more, slow and straightforward, on the standard
// library alone, to compare Session with: the names are those of the Double
// Ratchet specification. It keeps skipped keys itself and never deletes chains
// but for the limit.

var (
	errModelDuplicate = errors.New("duplicate")
	errModelMAC       = errors.New("mac")
)

type model struct {
	profile    Profile
	initiator  bool
	rand       io.Reader
	ikSelf     []byte // 0x05 in front
	ikPeer     []byte
	DHs        *ecdh.PrivateKey
	RK         []byte
	CKs        []byte
	Ns, PN     uint32
	chains     []*modelChain // the newest first
	MKSKIPPED  map[string][]byte
	HKs, NHKs  []byte
	NHKr       []byte
	pqS, pqR   []byte
	pqNs, pqNr uint32
	pqSkipped  map[uint32][]byte
	usedKeys   map[string]bool // of both sides
}

type modelChain struct {
	id, CK []byte // id: DHr, or HKr
	N      uint32
	closed bool
}

// modelSecrets are the results of a handshake, which the model computes with
// everybody's private keys.
func modelSecrets(p Profile, ika, ikb PrivateKey, base PrivateKey, keys Prekeys, h *Handshake) (out []byte) {
	dh := func(k, p PrivateKey) []byte { return must(stdKey(k).ECDH(stdKey(p).PublicKey())) }
	ikm := bytes.Repeat([]byte{0xff}, 32)
	ikm = append(ikm, dh(ika, keys.Signed)...)
	ikm = append(ikm, dh(base, ikb)...)
	ikm = append(ikm, dh(base, keys.Signed)...)
	if keys.OneTime != nil {
		ikm = append(ikm, dh(base, *keys.OneTime)...)
	}
	info, size := "WhisperText", 64
	if keys.KEM != nil {
		dk := must(mlkem.NewDecapsulationKey1024(keys.KEM.Bytes()[1:]))
		ct := h.KEMCiphertext[1:]
		ss := must(dk.Decapsulate(ct))
		info, size = "WhisperText_X25519_SHA-256_CRYSTALS-KYBER-1024", 96
		if p == WaxwingHE {
			ek := dk.EncapsulationKey().Bytes()
			all := slicesOf(std(ika), std(ikb), std(base), std(keys.Signed), append([]byte{0x0a}, ek...), h.KEMCiphertext)
			if keys.OneTime != nil {
				all = append(all, std(*keys.OneTime)...)
			}
			sum := sha256.Sum256(all)
			info = "WaxwingHE_X25519_SHA-256_ML-KEM-1024" + string(sum[:])
		} else {
			cth := sha3.Sum256(ct)
			ss = sha3.SumSHAKE256(append(ss, cth[:]...), 32)
		}
		ikm = append(ikm, ss...)
	}
	return must(stdhkdf.Key(sha256.New, ikm, nil, info, size))
}

// newModel is RatchetInitAlice and RatchetInitBob, with header encryption or
// without.
func newModel(p Profile, initiator bool, rand io.Reader, self, peer, spk PrivateKey, secrets []byte, used map[string]bool) *model {
	m := &model{
		profile: p, initiator: initiator, rand: rand, ikSelf: append([]byte{5}, std(self)...), ikPeer: append([]byte{5}, std(peer)...),
		RK: secrets[:32], MKSKIPPED: map[string][]byte{}, pqSkipped: map[uint32][]byte{}, usedKeys: used,
	}
	if p == SignalV4 {
		b := must(stdhkdf.Key(sha256.New, secrets[64:], make([]byte, 32), "Signal PQ Ratchet V1 Chain  Start", 96))
		m.pqS, m.pqR = b[32:64], b[64:]
		if !initiator {
			m.pqS, m.pqR = m.pqR, m.pqS
		}
	}
	if p == WaxwingHE {
		m.NHKs, m.NHKr = secrets[32:64], secrets[64:]
		if !initiator {
			m.NHKs, m.NHKr = m.NHKr, m.NHKs
		}
	}
	m.DHs = stdKey(spk)
	if initiator {
		m.DHs = nil
		m.turn(stdKey(spk).PublicKey())
	}
	return m
}

// kdfRK is KDF_RK or KDF_RK_HE.
func (m *model) kdfRK(secret []byte) (ck, nhk []byte) {
	label, size := "WhisperRatchet", 64
	if m.profile == WaxwingHE {
		label, size = "WaxwingHE Root", 96
	}
	b := must(stdhkdf.Key(sha256.New, secret, m.RK, label, size))
	m.RK = b[:32]
	return b[32:64], b[64:]
}

func (m *model) turn(peer *ecdh.PublicKey) {
	b := make([]byte, 32)
	must(io.ReadFull(m.rand, b))
	m.DHs = must(ecdh.X25519().NewPrivateKey(b))
	m.PN, m.Ns = m.Ns, 0
	if m.profile == WaxwingHE {
		m.HKs = m.NHKs
	}
	m.CKs, m.NHKs = m.kdfRK(must(m.DHs.ECDH(peer)))
}

// kdfCK is KDF_CK.
func kdfCK(ck []byte) (next, mk []byte) { return stdMAC(ck, []byte{2}), stdMAC(ck, []byte{1}) }

// nextPQ moves a post-quantum chain on.
func nextPQ(ck []byte, n *uint32) (next, key []byte) {
	*n++
	b := must(stdhkdf.Key(sha256.New, ck, make([]byte, 32), string(binary.BigEndian.AppendUint32(nil, *n))+"Signal PQ Ratchet V1 Chain Next", 64))
	return b[:32], b[32:]
}

// seal is RatchetEncrypt.
func (m *model) seal(ad, plaintext []byte) []byte {
	var mk []byte
	m.CKs, mk = kdfCK(m.CKs)
	n := m.Ns
	m.Ns++
	if m.profile == WaxwingHE {
		m.once(mk)
		return m.sealHE(mk, n, ad, plaintext)
	}
	var pqKey []byte
	b := []byte{map[Profile]byte{X3DH: 0x33, PQXDH: 0x44, SignalV4: 0x44}[m.profile]}
	b = append(append(b, 1<<3|2, 33, 5), m.DHs.PublicKey().Bytes()...)
	b = binary.AppendUvarint(append(b, 2<<3), uint64(n))
	b = binary.AppendUvarint(append(b, 3<<3), uint64(m.PN))
	if m.profile == SignalV4 {
		m.pqS, pqKey = nextPQ(m.pqS, &m.pqNs)
	}
	k := must(stdhkdf.Key(sha256.New, mk, pqKey, "WhisperMessageKeys", 80))
	m.once(k)
	pad := 16 - len(plaintext)%16
	text := append(bytes.Clone(plaintext), bytes.Repeat([]byte{byte(pad)}, pad)...)
	cipher.NewCBCEncrypter(must(aes.NewCipher(k[:32])), k[64:]).CryptBlocks(text, text)
	b = append(binary.AppendUvarint(append(b, 4<<3|2), uint64(len(text))), text...)
	if m.profile == SignalV4 {
		field := binary.AppendUvarint([]byte{1, 1}, uint64(m.pqNs))
		field = append(field, 0)
		b = append(append(b, 5<<3|2, byte(len(field))), field...)
	}
	return append(b, stdMAC(k[32:64], slicesOf(m.ikSelf, m.ikPeer, b))[:8]...)
}

// once fails the test if a message key was used before.
func (m *model) once(key []byte) {
	if m.usedKeys[string(key)] {
		panic("a message key was used twice")
	}
	m.usedKeys[string(key)] = true
}

func (m *model) sealHE(mk []byte, n uint32, ad, plaintext []byte) []byte {
	salt := make([]byte, 32)
	must(io.ReadFull(m.rand, salt))
	header := slicesOf(m.DHs.PublicKey().Bytes(), binary.BigEndian.AppendUint32(nil, m.PN), binary.BigEndian.AppendUint32(nil, n))
	b := append([]byte{0x66}, salt...)
	aead, nonce := stdGCM(m.HKs, salt, "WaxwingHE Header")
	b = append(b, aead.Seal(nil, nonce, header, b)...)
	aead, nonce = stdGCM(mk, salt, "WaxwingHE Message")
	return append(b, aead.Seal(nil, nonce, plaintext, slicesOf(m.ikSelf[1:], m.ikPeer[1:], b, ad))...)
}

// open is RatchetDecrypt. It is called with messages of the peer's only, whole
// or with a broken last byte.
func (m *model) open(ad, message []byte) ([]byte, error) {
	saved := m.clone()
	text, err := m.decrypt(ad, message)
	if err != nil {
		*m = saved
	}
	return text, err
}

func (m *model) clone() model {
	c := *m
	c.chains = nil
	for _, x := range m.chains {
		y := *x
		c.chains = append(c.chains, &y)
	}
	c.MKSKIPPED, c.pqSkipped = map[string][]byte{}, map[uint32][]byte{}
	for k, v := range m.MKSKIPPED {
		c.MKSKIPPED[k] = v
	}
	for k, v := range m.pqSkipped {
		c.pqSkipped[k] = v
	}
	return c
}

func (m *model) decrypt(ad, message []byte) ([]byte, error) {
	if m.profile == WaxwingHE {
		return m.decryptHE(ad, message)
	}
	f := modelFields(message[1 : len(message)-8])
	n := binary.BigEndian.Uint32(f[2])
	dhr := f[1][1:]
	c := m.chain(dhr)
	fresh := c == nil
	if fresh {
		ck, _ := m.kdfRK(must(m.DHs.ECDH(must(ecdh.X25519().NewPublicKey(dhr)))))
		c = &modelChain{id: dhr, CK: ck}
		m.add(c)
	}
	mk := m.key(c, n)
	var pqKey []byte
	if m.profile == SignalV4 {
		index, _ := binary.Uvarint(f[5][2:])
		pqKey = m.keyPQ(uint32(index))
		if pqKey == nil {
			return nil, errModelDuplicate
		}
	}
	if mk == nil {
		return nil, errModelDuplicate
	}
	k := must(stdhkdf.Key(sha256.New, mk, pqKey, "WhisperMessageKeys", 80))
	signed, mac := message[:len(message)-8], message[len(message)-8:]
	if !bytes.Equal(stdMAC(k[32:64], slicesOf(m.ikPeer, m.ikSelf, signed))[:8], mac) {
		return nil, errModelMAC
	}
	text := bytes.Clone(f[4])
	cipher.NewCBCDecrypter(must(aes.NewCipher(k[:32])), k[64:]).CryptBlocks(text, text)
	if fresh {
		m.turn(must(ecdh.X25519().NewPublicKey(dhr)))
	}
	return text[:len(text)-int(text[len(text)-1])], nil
}

func (m *model) decryptHE(ad, message []byte) ([]byte, error) {
	c, header := (*modelChain)(nil), []byte(nil)
	for _, x := range m.chains {
		if header = modelHeader(x.id, message); header != nil {
			c = x
			break
		}
	}
	fresh := c == nil
	if fresh {
		if header = modelHeader(m.NHKr, message); header == nil {
			return nil, errModelMAC
		}
	}
	dhr := must(ecdh.X25519().NewPublicKey(header[:32]))
	pn, n := binary.BigEndian.Uint32(header[32:]), binary.BigEndian.Uint32(header[36:])
	if fresh {
		if len(m.chains) > 0 {
			m.skip(m.chains[0], pn)
			m.chains[0].closed = true
		}
		c = &modelChain{id: m.NHKr}
		c.CK, m.NHKr = m.kdfRK(must(m.DHs.ECDH(dhr)))
		m.add(c)
	}
	mk := m.key(c, n)
	if mk == nil {
		return nil, errModelDuplicate
	}
	aead, nonce := stdGCM(mk, message[1:33], "WaxwingHE Message")
	text, err := aead.Open(nil, nonce, message[89:], slicesOf(m.ikPeer[1:], m.ikSelf[1:], message[:89], ad))
	if err != nil {
		return nil, errModelMAC
	}
	if fresh {
		m.turn(dhr)
	}
	return text, nil
}

func modelHeader(hk, message []byte) []byte {
	aead, nonce := stdGCM(hk, message[1:33], "WaxwingHE Header")
	header, err := aead.Open(nil, nonce, message[33:89], message[:33])
	if err != nil {
		return nil
	}
	return header
}

func (m *model) chain(id []byte) *modelChain {
	for _, c := range m.chains {
		if bytes.Equal(c.id, id) {
			return c
		}
	}
	return nil
}

// add puts a chain in front. Of those beyond the fifth, the skipped keys go as
// well.
func (m *model) add(c *modelChain) {
	m.chains = append([]*modelChain{c}, m.chains...)
	if len(m.chains) > 5 {
		m.chains = m.chains[:5]
	}
}

// skip is SkipMessageKeys.
func (m *model) skip(c *modelChain, until uint32) {
	for c.N < until {
		var mk []byte
		c.CK, mk = kdfCK(c.CK)
		m.MKSKIPPED[string(binary.BigEndian.AppendUint32(bytes.Clone(c.id), c.N))] = mk
		c.N++
	}
}

// key returns the key of a number of a chain and forgets it; nil if it is gone.
func (m *model) key(c *modelChain, n uint32) []byte {
	id := string(binary.BigEndian.AppendUint32(bytes.Clone(c.id), n))
	if !c.closed {
		m.skip(c, n+1)
	}
	defer delete(m.MKSKIPPED, id)
	return m.MKSKIPPED[id]
}

func (m *model) keyPQ(n uint32) []byte {
	for m.pqNr < n {
		var k []byte
		m.pqR, k = nextPQ(m.pqR, &m.pqNr)
		m.pqSkipped[m.pqNr] = k
	}
	defer delete(m.pqSkipped, n)
	return m.pqSkipped[n]
}

// modelFields splits a protobuf message; numbers become four bytes.
func modelFields(b []byte) map[int][]byte {
	out := map[int][]byte{}
	for len(b) > 0 {
		tag, n := binary.Uvarint(b)
		v, k := binary.Uvarint(b[n:])
		b = b[n+k:]
		if tag&7 == 0 {
			out[int(tag>>3)] = binary.BigEndian.AppendUint32(nil, uint32(v))
			continue
		}
		out[int(tag>>3)] = b[:v]
		b = b[v:]
	}
	return out
}

func stdKey(k PrivateKey) *ecdh.PrivateKey { return must(ecdh.X25519().NewPrivateKey(k[:])) }
func std(k PrivateKey) []byte              { return stdKey(k).PublicKey().Bytes() }
func slicesOf(parts ...[]byte) []byte      { return bytes.Join(parts, nil) }

func stdMAC(key, message []byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write(message)
	return h.Sum(nil)
}

func stdGCM(key, salt []byte, label string) (cipher.AEAD, []byte) {
	b := must(stdhkdf.Key(sha256.New, key, salt, label, 44))
	return must(cipher.NewGCM(must(aes.NewCipher(b[:32])))), b[32:]
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
