// Package bus is what the SDK sends and receives through: one small interface,
// implemented by bus/kafka and bus/amqp.
package bus

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// A Message is an event or a command, with the attributes of CloudEvents 1.0 that
// the SDK uses. The implementations say in their documentation where each goes.
type Message struct {
	// Topic is where it goes: a topic of Kafka; with AMQP a queue or a routing key.
	Topic string
	// Key is what it is about. Messages with the same key of the same topic stay in
	// order. It may hold any bytes; without a key there is no order.
	Key string

	ID          string    // of the event (CloudEvents' id); unique within Source
	Source      string    // which service it is from (CloudEvents' source); may be empty
	Type        string    // such as "order.placed" (CloudEvents' type)
	Time        time.Time // of the event; zero if unknown
	ContentType string    // of Body, such as "application/json"

	Headers []Header // further ones, in order, in which a name may come again
	Body    []byte
}

// A Header is a name and a value, which may hold any bytes.
type Header struct {
	Name  string
	Value []byte
}

// Header is the value of the last header of that name, nil if there is none. It
// is the message's own.
func (m *Message) Header(name string) []byte {
	for i := len(m.Headers) - 1; i >= 0; i-- {
		if m.Headers[i].Name == name {
			return m.Headers[i].Value
		}
	}
	return nil
}

// SetHeader replaces all headers of that name by one.
func (m *Message) SetHeader(name string, value []byte) {
	kept := m.Headers[:0:0] // the old slice may be another message's too
	for _, h := range m.Headers {
		if h.Name != name {
			kept = append(kept, h)
		}
	}
	m.Headers = append(kept, Header{name, value})
}

// A Publisher sends messages.
type Publisher interface {
	// Publish sends messages and returns when each is durable at the broker or has
	// failed. It returns nil if all are durable, and an error that is a *PublishError
	// if some are, or may be, not. Of messages with the same topic and key, none is
	// durable unless those before it in the batch are. It keeps no reference to what
	// msgs hold. It may be called by several goroutines, whose batches are not
	// ordered among each other.
	Publish(ctx context.Context, msgs []Message) error
	// System is what it speaks, by OpenTelemetry's names: "kafka" or "rabbitmq".
	System() string
}

// A PublishError says which messages of a batch failed.
type PublishError struct {
	// Errs is as long as the batch: nil for a message that is durable. One that
	// failed may be at the broker nevertheless, if its acknowledgement was lost.
	Errs []error
}

func (e *PublishError) Error() string {
	n, first := 0, error(nil)
	for _, err := range e.Errs {
		if err != nil {
			n++
			if first == nil {
				first = err
			}
		}
	}
	return fmt.Sprintf("bus: %d of %d messages were not published: %v", n, len(e.Errs), first)
}

// Unwrap are the errors of the messages that failed.
func (e *PublishError) Unwrap() (out []error) {
	for _, err := range e.Errs {
		if err != nil {
			out = append(out, err)
		}
	}
	return out
}

// Failed is the error of message i of a batch for which Publish returned err: nil
// if it is durable.
func Failed(err error, i int) error {
	var some *PublishError
	if errors.As(err, &some) {
		return some.Errs[i]
	}
	return err
}

// A Subscriber receives messages.
type Subscriber interface {
	// Subscribe hands the messages of the subscription to h, until ctx ends, which is
	// no error, or the subscription cannot go on. Connections that are lost are made
	// again meanwhile. It returns when no call of h runs any more.
	Subscribe(ctx context.Context, s Subscription, h Handler) error
	// System is what it speaks, by OpenTelemetry's names: "kafka" or "rabbitmq".
	System() string
}

// A Bus does both.
type Bus interface {
	Publisher
	Subscriber
	// Close ends it once calls of Publish under way have returned. Subscriptions
	// must have ended.
	Close() error
}

// A Handler handles messages that wait in a lane, in their order: one, or with
// Subscription.Batch several. It returns how many of the first are done. These are
// acknowledged: they do not come again, unless the acknowledgement is lost.
//
// Without an error the others are handed over again at once. With one, those that
// were handed over together come again at once, each alone; one that was alone comes
// again after a pause, and those behind it in its lane wait. Each makes a handler of
// a function for one message.
//
// ctx ends with the subscription, and with the connection or a partition that the
// messages came by; a handler should end then, since somebody else may be given them.
// It must not keep what it is given.
type Handler func(ctx context.Context, ds []*Delivery) (done int, err error)

// Each is a handler that has h handle one message after the other, up to the first for
// which it returns an error.
func Each(h func(ctx context.Context, d *Delivery) error) Handler {
	return func(ctx context.Context, ds []*Delivery) (done int, err error) {
		for _, d := range ds {
			if err := h(ctx, d); err != nil {
				return done, err
			}
			done++
		}
		return done, nil
	}
}

// A Subscription says what is wanted.
type Subscription struct {
	// Group is the name under which positions are kept, and work is shared with others
	// of that name: a consumer group of Kafka. With AMQP it names the queues.
	Group string
	// Topics are what is read.
	Topics []string
	// Lanes is how many messages may be handled at once, 1 by default. Messages with
	// the same key are in the same lane, in which one is handled after the other.
	Lanes int
	// PerPartition makes each partition of a log a lane, instead of Lanes by key.
	PerPartition bool
	// Batch is how many messages a handler is given at once at most, 1 by default: those
	// that wait in its lane at that moment. Nobody waits for a batch to become full, and
	// after one that failed the next ones are smaller for a while.
	Batch int
	// RetryMin and RetryMax bound the pause before a message whose handler failed
	// comes again, which doubles each time: by default 100 ms and 30 s.
	RetryMin, RetryMax time.Duration
}

// A Delivery is a message that comes.
type Delivery struct {
	Message
	// Position is where it is in a log; nil if it comes from a queue.
	Position *Position
	// Redelivered says that it may have come before, as far as the broker knows.
	Redelivered bool
	// Shared says that somebody else may be handed messages of the same key at the same
	// time, as far as the subscription knows: they are in no order then.
	Shared bool
	// Attempt is the how manyth time this process hands it to the handler, from 1. When
	// it was handed over together with others does not count.
	Attempt int
}

// A Position is a place in a partition of a topic.
type Position struct {
	Topic     string
	Partition int32
	Offset    int64
}

func (p *Position) String() string { return fmt.Sprintf("%s/%d/%d", p.Topic, p.Partition, p.Offset) }

// HeaderSequence is the name of the header by which the SDK's outbox says where a
// message stands among those of its key: "epoch:number". The number grows from one
// message of a key to the next within an epoch.
const HeaderSequence = "waxwing-sequence"
