package seal

import (
	"sync"

	"github.com/waxwing-mq/waxwing/seal/ratchet"
)

// marks are how far this process has used sending chains, whatever has become of the
// transactions: a number that was rolled back is not used again.
type marks struct {
	mu   sync.Mutex
	next map[[32]byte]uint32 // by chain: the least number that may be used
	ring [marksMax][32]byte  // chains in the order in which they came
	at   int
}

// marksMax is how many chains are remembered. One is forgotten after as many others
// have begun, and matters until the transaction that used it last has ended.
const marksMax = 1 << 14

func newMarks() *marks { return &marks{next: map[[32]byte]uint32{}} }

// from is the least number of a chain that may be used.
func (m *marks) from(chain [32]byte) uint32 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.next[chain]
}

// beyond says whether so many numbers of a chain were rolled back that it has to begin anew:
// it cannot be moved past them, or who opens could not follow.
func (m *marks) beyond(chain [32]byte, n uint32) bool {
	from := m.from(chain)
	return from > n && from-n > rolledBackMax
}

// rolledBackMax is how many numbers of a chain are skipped at once. As many may be missing
// in front of them.
const rolledBackMax = ratchet.MaxJump / 2

// used notes a number of a chain, before what was made with it is shown to anybody.
func (m *marks) used(chain [32]byte, n uint32) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, known := m.next[chain]; !known {
		delete(m.next, m.ring[m.at])
		m.ring[m.at] = chain
		m.at = (m.at + 1) % marksMax
	}
	m.next[chain] = max(m.next[chain], n+1)
}
