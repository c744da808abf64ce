// Package amqp is a bus over AMQP 0-9-1, by amqp091-go with publisher confirms,
// for Waxwing and RabbitMQ.
//
// CloudEvents have a binding for AMQP 1.0 only. For 0-9-1 this package maps a
// message so:
//
//	Topic        the queue's name, published to through the default exchange; with the option Exchange the routing key
//	Key          header waxwing-key, bytes
//	ID           property message-id and header ce_id
//	Source       header ce_source
//	Type         property type and header ce_type
//	Time         property timestamp, in seconds, and header ce_time, RFC 3339 with up to nine digits of a second
//	ContentType  property content-type
//	Headers      headers, bytes; those of a name that comes several times are an array under that name
//	Body         the body
//
// with the header ce_specversion "1.0" if there is an ID. Properties hold at most
// 255 bytes; an ID or a type that is longer is in its header only. Messages are
// persistent and mandatory. Reading is lenient: headers go before properties, what
// is not there is empty, and values of other types than bytes and text are in
// Headers as text. A header comes out behind those whose names sort before its own:
// tables have no order of names, only the values of one name keep theirs. The
// property app-id is the Source of a message without ce_source.
//
// # Order
//
// A queue keeps its messages in order, and puts those that a lost connection leaves
// unacknowledged back where they were. Two consumers of a queue would nevertheless
// handle one key at the same time. Therefore queues that this package declares
// have a single active consumer: of several processes one works and the others
// stand by, until it goes. SharedQueues turns that off, for messages whose order
// does not matter. Deliveries from queues that this package has not declared so are
// Shared.
//
// # Streams
//
// Publish may name a stream; in Waxwing the records of its topic then have no key,
// which is in the header waxwing-key only. Subscribe refuses a stream (ErrStream): it
// would begin behind what is there. (One of RabbitMQ that was declared with further
// arguments, such as x-max-age, may not be told apart from other queues.) In Waxwing
// each topic of Kafka clients is a stream, so that bus/kafka and this package cannot
// receive under the same names at one broker.
package amqp

import (
	"context"
	"crypto/tls"
	"errors"
	"sync"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"

	"github.com/waxwing-mq/waxwing/bus"
)

// Option changes a Bus.
type Option func(*config)

type config struct {
	url            string
	tls            *tls.Config
	sasl           []amqp091.Authentication
	exchange       string
	exchangeKind   string
	declare        bool
	args           amqp091.Table
	prefetch       int
	connectTimeout time.Duration
}

// Exchange has messages go to an exchange of that name with their topic as
// routing key, instead of to the queue of the topic's name. A subscription then
// reads the durable queue "<Group>.<Topic>", bound by the topic, in which "*" and
// "#" are the patterns of a topic exchange. The exchange is declared, durable and
// of that kind ("topic", "direct", "fanout", "x-consistent-hash"). A message fails
// while no queue is bound that takes it.
func Exchange(name, kind string) Option {
	return func(c *config) { c.exchange, c.exchangeKind = name, kind }
}

// Quorum has queues declared as quorum queues. RabbitMQ from 4.0 on drops a
// message that was returned 20 times to one of these, unless a policy or the
// argument x-delivery-limit says otherwise; each lost connection is a return.
func Quorum() Option {
	return func(c *config) { c.args["x-queue-type"] = "quorum" }
}

// singleActive is the argument by which a queue has one consumer at a time.
const singleActive = "x-single-active-consumer"

// SharedQueues has queues declared without a single active consumer: several
// processes work on a queue at once, and keys are in no order among them.
func SharedQueues() Option {
	return func(c *config) { delete(c.args, singleActive) }
}

// QueueArguments adds arguments to the declaration of queues, such as
// "x-dead-letter-exchange", of the types that AMQP's tables hold.
func QueueArguments(args map[string]any) Option {
	return func(c *config) {
		for k, v := range args {
			c.args[k] = v
		}
	}
}

// NoDeclare has the bus declare nothing; queues, exchanges and bindings must be
// there. By default Publish and Subscribe declare what they use, durable. A queue
// that is there with other arguments is used as it is, but a subscription refuses a
// stream (ErrStream); with NoDeclare it cannot tell, and must not be given one.
func NoDeclare() Option {
	return func(c *config) { c.declare = false }
}

// Prefetch is how many messages of a queue a subscription holds, acknowledged or
// not: 256 by default, or 32 for each lane if that is more. Behind a message that
// fails again and again the others go on up to that limit.
func Prefetch(n int) Option {
	return func(c *config) { c.prefetch = min(max(n, 1), 65535) }
}

// TLS is for amqps URLs.
func TLS(t *tls.Config) Option {
	return func(c *config) { c.tls = t }
}

// SASL authenticates otherwise than by the URL's user and password.
func SASL(mechanisms ...amqp091.Authentication) Option {
	return func(c *config) { c.sasl = mechanisms }
}

// ConnectTimeout is for how long Publish tries to connect before it fails; 30 s by
// default. Subscriptions try until their context ends.
func ConnectTimeout(d time.Duration) Option {
	return func(c *config) { c.connectTimeout = d }
}

// Bus is a bus.Bus over AMQP 0-9-1. Its methods may be called by several
// goroutines.
type Bus struct {
	cfg config

	turn chan struct{} // holds one while nobody makes a publishing connection
	mu   sync.Mutex    // of what follows
	link *link         // the connection on which messages are published, nil if there is none
	gone bool          // Close was called
	used sync.WaitGroup
}

var _ bus.Bus = (*Bus)(nil)

// ErrStream is the error of a subscription to a queue that is a stream, as a topic of
// Kafka clients is in Waxwing. A stream keeps no place for whoever reads it: what was
// published while nobody read would be lost.
var ErrStream = errors.New("amqp: it is a stream or a Kafka topic, which keeps no place for a subscription; take another name, or read it through bus/kafka")

// ErrClosed is the error of a bus that was closed.
var ErrClosed = errors.New("amqp: the bus is closed")

// New makes a bus for an AMQP URL (amqp://user:password@host:port/vhost). It
// connects when it is first used; the error is of the URL.
func New(url string, opts ...Option) (*Bus, error) {
	if _, err := amqp091.ParseURI(url); err != nil {
		return nil, err
	}
	b := &Bus{turn: make(chan struct{}, 1), cfg: config{url: url, declare: true, prefetch: 0, connectTimeout: 30 * time.Second,
		args: amqp091.Table{singleActive: true}}}
	b.turn <- struct{}{}
	for _, o := range opts {
		o(&b.cfg)
	}
	return b, nil
}

// System is "rabbitmq".
func (b *Bus) System() string { return "rabbitmq" }

// Publish is bus.Publisher's. Messages of different keys are on their way at the
// same time; of those with the same topic and key the next goes when the one
// before it is confirmed. A message fails if the broker refuses it (by a nack, as a
// full queue that rejects does, or by closing the channel), if it fits no queue,
// if the connection is lost before its confirm, or when ctx ends.
func (b *Bus) Publish(ctx context.Context, msgs []bus.Message) error {
	b.mu.Lock()
	if b.gone {
		b.mu.Unlock()
		return ErrClosed
	}
	b.used.Add(1)
	b.mu.Unlock()
	defer b.used.Done()
	return b.publish(ctx, msgs)
}

// Close waits for calls of Publish and closes the connection.
func (b *Bus) Close() error {
	b.mu.Lock()
	b.gone = true
	b.mu.Unlock()
	b.used.Wait()
	b.mu.Lock()
	l := b.link
	b.link = nil
	b.mu.Unlock()
	if l != nil {
		l.close()
	}
	return nil
}
