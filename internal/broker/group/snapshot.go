package group

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
)

const snapshotVersion = 1

// Snapshot returns the whole state; equal states give equal bytes (numbers and
// strings as in codec.go, generation as in EncodeEntry):
//
//	version 1 · n · n × group, ascending by name
//	group      name · generation · n · n × topic, ascending by name
//	topic      name · n · n × partition, ascending
//	partition  number · offset · leader epoch · committed at · expires at · topic id · metadata
//
// It carries no checksum; that is the container's business.
func (d *Durable) Snapshot() []byte {
	dst := binary.AppendUvarint([]byte{snapshotVersion}, uint64(len(d.groups)))
	for _, id := range sortedKeys(d.groups) {
		g := d.groups[id]
		dst = appendGeneration(appendBytes(dst, id), &g.generation)
		dst = binary.AppendUvarint(dst, uint64(len(g.offsets)))
		for _, topic := range sortedKeys(g.offsets) {
			dst = appendPartitions(appendBytes(dst, topic), g.offsets[topic])
		}
	}
	return dst
}

func appendPartitions(dst []byte, partitions map[int32]offset) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(partitions)))
	for _, p := range sortedKeys(partitions) {
		o := partitions[p]
		dst = binary.AppendVarint(dst, int64(p))
		dst = binary.AppendVarint(dst, o.offset)
		dst = binary.AppendVarint(dst, int64(o.leaderEpoch))
		dst = binary.AppendVarint(dst, o.committedAt)
		dst = binary.AppendVarint(dst, o.expiresAt)
		dst = appendBytes(appendTopicID(dst, o.topicID), o.metadata)
	}
	return dst
}

// Restore reads what Snapshot returned, all of b, and keeps no reference to
// it. It fails with ErrNewer or ErrMalformed.
func Restore(b []byte) (*Durable, error) {
	r := &reader{b: b}
	version := r.byte()
	if version > snapshotVersion {
		return nil, fmt.Errorf("group snapshot of version %d: %w", version, ErrNewer)
	}
	if version == 0 {
		r.fail("version 0")
	}
	d := NewDurable()
	restoreSorted(r, 8, r.string, func(id string) {
		g := d.group(id)
		g.generation = decodeGeneration(r)
		restoreSorted(r, 9, r.string, func(topic string) {
			partitions := map[int32]offset{}
			restoreSorted(r, 7, r.int32, func(p int32) { partitions[p] = restoreOffset(r) })
			if len(partitions) == 0 {
				r.fail("topic without partitions")
			}
			g.offsets[topic] = partitions
		})
		d.grow(g, g.count(id)-g.bytes)
	})
	if err := r.end(); err != nil {
		return nil, fmt.Errorf("group snapshot: %w", err)
	}
	return d, nil
}

func restoreOffset(r *reader) offset {
	return offset{
		offset:      r.int64(),
		leaderEpoch: r.int32(),
		committedAt: r.int64(),
		expiresAt:   r.int64(),
		topicID:     r.topicID(),
		metadata:    r.string(),
	}
}

// restoreSorted reads a count and as many elements of at least minBytes, whose
// keys must ascend; element reads what follows the key.
func restoreSorted[K cmp.Ordered](r *reader, minBytes int, key func() K, element func(K)) {
	var last K
	for i := range r.count(minBytes) {
		k := key()
		if i > 0 && k <= last {
			r.fail("keys do not ascend")
		}
		if r.err != nil {
			return
		}
		last = k
		element(k)
	}
}

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K {
	return slices.Sorted(maps.Keys(m))
}
