package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// verify checks, while the load goes on, everything that was promised up to
// now, and commits an offset of the resting group. Records are read from the
// given offsets on; it returns where they end.
func (t *trial) verify(ctx context.Context, from []int64) ([]int64, error) {
	cl, err := newClient(t.cfg.Kafka)
	if err != nil {
		return nil, err
	}
	defer cl.Close()
	adm := kadm.NewClient(cl)
	var committed []map[int32]int64
	for _, c := range t.commits { // before the high watermarks, which only grow
		offsets, err := c.check(ctx, adm)
		if err != nil {
			return nil, err
		}
		committed = append(committed, offsets)
	}
	if err := t.churn.check(ctx, adm); err != nil {
		return nil, err
	}
	ends, err := t.highWatermarks(ctx, adm)
	if err != nil {
		return nil, err
	}
	for i, c := range t.commits {
		for p, o := range committed[i] {
			if o > ends[p] {
				return nil, fmt.Errorf("partition %d: group %s has committed %d, ahead of the high watermark %d", p, c.group, o, ends[p])
			}
		}
	}
	p := t.rng.IntN(len(ends))
	if err := t.commits[resting].send(ctx, adm, map[int32]int64{int32(p): ends[p]}); err != nil {
		return nil, fmt.Errorf("commit an offset of group %s: %w", t.commits[resting].group, err)
	}
	return ends, t.read(ctx, from, ends)
}

// highWatermarks asks where each partition starts and ends, and checks that
// no promise is beyond.
func (t *trial) highWatermarks(ctx context.Context, adm *kadm.Client) ([]int64, error) {
	need := make([]int64, len(t.ledgers))
	for p, l := range t.ledgers {
		need[p] = l.end()
	}
	listed, err := adm.ListEndOffsets(ctx, topicName)
	if err == nil {
		err = listed.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("list end offsets: %w", err)
	}
	starts, err := adm.ListStartOffsets(ctx, topicName)
	if err == nil {
		err = starts.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("list start offsets: %w", err)
	}
	ends := make([]int64, len(t.ledgers))
	for p := range ends {
		end, ok := listed.Lookup(topicName, int32(p))
		start, ok2 := starts.Lookup(topicName, int32(p))
		switch {
		case !ok || !ok2:
			return nil, fmt.Errorf("partition %d has no offsets", p)
		case end.Offset < need[p]:
			return nil, fmt.Errorf("partition %d: the high watermark is %d, but offset %d was acknowledged or consumed", p, end.Offset, need[p]-1)
		case start.Offset != 0:
			return nil, fmt.Errorf("partition %d starts at %d, and nothing was deleted", p, start.Offset)
		}
		ends[p] = end.Offset
	}
	return ends, nil
}

// read checks all records from one offset to another of each partition.
func (t *trial) read(ctx context.Context, from, to []int64) error {
	assign, next, left := map[int32]kgo.Offset{}, make([]int64, len(from)), 0
	for p := range from {
		next[p] = from[p]
		if from[p] < to[p] {
			assign[int32(p)] = kgo.NewOffset().At(from[p])
			left++
		}
	}
	if left == 0 {
		return nil
	}
	cl, err := newClient(t.cfg.Kafka,
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topicName: assign}),
		kgo.ConsumeResetOffset(kgo.NoResetOffset()), kgo.FetchMaxWait(100*time.Millisecond), kgo.FetchMaxBytes(16<<20),
	)
	if err != nil {
		return err
	}
	defer cl.Close()
	for left > 0 {
		fetches, err := poll(ctx, cl)
		if err != nil {
			return fmt.Errorf("records cannot be read (next offsets %d, high watermarks %d): %w", next, to, err)
		}
		for it := fetches.RecordIter(); !it.Done(); {
			r := it.Next()
			if r.Offset >= to[r.Partition] {
				continue
			}
			if err := t.readOne(r, &next[r.Partition]); err != nil {
				return err
			}
			if next[r.Partition] == to[r.Partition] {
				left--
			}
		}
	}
	return nil
}

// poll waits for the next records, but not for ever.
func poll(ctx context.Context, cl *kgo.Client) (kgo.Fetches, error) {
	ctx, cancel := context.WithTimeout(ctx, giveUpAfter)
	defer cancel()
	fetches := cl.PollFetches(ctx)
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return nil, fmt.Errorf("none has come for %v", giveUpAfter)
	}
	return fetches, fetches.Err()
}

// readOne checks one record, of which next is the offset that it must have.
func (t *trial) readOne(r *kgo.Record, next *int64) error {
	if r.Offset != *next {
		return fmt.Errorf("partition %d: offset %d follows %d", r.Partition, r.Offset, *next-1)
	}
	*next++
	id, err := decodeValue(r.Value, r.Partition)
	if err != nil {
		return fmt.Errorf("partition %d, offset %d: %w", r.Partition, r.Offset, err)
	}
	return t.ledgers[r.Partition].verify(r.Offset, id)
}
