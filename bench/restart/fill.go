package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/waxwing-mq/waxwing/bench/kill/daemon"
	"github.com/waxwing-mq/waxwing/internal/record"
)

const (
	topicName   = "filled"
	recordBytes = 1 << 10 // of a value
	batchCount  = 1000    // records in a batch, just under 1 MiB
)

// filling writes to all partitions at once, one batch after the other in each.
type filling struct {
	addr   string
	acked  []atomic.Int64 // by partition: records acknowledged
	failed atomic.Pointer[error]
	done   sync.WaitGroup
}

func newFilling(addr string, partitions int) *filling {
	return &filling{addr: addr, acked: make([]atomic.Int64, partitions)}
}

// bytes are the values' bytes that are acknowledged.
func (f *filling) bytes() int64 {
	var n int64
	for p := range f.acked {
		n += f.acked[p].Load() * recordBytes
	}
	return n
}

// start begins writing, which ends with the first error: that of the kill.
func (f *filling) start(ctx context.Context) {
	for p := range f.acked {
		f.done.Go(func() {
			if err := f.write(ctx, int32(p)); err != nil {
				f.failed.CompareAndSwap(nil, &err)
			}
		})
	}
}

// until waits until so many bytes are acknowledged.
func (f *filling) until(ctx context.Context, bytes int64) error {
	for f.bytes() < bytes {
		if err := f.failed.Load(); err != nil {
			return *err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Millisecond):
		}
	}
	return nil
}

// write fills one partition until something fails.
func (f *filling) write(ctx context.Context, partition int32) error {
	c, err := daemon.Dial(ctx, f.addr)
	if err != nil {
		return err
	}
	defer c.Close()
	batch, next := newBatch(partition), int64(0)
	for {
		offsets, err := c.Produce(topicName, []daemon.Batch{{Partition: partition, Bytes: batch.encode(next)}})
		if err != nil {
			return err
		}
		if offsets[0] != next {
			return fmt.Errorf("partition %d: a batch was put at offset %d, want %d", partition, offsets[0], next)
		}
		next += batchCount
		f.acked[partition].Store(next)
	}
}

// batch makes the batches of one partition. A value begins with partition and
// offset, 8 bytes each; the rest does not compress.
type batch struct {
	records []record.Record
	buf     []byte
}

func newBatch(partition int32) *batch {
	b := &batch{records: make([]record.Record, batchCount)}
	rng := rand.NewChaCha8([32]byte{byte(partition)})
	for i := range b.records {
		v := make([]byte, recordBytes)
		_, _ = rng.Read(v) // it never fails
		binary.BigEndian.PutUint64(v, uint64(partition))
		b.records[i].Value = v
	}
	return b
}

// encode returns the batch that belongs at the offset first. It is valid until
// the next call.
func (b *batch) encode(first int64) []byte {
	now := time.Now().UnixMilli()
	for i := range b.records {
		binary.BigEndian.PutUint64(b.records[i].Value[8:], uint64(first+int64(i)))
		b.records[i].Timestamp = now
	}
	b.buf = record.Append(b.buf[:0], record.BatchSpec{Records: b.records})
	return b.buf
}

// find fetches the record at an offset and checks that it is the one that was
// written there.
func find(c *daemon.Conn, partition int32, offset int64) error {
	fetched, _, err := c.Fetch(topicName, partition, offset, 1) // a batch comes whole
	if err != nil {
		return err
	}
	for b := range record.Batches(fetched) {
		found := false
		err := record.Iterate(b, func(r record.Record) bool {
			found = r.Offset == offset && len(r.Value) == recordBytes &&
				binary.BigEndian.Uint64(r.Value) == uint64(partition) && binary.BigEndian.Uint64(r.Value[8:]) == uint64(offset)
			return r.Offset < offset
		})
		if err != nil || found {
			return err
		}
	}
	return fmt.Errorf("partition %d, offset %d: the record that was acknowledged is not there", partition, offset)
}
