package inbox

import (
	"hash/maphash"
	"sync/atomic"
)

// knownSlots is how many rows an inbox remembers, eight bytes each.
const knownSlots = 1 << 14

// known remembers rows that this process has written lately: they are there, most
// likely, and PostgreSQL is quicker to update a row than to find that it cannot
// insert it. What it says may be wrong; the transaction finds out.
type known struct {
	seed  maphash.Seed
	slots [knownSlots]atomic.Uint64
}

func newKnown() *known { return &known{seed: maphash.MakeSeed()} }

// hash is that of an item's row, 0 if it is none that is updated.
func (k *known) hash(it *item) uint64 {
	var h maphash.Hash
	h.SetSeed(k.seed)
	switch it.level {
	case bySequence:
		h.WriteString(it.epoch)
		h.WriteByte(0)
		h.WriteString(it.d.Topic)
		h.WriteByte(0)
		h.Write(it.keyCol)
	case byPosition:
		h.WriteString(it.d.Position.Topic)
		maphash.WriteComparable(&h, it.d.Position.Partition)
	default:
		return 0
	}
	return h.Sum64() | 1
}

func (k *known) has(hash uint64) bool { return hash != 0 && k.slots[hash>>1%knownSlots].Load() == hash }

func (k *known) add(hash uint64) {
	if hash != 0 {
		k.slots[hash>>1%knownSlots].Store(hash)
	}
}
