package seal

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/waxwing-mq/waxwing/seal/ratchet"
)

// An Identity is who a service is to others: a name, a private key and, once it has
// one, a certificate. All processes of a service have the same.
type Identity struct {
	name         string
	key          ratchet.PrivateKey
	registration uint32
	certificate  *Certificate
}

// NewIdentity makes an identity at random, without a certificate.
func NewIdentity(name string) (*Identity, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	key, err := ratchet.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	var b [4]byte
	rand.Read(b[:]) // never fails
	return &Identity{name: name, key: key, registration: 1 + binary.BigEndian.Uint32(b[:])%registrationMax}, nil
}

// registrationMax is the highest registration id: libsignal's have 14 bits.
const registrationMax = 16380

// Name is the service's name.
func (id *Identity) Name() string { return id.name }

// Key is the public identity key, for a certificate.
func (id *Identity) Key() ratchet.PublicKey { return id.key.Public() }

// Certificate is the certificate that it has, nil if none.
func (id *Identity) Certificate() *Certificate { return id.certificate }

// WithCertificate is the identity with a certificate, which must be for its name and
// key. Who it is signed by matters to others.
func (id *Identity) WithCertificate(c *Certificate) (*Identity, error) {
	if c == nil || c.Name != id.name || c.Key != id.Key() {
		return nil, fmt.Errorf("seal: the certificate is not for %s and its key", id.name)
	}
	out := *id
	out.certificate = c
	return &out, nil
}

// SelfSigned is the identity with a certificate by itself, for peers who trust on first
// use (TOFU).
func (id *Identity) SelfSigned(lanes int, until time.Time) (*Identity, error) {
	c := Certificate{Name: id.name, Key: id.Key(), Lanes: lanes, NotBefore: time.Unix(0, 0), NotAfter: until}
	signed, err := c.signed(func(msg []byte) ([]byte, error) { return ratchet.Sign(rand.Reader, id.key, msg) })
	if err != nil {
		return nil, err
	}
	return id.WithCertificate(signed)
}

// String tells the name only.
func (id *Identity) String() string { return "identity " + id.name }

// GoString tells the name only.
func (id *Identity) GoString() string { return id.String() }

// LogValue tells the name only.
func (id *Identity) LogValue() slog.Value { return slog.StringValue(id.String()) }

const identityLabel = "WAXWING-SEAL-IDENTITY-1"

// Encode is the identity as a line of a file: a secret.
func (id *Identity) Encode() []byte { return armor(identityLabel, id.bytes()) }

// DecodeIdentity reads what Encode wrote.
func DecodeIdentity(line []byte) (*Identity, error) {
	b, err := unarmor(identityLabel, line)
	if err != nil {
		return nil, err
	}
	return identityOf(b)
}

// bytes is an identity:
//
//	1 version │ name │ 32 private key │ 4 registration id │ certificate, empty if none
func (id *Identity) bytes() []byte {
	b := appendText([]byte{1}, id.name)
	b = append(b, id.key[:]...)
	b = binary.BigEndian.AppendUint32(b, id.registration)
	var c []byte
	if id.certificate != nil {
		c = id.certificate.Bytes()
	}
	return appendText(b, c)
}

func identityOf(b []byte) (*Identity, error) {
	r := &reader{b: b}
	version, name, key, registration := r.byte(), r.text(nameMax), r.take(32), r.uint32()
	certificate := r.text(certificateMax)
	if r.failed || len(r.b) > 0 || version != 1 || checkName(string(name)) != nil || registration == 0 {
		return nil, errors.New("seal: this is no identity")
	}
	id := &Identity{name: string(name), key: ratchet.PrivateKey(key), registration: registration}
	if len(certificate) == 0 {
		return id, nil
	}
	c, err := ParseCertificate(certificate)
	if err != nil {
		return nil, err
	}
	return id.WithCertificate(c)
}
