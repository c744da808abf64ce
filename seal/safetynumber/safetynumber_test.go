package safetynumber_test

import (
	"crypto/rand"
	"strings"
	"testing"

	"github.com/waxwing-mq/waxwing/seal/internal/peer"
	"github.com/waxwing-mq/waxwing/seal/ratchet"
	"github.com/waxwing-mq/waxwing/seal/safetynumber"
)

// TestInteropSafetyNumber compares with what the packages show, for their keys and identifiers of several sizes.
func TestInteropSafetyNumber(t *testing.T) {
	for _, p := range []peer.Package{peer.Current, peer.PQXDH, peer.Privacyresearch} {
		t.Run(string(p), func(t *testing.T) {
			t.Parallel()
			alice, bob := peer.Start(t, p, "alice"), peer.Start(t, p, "bob")
			for _, ids := range [][2]string{
				{"alice", "bob"},
				{"payments.eu-1", "orders"},
				{"8b1f3c52-9c0e-4d0c-9f65-1c2b7f9a0a01", strings.Repeat("b", 200)},
			} {
				us := safetynumber.Party{ID: []byte(ids[0]), Key: key(t, alice)}
				them := safetynumber.Party{ID: []byte(ids[1]), Key: key(t, bob)}
				want := alice.Fingerprint(2, us.ID, them.ID, bob.Identity.Key).Digits
				if got := safetynumber.Compute(us, them); got != want {
					t.Errorf("%v: %s instead of %s", ids, got, want)
				}
				if theirs := bob.Fingerprint(2, them.ID, us.ID, alice.Identity.Key).Digits; theirs != want {
					t.Errorf("%v: they do not agree", ids)
				}
			}
		})
	}
}

func key(t *testing.T, p *peer.Peer) ratchet.PublicKey {
	t.Helper()
	k, err := ratchet.ParsePublicKey(p.Identity.Key)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// TestNumbersDiffer: both sides have the same, and a changed key or identifier another.
func TestNumbersDiffer(t *testing.T) {
	party := func(id string) safetynumber.Party {
		k, err := ratchet.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return safetynumber.Party{ID: []byte(id), Key: k.Public()}
	}
	a, b := party("alice"), party("bob")
	n := safetynumber.Compute(a, b)
	if len(n) != 60 || strings.Trim(n, "0123456789") != "" {
		t.Fatalf("%q", n)
	}
	if safetynumber.Compute(b, a) != n {
		t.Error("the other side has another number")
	}
	for name, changed := range map[string]safetynumber.Party{
		"the key":        {ID: a.ID, Key: party("").Key},
		"the identifier": {ID: []byte("alicf"), Key: a.Key},
		"a longer one":   {ID: []byte("alice\x00"), Key: a.Key},
		"the empty one":  {Key: a.Key},
		"both are one":   b,
	} {
		if safetynumber.Compute(changed, b) == n {
			t.Errorf("%s changed, and the number is the same", name)
		}
	}
}

func TestGroup(t *testing.T) {
	if got := safetynumber.Group("123456789012345"); got != "12345 67890 12345" {
		t.Errorf("%q", got)
	}
	if got := safetynumber.Group(""); got != "" {
		t.Errorf("%q", got)
	}
}

func BenchmarkCompute(b *testing.B) {
	p := safetynumber.Party{ID: []byte("a")}
	for b.Loop() {
		safetynumber.Compute(p, p)
	}
}
