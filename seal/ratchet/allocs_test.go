//go:build !race

package ratchet

import (
	"crypto/rand"
	"testing"
)

// TestAllocations: one message of 1 KB and the four times that rows are read
// or written. It does not run with the race detector, which allocates itself.
func TestAllocations(t *testing.T) {
	for p, most := range map[Profile]float64{X3DH: 27, PQXDH: 27, SignalV4: 37, WaxwingHE: 40} {
		alice, bob := pair(t, p)
		want(t, bob, alice.seal(t, "first"), "first")
		want(t, alice, bob.seal(t, "answer"), "answer")
		if n := testing.AllocsPerRun(100, func() { exchange(t, rand.Reader, alice, bob, make([]byte, 1024)) }); n > most {
			t.Errorf("%v: %v allocations, at most %v", p, n, most)
		}
	}
}
