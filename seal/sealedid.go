package seal

import (
	"crypto/sha256"

	"github.com/waxwing-mq/waxwing/bus"
)

// SealedID names a sealed message by its envelope and by all that is repeated inside, 32
// bytes, nil if it is not sealed. What is forged, or moved, is given another name than what
// it was made of; what is published twice has one. Whether it opens does not matter.
func (e *Endpoint[TX]) SealedID(d *bus.Delivery) []byte {
	if !isEnvelope(d.Body) {
		return nil
	}
	b := []byte("waxwing sealed message")
	for _, s := range []string{d.ID, d.Topic, d.Key, d.Type} {
		b = appendText(b, s)
	}
	h := sha256.New()
	h.Write(b)
	h.Write(d.Body)
	return h.Sum(nil)
}
