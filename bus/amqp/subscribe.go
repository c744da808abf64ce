package amqp

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"

	"github.com/waxwing-mq/waxwing/bus"
	"github.com/waxwing-mq/waxwing/internal/killpoint"
	"github.com/waxwing-mq/waxwing/internal/lane"
)

// Subscribe is bus.Subscriber's. It reads the queue of each topic; without the
// option Exchange the group is of no account, since everybody shares a queue. A
// message is acknowledged when its handler has returned nil. When the connection
// is lost, handlers see their contexts end, and when they have returned the
// queues are read again, in which everything unacknowledged is back in its place.
// With PerPartition each queue is a lane. It gives up if the broker refuses the
// user, if a queue is not there and the bus does not declare, or if a queue is a
// stream (ErrStream).
func (b *Bus) Subscribe(ctx context.Context, sub bus.Subscription, h bus.Handler) error {
	if len(sub.Topics) == 0 || sub.Group == "" && b.cfg.exchange != "" {
		return errors.New("amqp: a subscription needs topics, and of an exchange also a group")
	}
	for nth := 1; ctx.Err() == nil; nth++ {
		l, err := dialUntil(ctx, &b.cfg)
		if err != nil {
			return unless(ctx, err)
		}
		worked, err := b.session(ctx, l, sub, h)
		if isRefused(err) || b.isMissing(err) {
			return unless(ctx, err)
		}
		if worked {
			nth = 1
		}
		select {
		case <-ctx.Done():
		case <-time.After(lane.Backoff(50*time.Millisecond, 5*time.Second, nth)):
		}
	}
	return nil
}

// unless is the error, unless ctx has ended, which is none.
func unless(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// isMissing says that what is to be read is not there, and nobody here will declare
// it, or is there as something else.
func (b *Bus) isMissing(err error) bool {
	var e *amqp091.Error
	return errors.Is(err, ErrStream) || errors.As(err, &e) && (e.Code == amqp091.NotFound && !b.cfg.declare || e.Code == amqp091.PreconditionFailed)
}

// errAckLost ends a session as a lost connection does, by order of a kill point.
var errAckLost = errors.New("amqp: an acknowledgement was lost")

// A session is what a subscription does on one connection.
type session struct {
	ctx    context.Context
	end    context.CancelCauseFunc
	link   *link
	source *lane.Source
	worked atomic.Bool // something was acknowledged
}

// session reads the queues until ctx ends or the connection does. It says whether
// something was acknowledged. The error is why it could not begin.
func (b *Bus) session(ctx context.Context, l *link, sub bus.Subscription, h bus.Handler) (bool, error) {
	s := &session{link: l}
	s.ctx, s.end = context.WithCancelCause(ctx)
	defer s.end(nil)
	s.source = lane.NewSource(s.ctx)
	runner := lane.NewRunner(sub, h)
	var lanes *lane.Lanes
	if !sub.PerPartition {
		lanes = lane.NewLanes(runner, sub.Lanes)
	}
	var readers sync.WaitGroup
	var err error
	for _, topic := range sub.Topics {
		var c *consumer
		if c, err = s.consume(b.queue(sub, topic), topic, b.prefetch(sub)); err != nil {
			break
		}
		mine := lanes
		if mine == nil {
			mine = lane.NewLanes(runner, 1)
		}
		readers.Go(func() { c.read(mine); s.source.End(); closeOwn(mine, lanes) })
	}
	if err == nil {
		<-s.ctx.Done()
	}
	s.end(err)
	s.source.End() // acknowledges what is done, while there is a connection
	l.close()      // which ends the readers
	readers.Wait()
	if lanes != nil {
		lanes.Close()
	}
	return s.worked.Load(), err
}

// closeOwn ends lanes that are not the common ones.
func closeOwn(mine, common *lane.Lanes) {
	if mine != common {
		mine.Close()
	}
}

// queue is the queue of a topic.
func (b *Bus) queue(sub bus.Subscription, topic string) string {
	if b.cfg.exchange == "" {
		return topic
	}
	return sub.Group + "." + topic
}

func (b *Bus) prefetch(sub bus.Subscription) int {
	if b.cfg.prefetch > 0 {
		return b.cfg.prefetch
	}
	return min(max(256, 32*sub.Lanes), 65535)
}

// A consumer reads one queue.
type consumer struct {
	s          *session
	ch         *amqp091.Channel
	topic      string // of its messages; with an exchange their routing keys are
	shared     bool   // others may be given messages of the queue at the same time
	deliveries <-chan amqp091.Delivery
}

// consume begins to read a queue.
func (s *session) consume(queue, topic string, prefetch int) (*consumer, error) {
	stop := context.AfterFunc(s.ctx, s.link.cut) // or a broker that does not answer holds us
	defer stop()
	asAsked, err := s.link.declare(queue, topic, true)
	if err != nil {
		return nil, fmt.Errorf("amqp: queue %q: %w", queue, err)
	}
	ch, err := s.link.conn.Channel()
	if err != nil {
		return nil, err
	}
	if err := ch.Qos(prefetch, 0, false); err != nil {
		return nil, err
	}
	c := &consumer{s: s, ch: ch, topic: topic, shared: !asAsked || s.link.cfg.args[singleActive] != true}
	if s.link.cfg.exchange != "" {
		c.topic = ""
	}
	if c.deliveries, err = ch.Consume(queue, "", false, false, false, false, nil); err != nil {
		return nil, fmt.Errorf("amqp: queue %q: %w", queue, err)
	}
	return c, nil
}

// read puts what comes into lanes until the connection, the channel or the
// consumer is at its end, and ends the session then.
func (c *consumer) read(lanes *lane.Lanes) {
	for d := range c.deliveries {
		topic := c.topic
		if topic == "" {
			topic = clean(d.RoutingKey)
		}
		it := &lane.Item{
			Delivery: bus.Delivery{Message: fromDelivery(&d, topic), Redelivered: d.Redelivered, Shared: c.shared},
			From:     c.s.source,
			Ack:      func() { c.ack(&d) },
			AckEarly: func() { c.ack(&d) },
			Left:     func() {},
		}
		lanes.Of(it.Delivery.Key, d.DeliveryTag).Put(it)
	}
	c.s.end(errors.New("amqp: the queue is no longer read"))
}

// clean is a routing key as databases take it for a text; foreign ones hold any bytes.
func clean(key string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(key, "\uFFFD"), "\x00", "\uFFFD")
}

// ack acknowledges a message. If that cannot be the session ends, and the message
// comes again.
func (c *consumer) ack(d *amqp091.Delivery) {
	err := killpoint.At(c.s.ctx, killpoint.Ack, killpoint.Before)
	if err == nil {
		err = d.Ack(false)
	}
	if err == nil {
		c.s.worked.Store(true)
		err = killpoint.At(c.s.ctx, killpoint.Ack, killpoint.After)
	}
	if err != nil {
		c.s.end(fmt.Errorf("%w: %w", errAckLost, err))
	}
}
