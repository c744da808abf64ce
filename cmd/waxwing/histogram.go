package main

import (
	"math"
	"math/bits"
	"sync/atomic"
	"time"
)

// A histogram counts durations in buckets whose width grows with the value, so
// that every percentile is right to within 1/128 of itself. Values below 128 ns
// have a bucket each; above, each power of two is cut into 128 buckets:
//
//	bucket   0 … 127   128 … 255   256 … 383   384 …
//	value    0 … 127   128 … 255   256 … 511   512 …   ns
//	width    1         1           2           4
//
// Values above histogramMax count as histogramMax. Counting is safe from any
// goroutine and takes no lock.
type histogram struct {
	buckets [histogramBuckets]atomic.Uint64
	max     atomic.Int64 // the largest value, exact
	sum     atomic.Int64
}

const (
	histogramSubBits = 7
	histogramMaxBits = 43 // 2^43 ns are two hours and a half
	histogramMax     = 1<<histogramMaxBits - 1
	histogramBuckets = (histogramMaxBits - histogramSubBits + 1) << histogramSubBits
)

// record counts one duration; a negative one counts as zero.
func (h *histogram) record(d time.Duration) {
	v := min(max(int64(d), 0), histogramMax)
	h.buckets[histogramBucket(v)].Add(1)
	h.sum.Add(v)
	for {
		old := h.max.Load()
		if v <= old || h.max.CompareAndSwap(old, v) {
			return
		}
	}
}

// histogramBucket is the bucket of a value from 0 to histogramMax.
func histogramBucket(v int64) int {
	shift := max(bits.Len64(uint64(v))-histogramSubBits-1, 0)
	return shift<<histogramSubBits + int(v>>shift)
}

// histogramUpper is the largest value that falls into a bucket.
func histogramUpper(bucket int) int64 {
	shift := max(bucket>>histogramSubBits-1, 0)
	return int64(bucket-shift<<histogramSubBits+1)<<shift - 1
}

// counts is a frozen copy of one or more histograms.
type counts struct {
	buckets [histogramBuckets]uint64
	total   uint64
	max     int64
	sum     int64
}

// add adds what h has counted so far.
func (c *counts) add(h *histogram) {
	for i := range h.buckets {
		n := h.buckets[i].Load()
		c.buckets[i] += n
		c.total += n
	}
	c.max = max(c.max, h.max.Load())
	c.sum += h.sum.Load()
}

// since returns what was counted after the earlier copy. Its maximum is known
// only to the width of a bucket.
func (c *counts) since(earlier *counts) *counts {
	d := &counts{sum: c.sum - earlier.sum}
	for i := range c.buckets {
		d.buckets[i] = c.buckets[i] - earlier.buckets[i]
		d.total += d.buckets[i]
		if d.buckets[i] > 0 {
			d.max = min(histogramUpper(i), c.max)
		}
	}
	return d
}

// quantile returns the value that the share q (0 to 1) of all values do not
// exceed; zero without values.
func (c *counts) quantile(q float64) time.Duration {
	rank := max(uint64(math.Ceil(q*float64(c.total))), 1)
	var seen uint64
	for i, n := range c.buckets {
		if seen += n; seen >= rank {
			return time.Duration(min(histogramUpper(i), c.max))
		}
	}
	return time.Duration(c.max)
}

// mean returns the average value; zero without values.
func (c *counts) mean() time.Duration {
	if c.total == 0 {
		return 0
	}
	return time.Duration(c.sum / int64(c.total))
}
