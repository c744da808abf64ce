package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/waxwing-mq/waxwing/bus"
)

// How much goes into one flush. A larger batch of a caller is sent in parts.
const (
	flushMessages = 4096
	flushBytes    = 16 << 20
)

// ErrEarlier is in the error of a message that was not sent, because one before it
// with the same topic and key failed.
var ErrEarlier = errors.New("kafka: an earlier message of this key was not published")

// A producer sends batches of several callers together, one flush after the
// other. Nothing is added while a flush runs. That is what keeps keys in order:
// the client fails everything it holds of a partition when a batch of the
// partition fails, so that nothing behind a message that failed is written as long
// as all of it was there before the flush began.
type producer struct {
	cl    *kgo.Client
	limit func(topic string) int32 // of a batch, in bytes

	mu     sync.Mutex
	queue  []*part
	wake   chan struct{}
	closed chan struct{} // closed by close
	ended  chan struct{} // closed when its goroutine has ended
}

// A part is what one caller sends in one flush.
type part struct {
	ctx     context.Context
	entries []*entry
	bytes   int
	done    chan struct{} // closed when each entry has its error
}

// An entry is a message under way. Once part.done is closed, err is fixed.
type entry struct {
	key entryKey
	rec *kgo.Record
	err error
}

type entryKey struct{ topic, key string }

func producerOptions() []kgo.Opt {
	return []kgo.Opt{
		kgo.ManualFlushing(),
		kgo.ProducerLinger(0),
		kgo.MaxBufferedRecords(4 * flushMessages),
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)),
		kgo.RecordDeliveryTimeout(30 * time.Second),
		kgo.AllowIdempotentProduceCancellation(), // or that timeout does not hold
	}
}

func newProducer(opts []kgo.Opt) (*producer, error) {
	cl, err := kgo.NewClient(opts...)
	if err != nil {
		return nil, err
	}
	p := &producer{cl: cl, wake: make(chan struct{}, 1), closed: make(chan struct{}), ended: make(chan struct{})}
	p.limit = cl.OptValue(kgo.ProducerBatchMaxBytesFn).(func(string) int32)
	go p.run()
	return p, nil
}

// close ends the goroutine. Nobody may be in publish; what they left when their
// contexts ended fails.
func (p *producer) close() {
	close(p.closed)
	p.cl.Close()
	<-p.ended
}

// publish sends a batch, in parts if it is large.
func (p *producer) publish(ctx context.Context, msgs []bus.Message) error {
	errs := make([]error, len(msgs))
	failed := map[entryKey]bool{}
	for from := 0; from < len(msgs); {
		part, of := p.cut(ctx, msgs, from, failed, errs)
		from = of.next
		p.send(part)
		for i, e := range part.entries {
			select {
			case <-part.done:
				errs[of.index[i]] = e.err
			default:
				errs[of.index[i]] = ctx.Err()
			}
			if errs[of.index[i]] != nil && e.key.key != "" {
				failed[e.key] = true
			}
		}
	}
	for _, err := range errs {
		if err != nil {
			return &bus.PublishError{Errs: errs}
		}
	}
	return nil
}

// span says which messages of a batch a part holds, and where the next begins.
type span struct {
	index []int
	next  int
}

// cut makes a part of the messages from one on. It leaves those out that are too
// large, or whose key has failed, and sets their errors.
func (p *producer) cut(ctx context.Context, msgs []bus.Message, from int, failed map[entryKey]bool, errs []error) (*part, span) {
	out, of := &part{ctx: ctx, done: make(chan struct{})}, span{}
	i := from
	for ; i < len(msgs) && len(out.entries) < flushMessages && out.bytes < flushBytes; i++ {
		key := entryKey{msgs[i].Topic, msgs[i].Key}
		if failed[key] {
			errs[i] = ErrEarlier
			continue
		}
		rec := toRecord(&msgs[i])
		size := sizeMax(rec)
		if errs[i] = p.fits(rec, size); errs[i] != nil {
			if key.key != "" {
				failed[key] = true
			}
			continue
		}
		out.entries, of.index, out.bytes = append(out.entries, &entry{key: key, rec: rec}), append(of.index, i), out.bytes+size
	}
	of.next = i
	return out, of
}

// fits says why the client would fail a record before it is sent. It would do that
// to the record alone, and those of its key behind it would go out.
func (p *producer) fits(rec *kgo.Record, size int) error {
	if rec.Topic == "" {
		return errors.New("kafka: a message has no topic")
	}
	if limit := int(p.limit(rec.Topic)); size > limit {
		return fmt.Errorf("kafka: %w: up to %d bytes, the client's limit is %d", kerr.MessageTooLarge, size, limit)
	}
	return nil
}

// send queues a part and waits until it is done or its context ends.
func (p *producer) send(c *part) {
	if len(c.entries) == 0 || c.ctx.Err() != nil {
		return
	}
	p.mu.Lock()
	p.queue = append(p.queue, c)
	p.mu.Unlock()
	select {
	case p.wake <- struct{}{}:
	default:
	}
	select {
	case <-c.done:
	case <-c.ctx.Done():
	}
}

// run sends what is queued until close.
func (p *producer) run() {
	defer close(p.ended)
	for {
		select {
		case <-p.closed:
			return
		case <-p.wake:
		}
		for parts := p.take(); parts != nil; parts = p.take() {
			p.deliver(parts)
		}
	}
}

// take takes as many parts from the queue as one flush may hold, at least one.
// Parts whose callers have gone are dropped.
func (p *producer) take() (out []*part) {
	p.mu.Lock()
	defer p.mu.Unlock()
	messages, bytes := 0, 0
	for len(p.queue) > 0 {
		c := p.queue[0]
		if c.ctx.Err() == nil {
			messages, bytes = messages+len(c.entries), bytes+c.bytes
			if len(out) > 0 && (messages > flushMessages || bytes > flushBytes) {
				break
			}
			out = append(out, c)
		}
		p.queue = p.queue[1:]
	}
	return out
}

// deliver sends parts in one flush. A refusal by the broker concerns a whole batch
// of records, of which perhaps one is at fault; those are sent again in smaller
// and smaller numbers, until each message has an answer of its own.
func (p *producer) deliver(parts []*part) {
	var all []*entry
	for _, c := range parts {
		all = append(all, c.entries...)
	}
	p.flush(all)
	type partition struct {
		topic  string
		number int32
	}
	refused := map[partition][]*entry{}
	for _, e := range all {
		if isRefusal(e.err) {
			at := partition{e.rec.Topic, e.rec.Partition}
			refused[at] = append(refused[at], e)
		}
	}
	for _, entries := range refused {
		p.narrow(entries, map[entryKey]bool{})
	}
	for _, c := range parts {
		close(c.done)
	}
}

// isRefusal says whether the broker refused a batch for what is in it.
func isRefusal(err error) bool {
	for _, e := range []error{kerr.MessageTooLarge, kerr.RecordListTooLarge, kerr.InvalidRecord, kerr.InvalidTimestamp, kerr.UnsupportedForMessageFormat} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// narrow sends what was refused of one partition again, in halves, and leaves out
// what comes behind a message of its key that failed. A single one has its answer.
func (p *producer) narrow(entries []*entry, failed map[entryKey]bool) {
	if len(entries) < 2 {
		return
	}
	for _, half := range [][]*entry{entries[:len(entries)/2], entries[len(entries)/2:]} {
		var again []*entry
		for _, e := range half {
			if failed[e.key] {
				e.err = ErrEarlier
				continue
			}
			again = append(again, e)
		}
		p.flush(again)
		if at := slices.IndexFunc(again, func(e *entry) bool { return isRefusal(e.err) }); at >= 0 {
			p.narrow(again[at:], failed)
		}
		for _, e := range again {
			if e.err != nil && e.key.key != "" {
				failed[e.key] = true
			}
		}
	}
}

// flush sends records and waits until each has its error.
func (p *producer) flush(entries []*entry) {
	var left sync.WaitGroup
	left.Add(len(entries))
	for _, e := range entries {
		again := *e.rec // a record that was sent cannot be sent again
		again.Context, again.Timestamp = nil, time.Time{}
		p.cl.Produce(context.Background(), &again, func(r *kgo.Record, err error) {
			e.rec.Partition, e.err = r.Partition, err
			left.Done()
		})
	}
	_ = p.cl.Flush(context.Background()) // ends with the client's timeout for records, or with the client
	left.Wait()
}
