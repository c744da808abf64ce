package safetynumber_test

import (
	"strings"
	"testing"

	"github.com/waxwing-mq/waxwing/seal/internal/peer"
	"github.com/waxwing-mq/waxwing/seal/ratchet"
	"github.com/waxwing-mq/waxwing/seal/safetynumber"
	"pgregory.net/rapid"
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

// TestNumbersDiffer: both sides have the same, and a changed key, identifier or pair another.
func TestNumbersDiffer(t *testing.T) {
	party := rapid.Custom(func(t *rapid.T) safetynumber.Party {
		return safetynumber.Party{
			ID:  rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(t, "id"),
			Key: ratchet.PublicKey(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "key")),
		}
	})
	rapid.Check(t, func(t *rapid.T) {
		a, b := party.Draw(t, "a"), party.Draw(t, "b")
		n := safetynumber.Compute(a, b)
		if len(n) != 60 || strings.Trim(n, "0123456789") != "" {
			t.Fatalf("%q", n)
		}
		if safetynumber.Compute(b, a) != n {
			t.Fatal("the other side has another number")
		}
		changed := a
		if rapid.Bool().Draw(t, "the key changes") {
			changed.Key[rapid.IntRange(0, 31).Draw(t, "byte")] ^= 1
		} else {
			changed.ID = append(append([]byte{}, a.ID...), 0)
		}
		if safetynumber.Compute(changed, b) == n {
			t.Fatal("a changed party has the same number")
		}
	})
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
