package main

import (
	"encoding/hex"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/waxwing-mq/waxwing/seal"
	"github.com/waxwing-mq/waxwing/seal/ratchet"
	"github.com/waxwing-mq/waxwing/seal/senderkey"
)

// certificateJSON is a certificate, as it says itself.
type certificateJSON struct {
	Name       string    `json:"name"`
	Key        string    `json:"key"`
	Lanes      int       `json:"lanes"`
	NotBefore  time.Time `json:"notBefore"`
	NotAfter   time.Time `json:"notAfter"`
	Root       string    `json:"root,omitempty"`
	SelfSigned bool      `json:"selfSigned,omitempty"`
}

func newCertificateJSON(c *seal.Certificate) certificateJSON {
	j := certificateJSON{Name: c.Name, Key: hex.EncodeToString(c.Key[:]), Lanes: c.Lanes, NotBefore: c.NotBefore, NotAfter: c.NotAfter, SelfSigned: isSelfSigned(c)}
	if !j.SelfSigned {
		j.Root = hex.EncodeToString(c.RootID[:])
	}
	return j
}

// print writes a line per field.
func (c *certificateJSON) print(w io.Writer) {
	writeField(w, "identity", c.Name)
	writeField(w, "key", c.Key)
	writeField(w, "lanes", fmt.Sprint(c.Lanes))
	writeField(w, "valid", c.NotBefore.Format(time.RFC3339)+" to "+c.NotAfter.Format(time.RFC3339))
	signer := "root " + c.Root
	if c.SelfSigned {
		signer = "itself"
	}
	writeField(w, "signed by", signer)
}

// keyJSON is the public part of a key's file.
type keyJSON struct {
	Kind        string           `json:"kind"`
	Secret      bool             `json:"secret"` // the file has a private key
	ID          string           `json:"id,omitempty"`
	RootKey     string           `json:"rootKey,omitempty"` // the line to pin
	Name        string           `json:"name,omitempty"`
	Key         string           `json:"key,omitempty"`
	Certificate *certificateJSON `json:"certificate,omitempty"`
}

func newKeyJSON(k aKey) *keyJSON {
	certificate := func(c *seal.Certificate) *certificateJSON {
		if c == nil {
			return nil
		}
		j := newCertificateJSON(c)
		return &j
	}
	switch {
	case k.root != nil:
		return &keyJSON{Kind: "root", Secret: true, ID: rootID(k.root.Public()), RootKey: rootLine(k.root.Public())}
	case k.rootKey != nil:
		return &keyJSON{Kind: "root-key", ID: rootID(*k.rootKey), RootKey: rootLine(*k.rootKey)}
	case k.identity != nil:
		key := k.identity.Key()
		return &keyJSON{Kind: "identity", Secret: true, Name: k.identity.Name(), Key: hex.EncodeToString(key[:]), Certificate: certificate(k.identity.Certificate())}
	case k.storage != nil:
		return &keyJSON{Kind: "storage-key", Secret: true, ID: fmt.Sprint(k.storage.ID())}
	}
	kind := "certificate"
	if isSelfSigned(k.certificate) {
		kind = "request"
	}
	return &keyJSON{Kind: kind, Certificate: certificate(k.certificate)}
}

func rootID(k seal.RootKey) string {
	id := k.ID()
	return hex.EncodeToString(id[:])
}

func rootLine(k seal.RootKey) string { return strings.TrimSpace(string(k.Encode())) }

func (k *keyJSON) print(w io.Writer) {
	kind := map[string]string{"root": "a root's private key", "root-key": "a root's public key", "identity": "an identity, with its private key",
		"storage-key": "a storage key", "certificate": "a certificate", "request": "a request for a certificate, or one by the identity itself"}[k.Kind]
	writeField(w, "file", kind)
	for _, f := range []struct{ name, value string }{{"id", k.ID}, {"public key", k.RootKey}} {
		if f.value != "" {
			writeField(w, f.name, f.value)
		}
	}
	if k.Certificate != nil {
		k.Certificate.print(w)
	} else if k.Name != "" {
		writeField(w, "identity", k.Name)
		writeField(w, "key", k.Key)
		writeField(w, "signed by", "nobody")
	}
}

// envelopeJSON is what everybody can read in a sealed message.
type envelopeJSON struct {
	Kind        string           `json:"kind"`
	Profile     string           `json:"profile"`
	Tag         string           `json:"tag"`
	Sender      string           `json:"sender,omitempty"`
	Recipient   string           `json:"recipient,omitempty"`
	Lane        *int             `json:"lane,omitempty"`
	Certificate *certificateJSON `json:"certificate,omitempty"`
	Handshake   *handshakeJSON   `json:"handshake,omitempty"`
	Ratchet     *ratchetJSON     `json:"ratchet,omitempty"`
	Group       *groupJSON       `json:"group,omitempty"`
	Bytes       int              `json:"bytes"`
	BodyBytes   int              `json:"bodyBytes"`
	Problems    []string         `json:"problems,omitempty"`
}

// handshakeJSON is what begins a session.
type handshakeJSON struct {
	RegistrationID uint32 `json:"registrationId"`
	SignedID       uint32 `json:"signedId"`
	OneTimeID      uint32 `json:"oneTimeId"` // 0: none
	KEMID          uint32 `json:"kemId"`
	Identity       string `json:"identity"`
	Base           string `json:"base"`
	KEMBytes       int    `json:"kemCiphertextBytes"`
}

// ratchetJSON is the header of a message. With header encryption all but version and
// size are hidden.
type ratchetJSON struct {
	Version  int     `json:"version"`
	Key      *string `json:"key,omitempty"`
	Counter  *uint32 `json:"counter,omitempty"`
	Previous *uint32 `json:"previousCounter,omitempty"`
	PQIndex  *uint32 `json:"pqIndex,omitempty"`
	Bytes    int     `json:"ciphertextBytes"`
}

// groupJSON is the header of a message under a sender key.
type groupJSON struct {
	ID        string `json:"id"`
	ChainID   uint32 `json:"chainId"`
	Iteration uint32 `json:"iteration"`
}

func newEnvelopeJSON(env *seal.Envelope, size int) *envelopeJSON {
	e := &envelopeJSON{Kind: env.Kind.String(), Profile: env.Profile.String(), Tag: hex.EncodeToString(env.Tag[:]), Bytes: size, BodyBytes: len(env.Body)}
	switch env.Kind {
	case seal.KindHandshake:
		e.handshake(env)
	case seal.KindGroup:
		e.group(env.Body)
	default:
		e.message(env.Body, env.Profile)
	}
	return e
}

func (e *envelopeJSON) problem(format string, args ...any) {
	e.Problems = append(e.Problems, fmt.Sprintf(format, args...))
}

// handshake reads what only a message has that begins a session.
func (e *envelopeJSON) handshake(env *seal.Envelope) {
	e.Sender, e.Recipient, e.Lane = env.Sender, env.Recipient, &env.Lane
	cert, err := seal.ParseCertificate(env.Certificate)
	if err != nil {
		e.problem("the certificate: %v", sealError(err))
	} else {
		j := newCertificateJSON(cert)
		e.Certificate = &j
		if cert.Name != env.Sender {
			e.problem("the certificate is not of the sender")
		}
	}
	h, message, err := ratchet.ParsePreKeyMessage(env.Body)
	if err != nil {
		e.problem("the handshake: %v", sealError(err))
		return
	}
	e.Handshake = &handshakeJSON{h.RegistrationID, h.SignedID, h.OneTimeID, h.KEMID, hex.EncodeToString(h.Identity[:]), hex.EncodeToString(h.Base[:]), len(h.KEMCiphertext)}
	if h.Profile != env.Profile {
		e.problem("the handshake is of profile %s", h.Profile.String())
	}
	if cert != nil && h.Identity != cert.Key {
		e.problem("the handshake's identity key is not the certificate's")
	}
	e.message(message, h.Profile)
}

// message reads the ratchet's header.
func (e *envelopeJSON) message(b []byte, profile ratchet.Profile) {
	p, err := ratchet.Inspect(b)
	if err != nil {
		e.problem("the ratchet's message: %v", sealError(err))
		return
	}
	e.Ratchet = &ratchetJSON{Version: int(p.Version), Bytes: p.Size}
	if profile == ratchet.WaxwingHE {
		return
	}
	key := hex.EncodeToString(p.Ratchet[:])
	e.Ratchet.Key, e.Ratchet.Counter, e.Ratchet.Previous = &key, &p.Counter, &p.Previous
	if profile == ratchet.SignalV4 {
		e.Ratchet.PQIndex = &p.PQIndex
	}
}

// group reads the header under a sender key.
func (e *envelopeJSON) group(b []byte) {
	h, err := senderkey.Inspect(b)
	if err != nil {
		e.problem("the sender key's message: %v", sealError(err))
		return
	}
	e.Group = &groupJSON{hex.EncodeToString(h.Group[:]), h.ChainID, h.Iteration}
}

// print writes a line per field.
func (e *envelopeJSON) print(w io.Writer) {
	writeField(w, "kind", e.Kind)
	writeField(w, "profile", e.Profile)
	writeField(w, "tag", e.Tag)
	if e.Lane != nil {
		writeField(w, "from", e.Sender)
		writeField(w, "to", e.Recipient)
		writeField(w, "lane", fmt.Sprint(*e.Lane))
	}
	if c := e.Certificate; c != nil {
		c.print(w)
	}
	if h := e.Handshake; h != nil {
		writeField(w, "begun with", fmt.Sprintf("signed prekey %s, one-time key %s, KEM key %s", keyID(h.SignedID), keyID(h.OneTimeID), keyID(h.KEMID)))
		writeField(w, "base key", h.Base)
	}
	if r := e.Ratchet; r != nil {
		r.print(w)
	}
	if g := e.Group; g != nil {
		writeField(w, "sender key", fmt.Sprintf("%s, chain %d, message %d", g.ID, g.ChainID, g.Iteration))
	}
	writeField(w, "size", fmt.Sprintf("%s, of which body %s", count(e.Bytes, "byte"), count(e.BodyBytes, "byte")))
	for _, p := range e.Problems {
		writeField(w, "problem", oneLine(p))
	}
}

func (r *ratchetJSON) print(w io.Writer) {
	if r.Key == nil {
		writeField(w, "ratchet", "encrypted header")
		return
	}
	writeField(w, "ratchet key", *r.Key)
	line := fmt.Sprintf("%d, of the chain before %d", *r.Counter, *r.Previous)
	if r.PQIndex != nil {
		line += fmt.Sprintf(", of the post-quantum chain %d", *r.PQIndex)
	}
	writeField(w, "counter", line)
}

// profiles are those that a service can have, the usual one first.
var profiles = []ratchet.Profile{ratchet.SignalV4, ratchet.WaxwingHE, ratchet.PQXDH}

// keyID writes the id of a key; 0 is none.
func keyID(id uint32) string {
	if id == 0 {
		return "-"
	}
	return strconv.FormatUint(uint64(id), 10)
}
