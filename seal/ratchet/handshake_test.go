package ratchet

import (
	"fmt"
	"testing"
)

// TestProfileNames: profiles are called as documents and the command line call them.
func TestProfileNames(t *testing.T) {
	for p, want := range map[Profile]string{X3DH: "x3dh", PQXDH: "pqxdh", SignalV4: "signal-v4", WaxwingHE: "waxwing-he", 0: "unknown (0)", 200: "unknown (200)"} {
		if got := fmt.Sprint(p); got != want {
			t.Errorf("%d is %q, want %q", uint8(p), got, want)
		}
	}
}
