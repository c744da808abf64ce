package seal

import (
	"encoding/binary"

	"github.com/waxwing-mq/waxwing/seal/ratchet"
)

// ContentType is that of the bodies that Seal makes.
const ContentType = "application/vnd.waxwing.sealed"

// Kind is what an envelope is.
type Kind uint8

// The kinds.
const (
	KindHandshake Kind = 1 // a message that begins a session, until the peer has answered
	KindMessage   Kind = 2 // a message of a session
	KindGroup     Kind = 3 // a message under a group's sender key
)

func (k Kind) String() string {
	switch k {
	case KindHandshake:
		return "handshake"
	case KindMessage:
		return "message"
	case KindGroup:
		return "group"
	}
	return "unknown"
}

// An Envelope is the body of a sealed message, as everybody can read it.
//
//	3 "WXS" │ 1 version │ 1 profile │ 1 kind │ 16 tag │ of a handshake: sender, recipient, lane, certificate │ body
//
// The tag names the session, or the sender key, and is bound to who made it (sessionTag,
// groupTag). Names and the certificate are lengths (uvarint) and bytes, the lane is a
// uvarint. The body is what the ratchet made, and goes to the end. Everything before it is
// the associated data of ratchet.WaxwingHE.
type Envelope struct {
	Profile ratchet.Profile
	Kind    Kind
	Tag     [16]byte
	// Of a handshake:
	Sender, Recipient string
	Lane              int
	Certificate       []byte // the sender's

	Body []byte
	head []byte
}

const (
	envelopeMagic   = "WXS"
	envelopeVersion = 1
	envelopeMin     = 3 + 1 + 1 + 1 + 16
)

// header encodes all but the body.
func (e *Envelope) header() []byte {
	b := append([]byte(envelopeMagic), envelopeVersion, byte(e.Profile), byte(e.Kind))
	b = append(b, e.Tag[:]...)
	if e.Kind == KindHandshake {
		b = appendText(b, e.Sender)
		b = appendText(b, e.Recipient)
		b = binary.AppendUvarint(b, uint64(e.Lane))
		b = appendText(b, e.Certificate)
	}
	return b
}

// isEnvelope says whether a body is one.
func isEnvelope(b []byte) bool { return len(b) >= envelopeMin && string(b[:3]) == envelopeMagic }

// ParseEnvelope reads the public parts of a sealed message. Its slices are part of b.
// Nothing of it is to be believed: only Open knows.
func ParseEnvelope(b []byte) (*Envelope, error) {
	if !isEnvelope(b) {
		return nil, text(ErrNotSealed, "the body is no envelope")
	}
	if b[3] != envelopeVersion {
		return nil, text(ErrMismatch, "an envelope of a version that this release does not know")
	}
	r := &reader{b: b[4:]}
	e := &Envelope{Profile: ratchet.Profile(r.byte()), Kind: Kind(r.byte())}
	copy(e.Tag[:], r.take(16))
	switch e.Kind {
	case KindHandshake:
		e.Sender, e.Recipient = string(r.text(nameMax)), string(r.text(nameMax))
		lane := r.uvarint()
		e.Certificate = r.text(certificateMax)
		if lane >= MaxLanes || checkName(e.Sender) != nil || checkName(e.Recipient) != nil {
			r.failed = true
		}
		e.Lane = int(lane % MaxLanes)
	case KindMessage, KindGroup:
	default:
		return nil, text(ErrMismatch, "an envelope of a kind that this release does not know")
	}
	if r.failed {
		return nil, text(ErrMismatch, "an envelope is damaged")
	}
	e.Body, e.head = r.b, b[:len(b)-len(r.b)]
	return e, nil
}
