package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
)

// A StorageKey wraps secrets before they go into the database. It belongs outside of
// it: into a file, an environment variable, a key management service. Who has the
// database and not this key learns nothing.
type StorageKey struct {
	id  uint32
	key [32]byte
}

// NewStorageKey makes a key at random; ids are above 0, and each names one key for
// ever.
func NewStorageKey(id uint32) (StorageKey, error) {
	k := StorageKey{id: id}
	if id == 0 {
		return k, errors.New("seal: a storage key's id is above 0")
	}
	_, err := rand.Read(k.key[:])
	return k, err
}

const storageKeyLabel = "WAXWING-SEAL-STORAGE-KEY-1"

// Encode is the key as a line of a file: a secret.
func (k StorageKey) Encode() []byte {
	return armor(storageKeyLabel, append(binary.BigEndian.AppendUint32(nil, k.id), k.key[:]...))
}

// DecodeStorageKey reads what Encode wrote.
func DecodeStorageKey(line []byte) (StorageKey, error) {
	b, err := unarmor(storageKeyLabel, line)
	if err != nil {
		return StorageKey{}, err
	}
	if len(b) != 36 || binary.BigEndian.Uint32(b) == 0 {
		return StorageKey{}, errors.New("seal: this is no storage key")
	}
	return StorageKey{binary.BigEndian.Uint32(b), [32]byte(b[4:])}, nil
}

// ID is the key's id.
func (k StorageKey) ID() uint32 { return k.id }

// String tells the id only.
func (k StorageKey) String() string { return fmt.Sprintf("storage key %d", k.id) }

// GoString tells the id only.
func (k StorageKey) GoString() string { return k.String() }

// LogValue tells the id only.
func (k StorageKey) LogValue() slog.Value { return slog.StringValue(k.String()) }

// A KeyRing is the storage keys of a process. It does not change.
type KeyRing struct {
	active uint32
	keys   map[uint32]*wrapper
}

// NewKeyRing is a ring whose active key wraps, and which unwraps by any of its keys.
// After a new key has become the active one everywhere, Rotate rewraps what is there,
// and the old one can go. It returns an error if two keys have the same id.
func NewKeyRing(active StorageKey, old ...StorageKey) (*KeyRing, error) {
	r := &KeyRing{active: active.id, keys: map[uint32]*wrapper{}}
	for _, k := range append([]StorageKey{active}, old...) {
		if k.id == 0 || r.keys[k.id] != nil {
			return nil, fmt.Errorf("seal: two storage keys with the id %d, or none", k.id)
		}
		r.keys[k.id] = newWrapper(k.key)
	}
	return r, nil
}

// String tells ids only.
func (r *KeyRing) String() string {
	return fmt.Sprintf("%d storage keys, of which %d is active", len(r.keys), r.active)
}

// GoString tells ids only.
func (r *KeyRing) GoString() string { return r.String() }

// LogValue tells ids only.
func (r *KeyRing) LogValue() slog.Value { return slog.StringValue(r.String()) }

// wrapVersion is the first byte of what wrap returns:
//
//	1 version │ 4 id of the storage key │ 24 nonce │ ciphertext │ 16 tag
//
// The associated data is the row's identity (rowID).
const wrapVersion = 1

const wrapHead = 1 + 4 + nonceSize

// rowID is the identity of a row: the table and its key, each with its length.
func rowID(table string, key ...string) []byte {
	b := appendText(nil, table)
	for _, k := range key {
		b = appendText(b, k)
	}
	return b
}

// wrap encrypts a secret for a row.
func (r *KeyRing) wrap(row, secret []byte) []byte {
	b := make([]byte, wrapHead, wrapHead+len(secret)+16)
	b[0] = wrapVersion
	binary.BigEndian.PutUint32(b[1:], r.active)
	rand.Read(b[5:wrapHead]) // never fails
	return r.keys[r.active].seal(b, [nonceSize]byte(b[5:wrapHead]), secret, row)
}

// unwrap decrypts the secret of a row.
func (r *KeyRing) unwrap(row, wrapped []byte) ([]byte, error) {
	if len(wrapped) < wrapHead || wrapped[0] != wrapVersion {
		return nil, errors.New("seal: a row is not wrapped as this release knows it")
	}
	id := binary.BigEndian.Uint32(wrapped[1:])
	k := r.keys[id]
	if k == nil {
		return nil, fmt.Errorf("seal: a row is wrapped by storage key %d, which is not in the ring", id)
	}
	out, err := k.open([nonceSize]byte(wrapped[5:wrapHead]), wrapped[wrapHead:], row)
	if err != nil {
		return nil, fmt.Errorf("seal: storage key %d does not open a row: another key of that id, or the row is damaged or of another place", id)
	}
	return out, nil
}

// A wrapper is XAES-256-GCM (C2SP): AES-256-GCM under a key that is derived from the
// first half of a nonce of 24 random bytes, so that a row may be rewritten for every
// message without nonces ever meeting.
type wrapper struct {
	block cipher.Block
	k1    [aes.BlockSize]byte
}

const nonceSize = 24

func newWrapper(key [32]byte) *wrapper {
	block, err := aes.NewCipher(key[:])
	if err != nil {
		panic(err) // 32 bytes are always a key
	}
	w := &wrapper{block: block}
	block.Encrypt(w.k1[:], w.k1[:])
	var msb byte
	for i := len(w.k1) - 1; i >= 0; i-- {
		msb, w.k1[i] = w.k1[i]>>7, w.k1[i]<<1|msb
	}
	w.k1[len(w.k1)-1] ^= msb * 0b10000111
	return w
}

// derived is the cipher for a nonce's first half.
func (w *wrapper) derived(nonce [nonceSize]byte) cipher.AEAD {
	var key [32]byte
	for i := range 2 {
		m := key[16*i : 16*i+16]
		copy(m, []byte{0, byte(i + 1), 'X', 0})
		copy(m[4:], nonce[:12])
		for j := range m {
			m[j] ^= w.k1[j]
		}
		w.block.Encrypt(m, m)
	}
	block, err := aes.NewCipher(key[:])
	if err != nil {
		panic(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		panic(err)
	}
	return aead
}

func (w *wrapper) seal(dst []byte, nonce [nonceSize]byte, plaintext, ad []byte) []byte {
	return w.derived(nonce).Seal(dst, nonce[12:], plaintext, ad)
}

func (w *wrapper) open(nonce [nonceSize]byte, ciphertext, ad []byte) ([]byte, error) {
	return w.derived(nonce).Open(nil, nonce[12:], ciphertext, ad)
}
