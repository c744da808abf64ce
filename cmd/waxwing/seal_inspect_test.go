package main

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"strings"
	"testing"

	"github.com/waxwing-mq/waxwing/seal/ratchet"
	"github.com/waxwing-mq/waxwing/seal/senderkey"
)

// bundle is what a session begins with, under keys that nobody keeps.
func bundle(t *testing.T, kem ratchet.KEM) ratchet.Bundle {
	t.Helper()
	sign := func(k ratchet.PrivateKey, what []byte) []byte {
		signature, err := ratchet.Sign(rand.Reader, k, what)
		if err != nil {
			t.Fatal(err)
		}
		return signature
	}
	identity, err := ratchet.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := ratchet.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	k, err := ratchet.GenerateKEM(rand.Reader, kem)
	if err != nil {
		t.Fatal(err)
	}
	return ratchet.Bundle{RegistrationID: 1, Identity: identity.Public(), SignedID: 1, Signed: signed.Public(),
		SignedSig: sign(identity, signed.Public().Encode()), KEMID: 2, KEMKey: k.Public(), KEMSig: sign(identity, k.Public())}
}

// TestSealInspectKinds: of each kind of message that is sealed, what is public is shown,
// and nothing is that is hidden.
func TestSealInspectKinds(t *testing.T) {
	sealed := func(p ratchet.Profile, kem ratchet.KEM) []byte {
		self, err := ratchet.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		s, _, err := ratchet.Initiate(rand.Reader, p, self, 1, bundle(t, kem))
		if err != nil {
			t.Fatal(err)
		}
		var message []byte
		for range 3 {
			if s, message, err = s.Seal(rand.Reader, nil, []byte("a secret")); err != nil {
				t.Fatal(err)
			}
		}
		return message
	}
	sender, err := senderkey.NewSender(rand.Reader, [16]byte{0xab})
	if err != nil {
		t.Fatal(err)
	}
	_, group, err := sender.Seal(rand.Reader, []byte("a secret"))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		profile ratchet.Profile
		kind    byte
		body    []byte
		want    []string
		hidden  string
	}{
		"signal-v4":  {ratchet.SignalV4, 2, sealed(ratchet.SignalV4, ratchet.Kyber1024), []string{"message", "signal-v4", "counter: 2, of the chain before 0, of the post-quantum chain 3", "ratchet key: "}, "from:"},
		"pqxdh":      {ratchet.PQXDH, 2, sealed(ratchet.PQXDH, ratchet.Kyber1024), []string{"pqxdh", "counter: 2, of the chain before 0"}, "quantum"},
		"waxwing-he": {ratchet.WaxwingHE, 2, sealed(ratchet.WaxwingHE, ratchet.MLKEM1024), []string{"waxwing-he", "ratchet: encrypted header"}, "counter"},
		"a group":    {ratchet.SignalV4, 3, group, []string{"group", "sender key: ab000000000000000000000000000000, chain ", ", message 0"}, "ratchet"},
		"another":    {99, 2, sealed(ratchet.SignalV4, ratchet.Kyber1024), []string{"unknown (99)", "counter: 2"}, "quantum"},
	} {
		t.Run(name, func(t *testing.T) {
			text := append([]byte{'W', 'X', 'S', 1, byte(c.profile), c.kind}, bytes.Repeat([]byte{0xcd}, 16)...)
			things, err := inspect(append(text, c.body...), "auto")
			if err != nil || len(things) != 1 {
				t.Fatal(things, err)
			}
			var out bytes.Buffer
			things[0].print(&out)
			said := strings.Join(strings.Fields(out.String()), " ")
			for _, want := range append(c.want, "tag: "+strings.Repeat("cd", 16), fmt.Sprintf("of which body %d bytes", len(c.body))) {
				if !strings.Contains(said, want) {
					t.Errorf("%q is not in %q", want, said)
				}
			}
			if strings.Contains(said, c.hidden) {
				t.Errorf("%q is in %q", c.hidden, said)
			}
		})
	}
}
