package mem

import (
	"maps"
	"math/rand/v2"
	"slices"
)

const sectorBytes = 512

// node is a file or a folder, whatever names lead to it.
type node struct {
	// Of a folder:
	entries map[string]*node // what programs see; nil for a file
	durable map[string]*node // what a power loss leaves for sure
	renames []dirOp          // what was changed since, in order

	// Of a file:
	cache  []byte   // what programs see
	stored []byte   // what a power loss leaves for sure
	writes []fileOp // what was changed since, in order

	names   int // how many names lead here: 0 or 1
	handles int // how many have it open
}

// fileOp is a write that was not synced, or a change of length.
type fileOp struct {
	off  int64
	data []byte // nil: the length becomes off
}

// dirOp is a change in a folder that was not synced. from loses its name if
// it is set, to gets child if it is set.
type dirOp struct {
	from, to string
	child    *node
}

func newFolder() *node {
	return &node{entries: map[string]*node{}, durable: map[string]*node{}}
}

func (n *node) isDir() bool { return n.entries != nil }

// write changes the cache and remembers what would have to be synced.
func (n *node) write(p []byte, off int64) {
	n.resizeCache(max(int64(len(n.cache)), off+int64(len(p))))
	copy(n.cache[off:], p)
	n.writes = append(n.writes, fileOp{off, slices.Clone(p)})
}

func (n *node) resize(size int64) {
	n.resizeCache(size)
	n.writes = append(n.writes, fileOp{off: size})
}

func (n *node) resizeCache(size int64) { n.cache = resized(n.cache, size) }

// resized cuts b or extends it with zeros.
func resized(b []byte, size int64) []byte {
	old := int64(len(b))
	if size <= old {
		return b[:size]
	}
	b = slices.Grow(b, int(size-old))[:size]
	clear(b[old:])
	return b
}

// sync makes the content durable.
func (n *node) sync() {
	for _, op := range n.writes {
		n.stored = op.apply(n.stored)
	}
	n.writes = nil
}

func (op fileOp) apply(b []byte) []byte {
	if op.data == nil {
		return resized(b, op.off)
	}
	b = resized(b, max(int64(len(b)), op.off+int64(len(op.data))))
	copy(b[op.off:], op.data)
	return b
}

// syncDir makes the names in the folder durable.
func (n *node) syncDir() {
	n.durable = maps.Clone(n.entries)
	n.renames = nil
}

func (n *node) change(op dirOp) {
	if op.from != "" {
		delete(n.entries, op.from)
	}
	if op.to != "" {
		n.entries[op.to] = op.child
	}
	n.renames = append(n.renames, op)
}

// chance returns how likely each unsynced change survives: none, all, or a
// share. The extremes are the likeliest in life and catch the most.
func chance(rng *rand.Rand) float64 {
	switch rng.IntN(4) {
	case 0:
		return 0
	case 1:
		return 1
	}
	return rng.Float64()
}

// lose returns what a power loss leaves of the content: what was synced and,
// of the writes since, any sectors. The length is one that the file had.
func (n *node) lose(rng *rand.Rand) []byte {
	b := slices.Clone(n.stored)
	if len(n.writes) == 0 {
		return b
	}
	p := chance(rng)
	size, lengths := int64(len(b)), rng.IntN(len(n.writes)+1)
	for i, op := range n.writes {
		if op.data == nil {
			if i < lengths {
				size = op.off
				b = b[:min(size, int64(len(b)))]
			}
			continue
		}
		if i < lengths {
			size = max(size, op.off+int64(len(op.data)))
		}
		b = op.applySome(b, p, rng)
	}
	return resized(b, size)
}

// applySome writes each sector of the write with probability p.
func (op fileOp) applySome(b []byte, p float64, rng *rand.Rand) []byte {
	for at := op.off; at < op.off+int64(len(op.data)); {
		end := min(at/sectorBytes*sectorBytes+sectorBytes, op.off+int64(len(op.data)))
		if rng.Float64() < p {
			b = fileOp{at, op.data[at-op.off : end-op.off]}.apply(b)
		}
		at = end
	}
	return b
}

// loseNames returns the names that a power loss leaves in the folder: the
// synced ones and, of the changes since, any that touch no name of a change
// that was lost.
func (n *node) loseNames(rng *rand.Rand) map[string]*node {
	names := maps.Clone(n.durable)
	if len(n.renames) == 0 {
		return names
	}
	p := chance(rng)
	lost := map[string]bool{}
	for _, op := range n.renames {
		if lost[op.from] && op.from != "" || lost[op.to] && op.to != "" || rng.Float64() >= p {
			lost[op.from], lost[op.to] = true, true
			continue
		}
		if op.from != "" {
			delete(names, op.from)
		}
		if op.to != "" {
			names[op.to] = op.child
		}
	}
	return names
}

// afterPowerLoss returns a copy of the tree as it is found when the power is back.
func (n *node) afterPowerLoss(rng *rand.Rand) *node {
	if !n.isDir() {
		content := n.lose(rng)
		return &node{cache: slices.Clone(content), stored: content, names: 1}
	}
	names := n.loseNames(rng)
	dir := newFolder()
	dir.names = 1
	for _, name := range slices.Sorted(maps.Keys(names)) {
		child := names[name].afterPowerLoss(rng)
		dir.entries[name] = child
		dir.durable[name] = child
	}
	return dir
}

// clone returns a copy of the tree, with what is not synced in it. done maps
// nodes to their copies, because a node can have another name on the disk
// than in the cache.
func (n *node) clone(done map[*node]*node) *node {
	if n == nil {
		return nil
	}
	if c := done[n]; c != nil {
		return c
	}
	c := &node{
		cache:  slices.Clone(n.cache),
		stored: slices.Clone(n.stored),
		writes: slices.Clone(n.writes), // what they hold is never changed
		names:  n.names,
	}
	done[n] = c
	if !n.isDir() {
		return c
	}
	c.entries, c.durable = map[string]*node{}, map[string]*node{}
	for name, child := range n.entries { // the order does not show
		c.entries[name] = child.clone(done)
	}
	for name, child := range n.durable {
		c.durable[name] = child.clone(done)
	}
	for _, op := range n.renames {
		op.child = op.child.clone(done)
		c.renames = append(c.renames, op)
	}
	return c
}
