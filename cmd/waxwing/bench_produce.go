package main

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// benchProducer is one producing client. Its records are made once and used
// again when they have been acknowledged, so that the loop allocates nothing.
type benchProducer struct {
	run *benchRun
	id  int
	s   *session

	free    chan *benchRecord
	promise func(*kgo.Record, error)
	stop    context.CancelFunc // ends the sending of all at the first failure

	ledger  ledger    // the acknowledged records
	latency histogram // from due to acknowledged
	lag     histogram // from due to handed to the client, with --rate

	acked  atomic.Int64
	failed atomic.Int64
	err    atomic.Pointer[error] // the first failure
}

// benchRecord is a record under way. It travels through the client as the
// record's own context, so that the acknowledgement finds it again.
type benchRecord struct {
	context.Context
	record   kgo.Record
	due      time.Duration
	sequence uint64
}

func newBenchProducer(r *benchRun, id int, s *session) *benchProducer {
	p := &benchProducer{run: r, id: id, s: s, stop: func() {}}
	p.promise = p.finished
	rng := rand.New(rand.NewPCG(uint64(id), 1))
	n := r.flags.buffered
	if limit := benchBufferMax / r.flags.producers / max(int(r.flags.size), 1); n > limit {
		n = max(limit, 1)
	}
	p.free = make(chan *benchRecord, n)
	for range n {
		b := &benchRecord{Context: context.Background()}
		b.record.Value = newPayload(int(r.flags.size), rng)
		p.free <- b
	}
	return p
}

// benchBufferMax bounds the values that all producers hold, in bytes.
const benchBufferMax = 256 << 20

// warmUp sends one record to each topic and waits for the answers.
func (p *benchProducer) warmUp(ctx context.Context) error {
	ctx, cancel := p.s.limited(ctx)
	defer cancel()
	rng := rand.New(rand.NewPCG(uint64(p.id), 2))
	var records []*kgo.Record
	for _, topic := range p.run.topics {
		value := newPayload(int(p.run.flags.size), rng)
		stamp(value, p.run.id, 0, p.id, warmUpSequence)
		records = append(records, &kgo.Record{Topic: topic, Value: value})
	}
	for _, result := range p.s.cl.ProduceSync(ctx, records...) {
		if result.Err != nil {
			return topicError(result.Record.Topic, result.Err, "")
		}
	}
	return nil
}

// finished is the promise of every record.
func (p *benchProducer) finished(record *kgo.Record, err error) {
	b := record.Context.(*benchRecord)
	if err == nil {
		p.latency.record(p.run.now() - b.due)
		p.ledger.add(b.sequence)
		p.acked.Add(1)
	} else {
		if p.failed.Add(1) == 1 {
			p.err.Store(&err)
		}
		p.stop()
	}
	p.free <- b // never blocks: it has room for all
}

// send produces records until there have been n or, without a schedule, until
// the deadline (each unlimited if 0), or until ctx is over, and waits for the
// answers.
func (p *benchProducer) send(ctx, sending context.Context, n uint64, deadline time.Duration) error {
	pace := pacer{perSecond: p.run.flags.rate / float64(p.run.flags.producers), base: p.run.base, start: p.run.began}
	for sequence := uint64(0); (n == 0 || sequence < n) && sequence < ledgerMax; sequence++ {
		due := pace.wait(ctx, sequence)
		b := p.take(ctx)
		if b == nil {
			break
		}
		now := p.run.now()
		if pace.free() {
			due = now
		} else {
			p.lag.record(now - due)
		}
		if deadline > 0 && now >= deadline {
			p.free <- b
			break
		}
		b.due, b.sequence = due, sequence
		stamp(b.record.Value, p.run.id, due, p.id, sequence)
		b.record = kgo.Record{
			Topic:   p.run.topics[sequence%uint64(len(p.run.topics))],
			Value:   b.record.Value,
			Context: b,
		}
		p.s.cl.Produce(sending, &b.record, p.promise)
	}
	return p.s.cl.Flush(sending)
}

// take waits for a record that is not under way; nil when ctx is over.
func (p *benchProducer) take(ctx context.Context) *benchRecord {
	select {
	case b := <-p.free:
		if ctx.Err() == nil {
			return b
		}
		p.free <- b
		return nil
	default:
	}
	select {
	case b := <-p.free:
		return b
	case <-ctx.Done():
		return nil
	}
}

// produce runs all producers to their end.
func (r *benchRun) produce(outer context.Context) error {
	ctx, stop := context.WithCancel(outer)
	defer stop()
	for _, p := range r.producers {
		p.stop = stop
	}
	ticker := r.startProgress()
	r.wire.on.Store(true)
	r.began = r.now()
	var wg sync.WaitGroup
	errs := make([]error, len(r.producers))
	for i, p := range r.producers {
		wg.Go(func() { errs[i] = p.sendWatched(outer, ctx, stop, i) })
	}
	wg.Wait()
	r.done = r.now()
	ticker.stop()
	r.interrupted = outer.Err() != nil
	return errors.Join(errs...)
}

// sendWatched is send, given up when the broker is gone for too long. A signal
// ends the sending, not the wait for the answers.
func (p *benchProducer) sendWatched(outer, ctx context.Context, stop context.CancelFunc, i int) error {
	sending, cancel := p.s.watched(context.WithoutCancel(outer))
	defer cancel()
	defer context.AfterFunc(sending, stop)()
	n, deadline := p.run.goal(i)
	err := p.send(ctx, sending, n, deadline)
	if gone := lost(sending); gone != nil {
		return gone
	}
	return err
}

// goal is how many records producer i sends and when it stops; 0 is no limit.
func (r *benchRun) goal(i int) (n uint64, deadline time.Duration) {
	return benchGoal(r.flags.records, r.flags.duration, r.flags.rate, r.began, i, len(r.producers))
}

// benchGoal is the share of client i of several. On a schedule, a duration is a
// number of records: a broker that is too slow gets all of them, late, and not
// fewer.
func benchGoal(records int64, duration time.Duration, rate float64, began time.Duration, i, clients int) (n uint64, deadline time.Duration) {
	if duration > 0 {
		if rate == 0 {
			return 0, began + duration
		}
		records = max(int64(rate*duration.Seconds()), 1)
	}
	n = uint64(records) / uint64(clients)
	if uint64(i) < uint64(records)%uint64(clients) {
		n++
	}
	return n, 0
}
