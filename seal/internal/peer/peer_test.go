package peer

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
)

const group = "8b1f3c52-9c0e-4d0c-9f65-1c2b7f9a0a01"

// TestPeers lets two peers of each package talk, so that what an interop test
// sees is not the harness.
func TestPeers(t *testing.T) {
	for _, p := range []Package{Current, PQXDH, Privacyresearch, WhiskeySockets} {
		t.Run(string(p), func(t *testing.T) {
			t.Parallel()
			alice, bob := Start(t, p, "alice"), Start(t, p, "bob")
			talk(t, alice, bob, true)
			outOfOrder(t, alice, bob)
			keepTheirState(t, alice, bob)
			talk(t, bob, alice, false)
			sign(t, alice, bob)
			if p != WhiskeySockets {
				compare(t, p, alice, bob)
			}
			if p == Current || p == PQXDH {
				formAGroup(t, alice, bob)
			}
		})
	}
}

// talk begins a session from a to b and sends messages both ways.
func talk(t *testing.T, a, b *Peer, oneTime bool) {
	t.Helper()
	if err := a.Process(b.Name, b.Bundle(oneTime)); err != nil {
		t.Fatal(err)
	}
	if m := send(t, a, b, "first"); !m.PreKey {
		t.Error("the first message is no PreKeySignalMessage")
	}
	if s := b.State(a.Name); !s.Open || s.RecordBytes == 0 || len(s.OneTimeIDs) != 0 {
		t.Errorf("after the first message %s has %+v", b.Name, s)
	}
	for i := range 3 {
		if m := send(t, b, a, fmt.Sprint("answer ", i)); m.PreKey {
			t.Error("an answer is a PreKeySignalMessage")
		}
		send(t, a, b, fmt.Sprint("more ", i))
	}
}

// outOfOrder sends three messages, delivers the last first, and one twice.
func outOfOrder(t *testing.T, from, to *Peer) {
	t.Helper()
	var sent []Message
	for i := range 3 {
		m, err := from.Encrypt(to.Name, fmt.Append(nil, i))
		if err != nil {
			t.Fatal(err)
		}
		sent = append(sent, m)
	}
	for _, i := range []int{2, 0, 1} {
		if got, err := to.Decrypt(from.Name, sent[i]); err != nil || string(got) != fmt.Sprint(i) {
			t.Fatalf("message %d: %q, %v", i, got, err)
		}
	}
	_, err := to.Decrypt(from.Name, sent[1])
	if said := (*Error)(nil); !errors.As(err, &said) {
		t.Errorf("a duplicate: %v", err)
	}
}

// keepTheirState restores a snapshot: the peer decrypts again what it had
// decrypted.
func keepTheirState(t *testing.T, from, to *Peer) {
	t.Helper()
	before := to.Snapshot()
	m := send(t, from, to, "a second time")
	if _, err := to.Decrypt(from.Name, m); err == nil {
		t.Error("the same message was decrypted twice")
	}
	to.Restore(before)
	if got, err := to.Decrypt(from.Name, m); err != nil || string(got) != "a second time" {
		t.Errorf("after the restore: %q, %v", got, err)
	}
}

// sign holds every package's Verify to the same meaning.
func sign(t *testing.T, a, b *Peer) {
	t.Helper()
	message := []byte("a message")
	signature := a.Sign(message)
	if ok, err := b.Verify(a.Identity.Key, message, signature); !ok || err != nil {
		t.Errorf("a good signature: %v, %v", ok, err)
	}
	signature[3] ^= 1
	if ok, err := b.Verify(a.Identity.Key, message, signature); ok {
		t.Errorf("a wrong signature: %v, %v", ok, err)
	}
}

func compare(t *testing.T, p Package, a, b *Peer) {
	t.Helper()
	ours := a.Fingerprint(2, []byte("a"), []byte("b"), b.Identity.Key)
	theirs := b.Fingerprint(2, []byte("b"), []byte("a"), a.Identity.Key)
	if len(ours.Digits) != 60 || ours.Digits != theirs.Digits || strings.Trim(ours.Digits, "0123456789") != "" {
		t.Errorf("%q and %q", ours.Digits, theirs.Digits)
	}
	if p == Privacyresearch {
		return
	}
	if same, err := a.Compare(ours.Scannable, theirs.Scannable); !same || err != nil {
		t.Errorf("scannable: %v, %v", same, err)
	}
}

func formAGroup(t *testing.T, a, b *Peer) {
	t.Helper()
	if err := b.ProcessDistribution(a.Name, a.Distribution(group)); err != nil {
		t.Fatal(err)
	}
	body, err := a.GroupEncrypt(group, []byte("to all"))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := b.GroupDecrypt(a.Name, body); err != nil || string(got) != "to all" {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := b.GroupDecrypt(a.Name, body); err == nil {
		t.Error("the same group message was decrypted twice")
	}
}

func send(t *testing.T, from, to *Peer, text string) Message {
	t.Helper()
	m, err := from.Encrypt(to.Name, []byte(text))
	if err != nil {
		t.Fatalf("%s encrypts %q: %v", from.Name, text, err)
	}
	if bytes.Contains(m.Body, []byte(text)) {
		t.Fatalf("%q is readable in the ciphertext", text)
	}
	got, err := to.Decrypt(from.Name, m)
	if err != nil || string(got) != text {
		t.Fatalf("%s decrypts %q: %q, %v", to.Name, text, got, err)
	}
	return m
}
