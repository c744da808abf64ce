package broker

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/waxwing-mq/waxwing/internal/record"
)

// TestBatchCheck: batches pass however they are cut; a changed offset, length
// or end does not.
func TestBatchCheck(t *testing.T) {
	var all []byte
	var starts []int
	next := int64(100)
	for _, n := range []int{1, 3, 2} {
		spec := record.BatchSpec{}
		for range n {
			spec.Records = append(spec.Records, record.Record{Value: []byte("value")})
		}
		b := record.Append(nil, spec)
		binary.BigEndian.PutUint64(b, uint64(next))
		starts = append(starts, len(all))
		all = append(all, b...)
		next += int64(n)
	}
	run := func(b []byte, from, end int64, cut int) error {
		c := batchCheck{next: from, end: end}
		if err := c.pass(b[:cut]); err != nil {
			return err
		}
		if err := c.pass(b[cut:]); err != nil {
			return err
		}
		return c.done()
	}
	for cut := range all {
		if err := run(all, 100, 106, cut); err != nil {
			t.Fatalf("cut at %d: %v", cut, err)
		}
		if err := run(all, 101, 106, cut); err == nil {
			t.Fatalf("cut at %d: a batch below the extent passes", cut)
		}
		if err := run(all, 100, 105, cut); err == nil {
			t.Fatalf("cut at %d: a batch beyond the extent passes", cut)
		}
		if cut > 0 && run(all[:cut], 100, 106, 0) == nil && cut != starts[1] && cut != starts[2] {
			t.Fatalf("the first %d bytes pass", cut)
		}
	}
	for _, start := range starts {
		for bit := range 12 * 8 { // offset and length
			b := append([]byte{}, all...)
			b[start+bit/8] ^= 1 << (bit % 8)
			if run(b, 100, 106, 0) == nil {
				t.Fatalf("batch at %d with bit %d changed passes", start, bit)
			}
		}
	}
}

// TestRewritePace: a rewrite reads and writes as fast as it may, in pieces of
// any size, and keeps most of that while the journal is busy.
func TestRewritePace(t *testing.T) {
	const total = 64 << 20
	for _, size := range []int{1, rewriteOpBytes, 60_000, 256 << 10, 1 << 20} {
		for _, busy := range []bool{false, true} {
			var p pace
			var waited time.Duration
			counted := max(size, rewriteOpBytes)
			for range total / counted {
				waited += p.take(size, func() bool { return busy })
			}
			atLeast := time.Duration(total-total%counted-rewriteBurstBytes) * time.Second / rewriteBytesPerSec
			atMost := time.Duration(total) * time.Second / rewriteBytesPerSec
			if busy {
				atMost += total / rewriteBurstBytes * rewriteYield
			}
			if waited < atLeast || waited > atMost {
				t.Errorf("pieces of %d bytes, busy %t: waits %v for 64 MB, should be %v to %v", size, busy, waited, atLeast, atMost)
			}
		}
	}
}
