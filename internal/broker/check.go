package broker

import (
	"errors"

	"github.com/waxwing-mq/waxwing/internal/record"
)

// errNotBatches says that bytes are not the batches that the index names.
var errNotBatches = errors.New("these are not the record batches that the index names")

// batchCheck looks at the heads of the batches that pass through it: they must
// follow one another, and have offsets in [next, end), which grow. Checksums of
// batches do not cover their offsets, so no reader would notice.
type batchCheck struct {
	next, end int64

	// Where the last batch that passed begins and ends, in bytes.
	before, at int64

	skip int64 // bytes up to the next batch
	n    int   // how much of its head is there
	head [record.HeaderLen]byte
}

// pass checks what comes next.
func (c *batchCheck) pass(p []byte) error {
	for len(p) > 0 {
		if c.skip > 0 {
			k := min(c.skip, int64(len(p)))
			c.skip -= k
			p = p[k:]
			continue
		}
		head, rest := p, p
		if c.n > 0 || len(p) < record.HeaderLen {
			k := copy(c.head[c.n:], p)
			c.n += k
			if c.n < record.HeaderLen {
				return nil
			}
			head, rest = c.head[:], p[k:]
			c.n = 0
		} else {
			rest = p[record.HeaderLen:]
		}
		at, err := readBatchAt(head)
		if err != nil {
			return err
		}
		if at.base < c.next || at.last >= c.end {
			return errNotBatches
		}
		c.next = at.last + 1
		c.before, c.at = c.at, c.at+at.size
		c.skip = at.size - record.HeaderLen
		p = rest
	}
	return nil
}

// suspect is the part of the bytes, from where to where, that a check casts doubt
// on when it fails: the batch before the one whose head did not pass, since its
// offset may be what is wrong, or else the one that is the first.
func (c *batchCheck) suspect() (from, to int64) { return c.before, max(c.at, c.before+1) }

// done says whether the bytes ended with a batch.
func (c *batchCheck) done() error {
	if c.skip > 0 || c.n > 0 {
		return errNotBatches
	}
	return nil
}
