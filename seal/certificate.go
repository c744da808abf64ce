package seal

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/waxwing-mq/waxwing/seal/ratchet"
)

// MaxLanes is how many lanes an identity can have.
const MaxLanes = 256

// nameMax is how long the name of an identity or a group may be.
const nameMax = 100

// checkName says whether an identity, or a group, can have a name: 1 to 100 letters,
// digits and any of ".-_/" (ASCII).
func checkName(name string) error {
	if name == "" || len(name) > nameMax {
		return fmt.Errorf("seal: a name has 1 to %d characters: %.120q", nameMax, name)
	}
	for _, c := range []byte(name) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '.', c == '-', c == '_', c == '/':
		default:
			return fmt.Errorf("seal: a name has letters, digits and .-_/ only: %q", name)
		}
	}
	return nil
}

// A Certificate says whose an identity key is, by the organisation's root, or by
// itself (SelfSigned).
type Certificate struct {
	Name      string            // of the service
	Key       ratchet.PublicKey // its identity key
	Lanes     int               // in how many lanes it seals, 1 to MaxLanes
	NotBefore time.Time         // whole seconds
	NotAfter  time.Time
	RootID    [8]byte // which root signed it (RootID); zero: the identity key itself

	raw []byte
}

// Bytes is the certificate as it travels. It must not be changed.
func (c *Certificate) Bytes() []byte { return c.raw }

const certificateLabel = "WAXWING-SEAL-CERTIFICATE-1"

// Encode is the certificate as a line of a file. It is no secret.
func (c *Certificate) Encode() []byte { return armor(certificateLabel, c.raw) }

// DecodeCertificate reads what Encode wrote, as ParseCertificate does.
func DecodeCertificate(line []byte) (*Certificate, error) {
	b, err := unarmor(certificateLabel, line)
	if err != nil {
		return nil, err
	}
	return ParseCertificate(b)
}

// The certificate:
//
//	3 "WXC" │ 1 version │ 8 id of the root │ name │ 32 X25519 key │ 2 lanes │ 8 not before │ 8 not after │ 64 signature
//
// The name is a length (uvarint) and bytes, numbers are big-endian, times seconds since
// 1970. The signature is Ed25519 by the root, or XEdDSA by the identity key where the
// root's id is zero, over certificateContext and all before it.
const (
	certificateMagic   = "WXC"
	certificateVersion = 1
	certificateMax     = 3 + 1 + 8 + 1 + nameMax + 32 + 2 + 8 + 8 + 64
	certificateContext = "waxwing seal certificate 1\x00"
)

// unsigned is what the signature is about, without the context.
func (c *Certificate) unsigned() []byte {
	b := append([]byte(certificateMagic), certificateVersion)
	b = append(b, c.RootID[:]...)
	b = appendText(b, c.Name)
	b = append(b, c.Key[:]...)
	b = binary.BigEndian.AppendUint16(b, uint16(c.Lanes))
	b = binary.BigEndian.AppendUint64(b, uint64(c.NotBefore.Unix()))
	return binary.BigEndian.AppendUint64(b, uint64(c.NotAfter.Unix()))
}

func signedText(unsigned []byte) []byte { return append([]byte(certificateContext), unsigned...) }

// ParseCertificate reads a certificate. It verifies the signature of one that is
// self-signed, no other: a Root's key verifies (RootKey.Verify), and an Endpoint does.
func ParseCertificate(b []byte) (*Certificate, error) {
	if len(b) > certificateMax {
		return nil, text(ErrMismatch, "a certificate is too long")
	}
	r := &reader{b: b}
	if magic, version := r.take(3), r.byte(); string(magic) != certificateMagic || version != certificateVersion {
		return nil, text(ErrMismatch, "no certificate of version 1")
	}
	c := &Certificate{raw: append([]byte(nil), b...)}
	copy(c.RootID[:], r.take(8))
	c.Name = string(r.text(nameMax))
	key := r.take(32)
	lanes := r.take(2)
	from, until := r.int64(), r.int64()
	signature := r.take(ed25519.SignatureSize)
	if r.failed || len(r.b) > 0 || checkName(c.Name) != nil {
		return nil, text(ErrMismatch, "a certificate is damaged")
	}
	var err error
	if c.Key, err = ratchet.ParsePublicKey(append([]byte{5}, key...)); err != nil {
		return nil, because(ErrMismatch, err)
	}
	c.Lanes, c.NotBefore, c.NotAfter = int(binary.BigEndian.Uint16(lanes)), time.Unix(from, 0).UTC(), time.Unix(until, 0).UTC()
	if c.Lanes < 1 || c.Lanes > MaxLanes {
		return nil, text(ErrMismatch, "a certificate's lanes are out of range")
	}
	if c.RootID == ([8]byte{}) && !ratchet.Verify(c.Key, signedText(b[:len(b)-len(signature)]), signature) {
		return nil, text(ErrUntrusted, "a certificate's own signature is not its key's")
	}
	return c, nil
}

// valid says whether a certificate can be used at a time.
func (c *Certificate) valid(now time.Time) error {
	switch {
	case now.Before(c.NotBefore.Add(-clockSkew)):
		return because(ErrUntrusted, fmt.Errorf("the certificate of %s is not valid before %v", c.Name, c.NotBefore))
	case now.After(c.NotAfter):
		return because(ErrUntrusted, text(ErrExpired, fmt.Sprintf("the certificate of %s, on %v", c.Name, c.NotAfter)))
	}
	return nil
}

// clockSkew is how far clocks may be apart.
const clockSkew = 5 * time.Minute

// A Root is an organisation's private key, which signs certificates. It belongs on a
// machine that runs nothing else.
type Root struct{ key ed25519.PrivateKey }

// NewRoot makes a root at random.
func NewRoot() (*Root, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	return &Root{key}, err
}

const rootLabel = "WAXWING-SEAL-ROOT-1"

// Encode is the root as a line of a file: a secret.
func (r *Root) Encode() []byte { return armor(rootLabel, r.key.Seed()) }

// DecodeRoot reads what Root.Encode wrote.
func DecodeRoot(line []byte) (*Root, error) {
	seed, err := unarmor(rootLabel, line)
	if err != nil {
		return nil, err
	}
	if len(seed) != ed25519.SeedSize {
		return nil, errors.New("seal: this is no root")
	}
	return &Root{ed25519.NewKeyFromSeed(seed)}, nil
}

// Public is the key that services pin.
func (r *Root) Public() RootKey { return RootKey(r.key.Public().(ed25519.PublicKey)) }

// Issue signs a certificate for the owner of an identity key. Who asks for it must have
// been checked by other means: the signature is all that others go by.
func (r *Root) Issue(c Certificate) (*Certificate, error) {
	c.RootID = r.Public().ID()
	return c.signed(func(msg []byte) ([]byte, error) { return ed25519.Sign(r.key, msg), nil })
}

// signed checks a certificate's fields and signs it.
func (c Certificate) signed(sign func(msg []byte) ([]byte, error)) (*Certificate, error) {
	if err := checkName(c.Name); err != nil {
		return nil, err
	}
	if c.Lanes < 1 || c.Lanes > MaxLanes {
		return nil, fmt.Errorf("seal: a certificate has 1 to %d lanes", MaxLanes)
	}
	if !c.NotBefore.Before(c.NotAfter) {
		return nil, errors.New("seal: a certificate is valid for no time")
	}
	b := c.unsigned()
	signature, err := sign(signedText(b))
	if err != nil {
		return nil, err
	}
	return ParseCertificate(append(b, signature...))
}

// String tells the public key only.
func (r *Root) String() string { return "root " + r.Public().String() }

// GoString tells the public key only.
func (r *Root) GoString() string { return r.String() }

// LogValue tells the public key only.
func (r *Root) LogValue() slog.Value { return slog.StringValue(r.String()) }

// A RootKey verifies the certificates that a Root has issued.
type RootKey [32]byte

const rootKeyLabel = "WAXWING-SEAL-ROOT-KEY-1"

// Encode is the key as a line of a file, for ParseRootKey.
func (k RootKey) Encode() []byte { return armor(rootKeyLabel, k[:]) }

// ParseRootKey reads what RootKey.Encode wrote.
func ParseRootKey(line []byte) (RootKey, error) {
	b, err := unarmor(rootKeyLabel, line)
	if err != nil {
		return RootKey{}, err
	}
	if len(b) != 32 {
		return RootKey{}, errors.New("seal: this is no root's key")
	}
	return RootKey(b), nil
}

// ID is how certificates name the root: the start of its key's SHA-256.
func (k RootKey) ID() [8]byte {
	sum := sha256.Sum256(k[:])
	return [8]byte(sum[:8])
}

func (k RootKey) String() string { return fmt.Sprintf("%x", k[:]) }

// Verify reads a certificate and verifies that the root has issued it, and that it is
// valid at a time.
func (k RootKey) Verify(b []byte, now time.Time) (*Certificate, error) {
	c, err := ParseCertificate(b)
	if err != nil {
		return nil, err
	}
	if err := c.signedBy(k); err != nil {
		return nil, err
	}
	return c, c.valid(now)
}

// signedBy verifies a signature.
func (c *Certificate) signedBy(k RootKey) error {
	at := len(c.raw) - ed25519.SignatureSize
	if c.RootID != k.ID() || !ed25519.Verify(k[:], signedText(c.raw[:at]), c.raw[at:]) {
		return text(ErrUntrusted, "the certificate of "+c.Name+" is not by this root")
	}
	return nil
}
