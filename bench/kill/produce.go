package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// source is one producing client. It sends numbered records to random
// partitions and tells the ledgers what it is told.
type source struct {
	id         int
	idempotent bool
	t          *trial
	cl         *kgo.Client
	rng        *rand.Rand
	sent       []uint64 // by partition; belongs to run until it has ended
	acked      atomic.Int64
	values     sync.Pool // of *[]byte: the client lets go of a value when it is answered
}

// sources are the producers of a run: the last is without idempotence. Every
// other one compresses, with the codec that costs least under the race detector.
const sources = 4

func idempotence() []bool {
	var is []bool
	for i := range sources {
		is = append(is, i < sources-1)
	}
	return is
}

func newSource(t *trial, id int) (*source, error) {
	s := &source{
		id: id, idempotent: idempotence()[id], t: t,
		rng:    rand.New(rand.NewPCG(t.opt.seed, uint64(id))),
		sent:   make([]uint64, t.opt.partitions),
		values: sync.Pool{New: func() any { return new([]byte) }},
	}
	codecs := []kgo.CompressionCodec{kgo.NoCompression(), kgo.SnappyCompression()}
	opts := []kgo.Opt{
		kgo.DefaultProduceTopic(topicName), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.RequiredAcks(kgo.AllISRAcks()), kgo.ProducerBatchCompression(codecs[id%len(codecs)]),
		kgo.ProducerLinger(time.Millisecond), kgo.MaxBufferedRecords(4000), kgo.MaxBufferedBytes(16 << 20),
		kgo.UnknownTopicRetries(-1),
	}
	if s.idempotent {
		opts = append(opts, kgo.StopProducerOnDataLossDetected())
	} else {
		// More than one request at a time could change the order.
		opts = append(opts, kgo.DisableIdempotentWrite(), kgo.MaxProduceRequestsInflightPerBroker(1))
	}
	cl, err := newClient(t.cfg.Kafka, opts...)
	s.cl = cl
	return s, err
}

const (
	burstMax      = 64
	pauseMax      = 8 * time.Millisecond
	lightFiller   = 600
	heavyFiller   = 16 << 10
	heavyShare    = 8 // of a burst's records are sent in a heavy round
	flushDeadline = giveUpAfter
)

// run sends bursts of records until sending is over, and waits for the
// answers.
func (s *source) run(sending context.Context) error {
	for sending.Err() == nil {
		n, size, pause := 1+s.rng.IntN(burstMax), lightFiller, below(s.rng, pauseMax)
		if s.t.heavy.Load() {
			n, size, pause = n/heavyShare+1, heavyFiller, 0
		}
		for range n {
			s.send(s.rng.IntN(size))
		}
		sleep(sending, pause)
	}
	ctx, cancel := context.WithTimeout(s.t.ctx, flushDeadline)
	defer cancel()
	if err := s.cl.Flush(ctx); err != nil {
		return fmt.Errorf("producer %d still waits for answers: %w", s.id, err)
	}
	return nil
}

// send hands one record to the client. It may block while many are under way,
// but is not cut short: what the client has not taken would count as unknown.
func (s *source) send(fillerBytes int) {
	p := int32(s.rng.IntN(len(s.sent)))
	id := newIdent(s.id, s.sent[p])
	s.sent[p]++
	v := s.values.Get().(*[]byte)
	r := &kgo.Record{Partition: p, Value: appendValue((*v)[:0], id, p, fillerBytes)}
	s.cl.Produce(context.Background(), r, func(r *kgo.Record, err error) {
		s.answered(r, err)
		*v = r.Value
		s.values.Put(v)
	})
}

// answered is called for each record, acknowledged or given up.
func (s *source) answered(r *kgo.Record, err error) {
	id, bad := decodeValue(r.Value, r.Partition)
	if bad != nil {
		s.t.broke(fmt.Errorf("the client changed a record: %w", bad))
		return
	}
	l := s.t.ledgers[r.Partition]
	switch {
	case err == nil:
		s.acked.Add(1)
		if err := l.acknowledge(r.Offset, id); err != nil {
			s.t.broke(err)
		}
	case forgotten(err):
		s.t.broke(fmt.Errorf("partition %d: the broker does not know where producer %d stands (at %v): %w", r.Partition, s.id, id, err))
	default:
		l.lose(id, err)
	}
}

// forgotten reports whether the broker has refused a batch of an idempotent
// producer because of what it remembers of it. Other errors are the client's
// own bookkeeping: whether the record is stored is then unknown.
func forgotten(err error) bool {
	for _, e := range []error{kerr.OutOfOrderSequenceNumber, kerr.UnknownProducerID, kerr.InvalidProducerEpoch, kerr.InvalidProducerIDMapping} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
