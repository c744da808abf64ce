package seal

import "sync"

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
