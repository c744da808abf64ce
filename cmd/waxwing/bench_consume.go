package main

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// benchPass is one reading of all records by a set of consumers.
type benchPass struct {
	run       *benchRun
	consumers []*session
	cancel    context.CancelFunc
	wg        sync.WaitGroup
	err       atomic.Pointer[error] // the first failure

	ledgers    []ledger  // what came, by producer
	latency    histogram // from due to received
	received   atomic.Int64
	duplicates atomic.Int64
	bytes      atomic.Int64
	began      time.Duration // since the run's base
	last       atomic.Int64  // when the last record came, likewise
}

// startPass connects the consumers, from where the logs ended when the run
// began, and returns when each has asked for records.
func (r *benchRun) startPass(outer context.Context) (*benchPass, error) {
	p := &benchPass{run: r, ledgers: make([]ledger, len(r.producers))}
	ctx, cancel := context.WithCancel(outer)
	p.cancel = cancel
	p.began = r.now()
	p.last.Store(int64(p.began))
	for _, partitions := range r.assign() {
		if len(partitions) == 0 {
			continue // more consumers than partitions
		}
		started := &fetchStarted{done: make(chan struct{})}
		s, err := r.flags.conn.open(ctx, kgo.ConsumePartitions(partitions), kgo.WithHooks(started))
		if err != nil {
			p.close()
			return nil, err
		}
		p.consumers = append(p.consumers, s)
		p.wg.Go(func() { p.consume(ctx, s) })
		select {
		case <-started.done:
		case <-time.After(s.timeout):
			p.close()
			return nil, fmt.Errorf("the consumer got no partitions within %s", s.timeout)
		case <-outer.Done():
			p.close()
			return nil, errInterrupted
		}
	}
	return p, nil
}

// assign shares the partitions out among the consumers.
func (r *benchRun) assign() []map[string]map[int32]kgo.Offset {
	shares := make([]map[string]map[int32]kgo.Offset, r.flags.consumers)
	for i := range shares {
		shares[i] = map[string]map[int32]kgo.Offset{}
	}
	next := 0
	for _, topic := range r.topics {
		for partition, o := range r.starts[topic] {
			share := shares[next%len(shares)]
			next++
			if share[topic] == nil {
				share[topic] = map[int32]kgo.Offset{}
			}
			share[topic][partition] = kgo.NewOffset().At(o.Offset)
		}
	}
	return shares
}

// consume receives records until ctx is over.
func (p *benchPass) consume(ctx context.Context, s *session) {
	for ctx.Err() == nil {
		fetches := s.cl.PollFetches(ctx)
		now := p.run.now()
		if err := fetchError(fetches); err != nil {
			p.err.CompareAndSwap(nil, &err)
			return
		}
		fresh, bytes := int64(0), int64(0)
		fetches.EachRecord(func(record *kgo.Record) {
			if p.count(record, now) {
				fresh++
				bytes += int64(len(record.Value))
			}
		})
		if fresh > 0 {
			p.bytes.Add(bytes)
			p.received.Add(fresh)
			p.last.Store(int64(now))
		}
	}
}

// count notes one record and reports whether it is one of the run's, for the
// first time.
func (p *benchPass) count(record *kgo.Record, now time.Duration) bool {
	due, producer, sequence, ok := readStamp(record.Value, p.run.id)
	if !ok || sequence >= ledgerMax || producer >= len(p.ledgers) {
		return false // another's, or a warm-up record
	}
	if !p.ledgers[producer].add(sequence) {
		p.duplicates.Add(1)
		return false
	}
	p.latency.record(now - due)
	return true
}

// finishPass waits until every acknowledged record has come, or until none has
// come for the time limit, and stops the consumers.
func (r *benchRun) finishPass(outer context.Context, p *benchPass) error {
	defer p.close()
	ticker := r.startProgress()
	defer ticker.stop()
	acked, _ := r.acked()
	idleFrom := r.now()
	for p.received.Load() < acked || p.lost() > 0 {
		if err := p.err.Load(); err != nil {
			return *err
		}
		idleFrom = max(idleFrom, time.Duration(p.last.Load()))
		if r.now()-idleFrom > r.flags.conn.timeout {
			return nil // lost says how many are missing
		}
		select {
		case <-outer.Done():
			return errInterrupted
		case <-time.After(2 * time.Millisecond):
		}
	}
	return nil
}

// lost counts the records that were acknowledged and have not come.
func (p *benchPass) lost() int64 {
	var n int64
	for i, producer := range p.run.producers {
		n += producer.ledger.missing(&p.ledgers[i])
	}
	return n
}

// close stops the consumers; it may be called again.
func (p *benchPass) close() {
	p.cancel()
	p.wg.Wait()
	for _, s := range p.consumers {
		s.close()
	}
	p.consumers = nil
}
