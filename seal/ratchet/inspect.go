package ratchet

// Public is what anybody can read in a message.
type Public struct {
	Version  byte      // as on the wire
	Ratchet  PublicKey // zero under WaxwingHE, as are the numbers
	Counter  uint32
	Previous uint32
	PQIndex  uint32 // 0 if there is no post-quantum chain
	Size     int    // of the ciphertext, padding or tag included
}

// Inspect returns the public parts of a message, unwrapped from its handshake.
func Inspect(message []byte) (Public, error) {
	if len(message) == 0 {
		return Public{}, ErrMalformed
	}
	p := Public{Version: message[0]}
	if WaxwingHE.speaks(p.Version) {
		if len(message) < heBody+heTagSize {
			return Public{}, ErrMalformed
		}
		p.Size = len(message) - heBody
		return p, nil
	}
	if !X3DH.speaks(p.Version) && !PQXDH.speaks(p.Version) {
		return Public{}, ErrVersion
	}
	m, err := parseSignal(message)
	if err != nil {
		return Public{}, err
	}
	if len(m.pq) > 0 {
		p.PQIndex, _ = parsePQ(m.pq) // what others put there is theirs
	}
	p.Ratchet, p.Counter, p.Previous, p.Size = m.ratchet, m.counter, m.previous, len(m.body)
	return p, nil
}
