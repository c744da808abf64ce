package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/waxwing-mq/waxwing/bench/kill/daemon"
	"github.com/waxwing-mq/waxwing/internal/record"
	"golang.org/x/sync/errgroup"
)

// fillers write at the same time, each to topics of its own.
const fillers = 4

func topicName(i int) string { return fmt.Sprintf("backlog-%d", i) }

// fill appends messages to every partition of every topic in turn. Each is a
// batch of its own, and a request has one for each partition of a topic: no two
// messages of a partition lie side by side.
func (m *measurement) fill(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	for f := range fillers {
		g.Go(func() error {
			c, err := daemon.Dial(ctx, m.cfg.Kafka)
			if err != nil {
				return err
			}
			defer c.Close()
			w := newWriter(m.opt)
			for n := range m.opt.perPartition() {
				for t := f; t < m.opt.topics; t += fillers {
					if err := w.write(c, t, n); err != nil {
						return err
					}
				}
			}
			return nil
		})
	}
	return g.Wait()
}

// writer makes the requests of one filler.
type writer struct {
	opt     options
	value   []byte
	buf     []byte
	batches []daemon.Batch
}

// A value begins with topic, partition and offset; the rest does not compress.
const valueHeadBytes = 24

func newWriter(opt options) *writer {
	w := &writer{opt: opt, value: make([]byte, opt.valueBytes)}
	rng := rand.NewChaCha8([32]byte{})
	_, _ = rng.Read(w.value) // it never fails
	return w
}

// write appends message n to every partition of a topic.
func (w *writer) write(c *daemon.Conn, topic int, n int64) error {
	w.encode(topic, n)
	offsets, err := c.Produce(topicName(topic), w.batches)
	if err != nil {
		return err
	}
	for p, o := range offsets {
		if o != n {
			return fmt.Errorf("partition %d of %s: message %d was put at offset %d", p, topicName(topic), n, o)
		}
	}
	return nil
}

func (w *writer) encode(topic int, n int64) {
	w.batches, w.buf = w.batches[:0], w.buf[:0]
	rec := []record.Record{{Timestamp: time.Now().UnixMilli(), Value: w.value}}
	size := 0
	for p := range w.opt.perTopic() {
		binary.BigEndian.PutUint64(w.value, uint64(topic))
		binary.BigEndian.PutUint64(w.value[8:], uint64(p))
		binary.BigEndian.PutUint64(w.value[16:], uint64(n))
		w.buf = record.Append(w.buf, record.BatchSpec{Records: rec})
		size = len(w.buf) / (p + 1) // all are of the same length
	}
	for p := range w.opt.perTopic() {
		w.batches = append(w.batches, daemon.Batch{Partition: int32(p), Bytes: w.buf[p*size:][:size]})
	}
}

// drain fetches all messages of one partition, checks them, and returns how
// long it took.
func (m *measurement) drain(c *daemon.Conn, topic, partition int) (time.Duration, error) {
	began, next := time.Now(), int64(0)
	for next < m.opt.perPartition() {
		fetched, _, err := c.Fetch(topicName(topic), int32(partition), next, 1<<20)
		if err != nil {
			return 0, err
		}
		before := next
		for b := range record.Batches(fetched) {
			err := record.Iterate(b, func(r record.Record) bool {
				v := r.Value
				if r.Offset != next || len(v) != m.opt.valueBytes || binary.BigEndian.Uint64(v) != uint64(topic) ||
					binary.BigEndian.Uint64(v[8:]) != uint64(partition) || binary.BigEndian.Uint64(v[16:]) != uint64(next) {
					return false
				}
				next++
				return true
			})
			if err != nil {
				return 0, err
			}
		}
		if next == before {
			return 0, fmt.Errorf("partition %d of %s: the message at offset %d is not there", partition, topicName(topic), next)
		}
	}
	return time.Since(began), nil
}
