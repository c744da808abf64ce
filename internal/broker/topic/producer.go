package topic

import (
	"encoding/binary"
	"math"
	"sort"

	"github.com/waxwing-mq/waxwing/internal/enc"
	"github.com/waxwing-mq/waxwing/internal/mutant"
)

// window is how many batches of a producer a partition remembers: as many as
// a Kafka client may have in flight.
const window = 5

// batch is one remembered batch of a producer.
type batch struct {
	first, last int32 // sequence numbers
	base        int64 // offset of its first record
}

// producer is what a partition knows of one idempotent producer.
type producer struct {
	log   *Log
	id    int64
	epoch int16
	n     uint8 // batches remembered
	time  int64 // ms, when the last batch was appended
	ring  [window]batch

	older, newer *producer // in the shard's aging
}

// aging are all producers of a shard, sorted by when they last appended: entries
// come in the order of their times, so who appends becomes the newest. It only
// helps to find the oldest; what becomes of them stands in the log.
type aging struct {
	oldest, newest *producer
	n              int
}

// add takes p in as the newest.
func (a *aging) add(p *producer) {
	p.older, p.newer = a.newest, nil
	if a.newest != nil {
		a.newest.newer = p
	} else {
		a.oldest = p
	}
	a.newest = p
	a.n++
}

func (a *aging) remove(p *producer) {
	if p.older != nil {
		p.older.newer = p.newer
	} else {
		a.oldest = p.newer
	}
	if p.newer != nil {
		p.newer.older = p.older
	} else {
		a.newest = p.older
	}
	p.older, p.newer = nil, nil
	a.n--
}

// last is the newest batch; n must not be 0.
func (p *producer) lastBatch() batch { return p.ring[p.n-1] }

func (p *producer) push(b batch) {
	if p.n == window {
		copy(p.ring[:], p.ring[1:])
		p.n--
	}
	p.ring[p.n] = b
	p.n++
}

// nextSequence follows s; sequence numbers wrap from 2^31-1 to 0.
func nextSequence(s int32) int32 { return int32((uint32(s) + 1) & 0x7fffffff) }

// lastSequence is the sequence number of the last record of a batch.
func lastSequence(first int32, count int64) int32 {
	return int32((uint32(first) + uint32(count-1)) & 0x7fffffff)
}

// verdict says what to do with an idempotent batch.
type verdict uint8

const (
	accept verdict = iota
	duplicate
	outOfOrder
	staleEpoch
)

// check compares a batch with what is known of its producer (nil: nothing,
// then any sequence will do). For a duplicate, base is the original offset.
func (p *producer) check(epoch int16, first, last int32) (v verdict, base int64) {
	switch {
	case p == nil || p.n == 0:
		return accept, 0
	case epoch < p.epoch:
		return staleEpoch, 0
	case epoch > p.epoch:
		if first != 0 {
			return outOfOrder, 0
		}
		return accept, 0
	}
	for _, b := range p.ring[:p.n] {
		if b.first == first && b.last == last {
			return duplicate, b.base
		}
	}
	if first == nextSequence(p.lastBatch().last) || mutant.On(mutant.SequenceGapAccepted) {
		return accept, 0
	}
	if mutant.On(mutant.SixthDuplicate) && first < p.ring[0].first {
		return accept, 0
	}
	return outOfOrder, 0
}

func appendProducers(dst []byte, ps map[int64]*producer) []byte {
	ids := make([]int64, 0, len(ps))
	for id := range ps {
		ids = append(ids, id)
	}
	sort.Slice(ids, func(a, b int) bool { return ids[a] < ids[b] })
	dst = binary.AppendUvarint(dst, uint64(len(ids)))
	for _, id := range ids {
		p := ps[id]
		dst = binary.AppendVarint(dst, id)
		dst = binary.AppendVarint(dst, int64(p.epoch))
		dst = binary.AppendVarint(dst, p.time)
		dst = binary.AppendUvarint(dst, uint64(p.n))
		for _, b := range p.ring[:p.n] {
			dst = binary.AppendUvarint(dst, uint64(b.first))
			dst = binary.AppendUvarint(dst, uint64(b.last))
			dst = binary.AppendVarint(dst, b.base)
		}
	}
	return dst
}

func readProducers(r *enc.Reader, l *Log) map[int64]*producer {
	n := r.Count(4)
	if n == 0 {
		return nil
	}
	ps := make(map[int64]*producer, n)
	for ; n > 0 && r.Err() == nil; n-- {
		id := r.Varint()
		p := &producer{log: l, id: id, epoch: readEpoch(r), time: r.Varint()}
		k := readUpTo(r, window)
		if k == 0 || ps[id] != nil {
			malformed(r)
			break
		}
		for ; k > 0; k-- {
			p.push(batch{first: readSequence(r), last: readSequence(r), base: r.Varint()})
		}
		ps[id] = p
	}
	return ps
}

func readSequence(r *enc.Reader) int32 { return int32(readUpTo(r, math.MaxInt32)) }
