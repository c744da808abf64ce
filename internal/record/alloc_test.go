//go:build !race

package record_test

import (
	"bytes"
	"testing"

	"github.com/waxwing-mq/waxwing/internal/record"
)

// TestAllocations: an uncompressed batch costs no allocation. It does not run
// with the race detector, under which a sync.Pool drops items at random.
func TestAllocations(t *testing.T) {
	b := record.Append(nil, record.BatchSpec{Records: mixedRecords()})
	spec := record.BatchSpec{Records: mixedRecords()}
	dst := make([]byte, 0, 2*len(b))
	stamped := bytes.Clone(b)
	for name, f := range map[string]func(){
		"Validate": func() {
			_, _ = record.Validate(b, record.ValidateOptions{CheckTimestamps: true, BeforeMaxMillis: -1, AfterMaxMillis: -1})
		},
		"ReadHeader": func() { _, _ = record.ReadHeader(b) },
		"Patch":      func() { record.Patch(b, 1, 1) },
		"Iterate":    func() { _ = record.Iterate(b, func(record.Record) bool { return true }) },
		"Append":     func() { dst = record.Append(dst[:0], spec) },
		"Batches": func() {
			for range record.Batches(b) {
			}
		},
		"StampLogAppendTime": func() { record.StampLogAppendTime(stamped, 1) },
	} {
		if n := testing.AllocsPerRun(100, f); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}
