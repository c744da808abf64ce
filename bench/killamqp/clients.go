package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

const (
	exchange     = "kill"
	classicQueue = "classic"
	quorumQueue  = "quorum"
	// window is how many messages of a publisher are not confirmed yet.
	window = 100
	// prefetch is how many messages a consumer holds.
	prefetch = 60
)

// dial waits until the broker lets somebody in.
func dial(ctx context.Context, addr string) (*amqp.Connection, error) {
	for {
		conn, err := amqp.DialConfig("amqp://guest:guest@"+addr+"/", amqp.Config{Heartbeat: 10 * time.Second, Locale: "en_US"})
		if err == nil {
			return conn, nil
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// deadOf is the queue that gets the dead letters of another.
func deadOf(queue string) string { return "dead-" + queue }

// declare makes exchange and queues; they may be there.
func declare(ch *amqp.Channel) error {
	if err := ch.ExchangeDeclare(exchange, "fanout", true, false, false, false, nil); err != nil {
		return err
	}
	for name, kind := range map[string]string{classicQueue: "classic", quorumQueue: "quorum"} {
		if _, err := ch.QueueDeclare(deadOf(name), true, false, false, false, amqp.Table{"x-queue-type": kind}); err != nil {
			return err
		}
		args := amqp.Table{"x-queue-type": kind, "x-dead-letter-exchange": "", "x-dead-letter-routing-key": deadOf(name)}
		if _, err := ch.QueueDeclare(name, true, false, false, false, args); err != nil {
			return err
		}
		if err := ch.QueueBind(name, "", exchange, false, nil); err != nil {
			return err
		}
	}
	return nil
}

// publish publishes until ctx is done, over as many connections as it takes.
func publish(ctx context.Context, l *ledger, addr string, publisher uint32) {
	for ctx.Err() == nil && l.failed() == nil {
		conn, err := dial(ctx, addr)
		if err != nil {
			return
		}
		_ = publishOn(ctx, l, conn, publisher) // the broker was killed, or ctx ended
		conn.Close()
	}
}

func publishOn(ctx context.Context, l *ledger, conn *amqp.Connection, publisher uint32) error {
	ch, err := conn.Channel()
	if err != nil {
		return err
	}
	if err := ch.Confirm(false); err != nil {
		return err
	}
	if err := declare(ch); err != nil {
		return err
	}
	confirms := ch.NotifyPublish(make(chan amqp.Confirmation, window+1))
	closed := ch.NotifyClose(make(chan *amqp.Error, 1))
	under := make(map[uint64]message)
	for tag := uint64(1); ; {
		if len(under) < window && ctx.Err() == nil {
			m := l.next(publisher)
			under[tag] = m
			tag++
			if err := ch.Publish(exchange, "", true, false, amqp.Publishing{DeliveryMode: amqp.Persistent, Body: m.encode()}); err != nil {
				return err
			}
		}
		if len(under) == 0 {
			return ctx.Err()
		}
		if len(under) < window && ctx.Err() == nil {
			select {
			case c := <-confirms:
				settleConfirm(l, under, c)
			case err := <-closed:
				return err
			default:
			}
			continue
		}
		select {
		case c, ok := <-confirms:
			if !ok {
				return amqp.ErrClosed
			}
			settleConfirm(l, under, c)
		case err := <-closed:
			return err
		}
	}
}

func settleConfirm(l *ledger, under map[uint64]message, c amqp.Confirmation) {
	if m, ok := under[c.DeliveryTag]; ok && c.Ack {
		l.confirm(m)
	}
	delete(under, c.DeliveryTag)
}

// consume takes messages until ctx is done.
func consume(ctx context.Context, l *ledger, addr, queue string, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, uint64(len(queue))))
	for ctx.Err() == nil && l.failed() == nil {
		conn, err := dial(ctx, addr)
		if err != nil {
			return
		}
		_ = consumeOn(ctx, l, conn, queue, rng)
		if !conn.IsClosed() {
			l.closing(queue)
		}
		conn.Close()
	}
}

func consumeOn(ctx context.Context, l *ledger, conn *amqp.Connection, queue string, rng *rand.Rand) error {
	ch, err := conn.Channel()
	if err != nil {
		return err
	}
	if err := declare(ch); err != nil {
		return err
	}
	if err := ch.Qos(prefetch, 0, false); err != nil {
		return err
	}
	ds, err := ch.Consume(queue, "", false, false, false, false, nil)
	if err != nil {
		return err
	}
	var acked []message
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case d, ok := <-ds:
			if !ok {
				return amqp.ErrClosed
			}
			m, err := take(l, queue, &d)
			if err != nil {
				return err
			}
			switch r := rng.IntN(100); {
			case r < 5 && l.giveBack(queue, m):
				err = d.Nack(false, true)
			case r == 99: // left until the channel goes
			case r >= 94:
				l.reject(queue, m)
				err = d.Reject(false)
			default:
				l.ack(queue, []message{m})
				acked = append(acked, m)
				err = d.Ack(false)
			}
			if err != nil {
				return err
			}
		}
		if len(acked) >= 40 { // what is answered now came after the acknowledgements
			if _, err := ch.QueueDeclarePassive(queue, true, false, false, false, nil); err != nil {
				return err
			}
			l.answered(queue, acked)
			acked = acked[:0]
		}
		if rng.IntN(5000) == 0 {
			return nil // what is left goes back
		}
	}
}

func take(l *ledger, queue string, d *amqp.Delivery) (message, error) {
	m, err := decode(d.Body)
	if err != nil {
		l.mu.Lock()
		l.broken("%s: %v", queue, err)
		l.mu.Unlock()
		return m, err
	}
	count := int64(-1)
	if queue == quorumQueue {
		count, _ = d.Headers["x-delivery-count"].(int64)
	}
	l.deliver(queue, m, d.Redelivered, count)
	return m, l.failed()
}

// open opens a channel on a connection of its own, which leave closes.
func open(ctx context.Context, addr string) (ch *amqp.Channel, leave func() error, err error) {
	conn, err := dial(ctx, addr)
	if err != nil {
		return nil, nil, err
	}
	if ch, err = conn.Channel(); err != nil {
		conn.Close()
		return nil, nil, err
	}
	return ch, conn.Close, nil
}

// drain takes everything that is left in a queue.
func drain(ctx context.Context, l *ledger, addr, queue string) error {
	ch, leave, err := open(ctx, addr)
	if err != nil {
		return err
	}
	defer leave()
	q, err := ch.QueueDeclarePassive(queue, true, false, false, false, nil)
	if err != nil {
		return err
	}
	const some = 500
	if err := ch.Qos(2*some, 0, false); err != nil {
		return err
	}
	ds, err := ch.Consume(queue, "", false, false, false, false, nil)
	if err != nil {
		return err
	}
	var held []message
	for n := 1; n <= q.Messages; n++ { // nobody publishes, and nobody else consumes
		select {
		case <-ctx.Done():
			return fmt.Errorf("draining %s: %d of %d messages: %w", queue, n, q.Messages, ctx.Err())
		case d, ok := <-ds:
			if !ok {
				return amqp.ErrClosed
			}
			m, err := take(l, queue, &d)
			if err != nil {
				return err
			}
			if held = append(held, m); len(held) < some && n < q.Messages {
				continue
			}
			l.ack(queue, held)
			held = held[:0]
			if err := d.Ack(true); err != nil {
				return err
			}
		}
	}
	q, err = ch.QueueDeclarePassive(queue, true, false, false, false, nil)
	if err == nil && q.Messages > 0 {
		err = fmt.Errorf("%s still has %d messages", queue, q.Messages)
	}
	return err
}

// drainDead takes dead letters until all that are due have come.
func drainDead(ctx context.Context, l *ledger, addr, queue string) error {
	ch, leave, err := open(ctx, addr)
	if err != nil {
		return err
	}
	defer leave()
	for {
		d, ok, err := ch.Get(deadOf(queue), true)
		switch {
		case err != nil:
			return err
		case ok:
			m, err := decode(d.Body)
			if err != nil {
				return fmt.Errorf("%s: %w", deadOf(queue), err)
			}
			l.dead(queue, m)
			continue
		}
		n, example := l.undead(queue)
		if n == 0 || l.failed() != nil {
			return l.failed()
		}
		select { // they may be on their way
		case <-ctx.Done():
			return fmt.Errorf("%s: %d rejected messages never came, such as %v", deadOf(queue), n, example)
		case <-time.After(20 * time.Millisecond):
		}
	}
}
