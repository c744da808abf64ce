package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"golang.org/x/sync/errgroup"
)

// window is how many messages of a publisher may wait for their confirms.
const window = 2000

func dial(addr string) (*amqp.Connection, error) {
	return amqp.DialConfig("amqp://guest:guest@"+addr+"/", amqp.Config{Heartbeat: time.Minute, Dial: amqp.DefaultDial(time.Second)})
}

// withChannel calls fn with a channel of a connection of its own.
func withChannel(addr string, fn func(*amqp.Channel) error) error {
	c, err := dial(addr)
	if err != nil {
		return err
	}
	defer c.Close()
	ch, err := c.Channel()
	if err != nil {
		return err
	}
	return fn(ch)
}

func queueName(i int) string { return fmt.Sprintf("q%05d", i) }

// declare makes durable queues.
func declare(addr, kind string, names ...string) error {
	return withChannel(addr, func(ch *amqp.Channel) error {
		for _, name := range names {
			if _, err := ch.QueueDeclare(name, true, false, false, false, amqp.Table{"x-queue-type": kind}); err != nil {
				return fmt.Errorf("declare %s: %w", name, err)
			}
		}
		return nil
	})
}

// publish sends n persistent messages, the i-th to queue(i), and waits until
// all are confirmed.
func publish(ctx context.Context, addr string, n int64, body []byte, queue func(i int64) string) error {
	return withChannel(addr, func(ch *amqp.Channel) error {
		if err := ch.Confirm(false); err != nil {
			return err
		}
		confirms := ch.NotifyPublish(make(chan amqp.Confirmation, window))
		sent, done := int64(0), int64(0)
		for done < n {
			for sent < n && sent-done < window {
				err := ch.PublishWithContext(ctx, "", queue(sent), false, false, amqp.Publishing{DeliveryMode: amqp.Persistent, Body: body})
				if err != nil {
					return err
				}
				sent++
			}
			select {
			case c, ok := <-confirms:
				if !ok || !c.Ack {
					return fmt.Errorf("message %d was not confirmed", done)
				}
				done++
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	})
}

// together runs fn for each of n parts at the same time.
func together(n int, fn func(part int) error) error {
	var g errgroup.Group
	for i := range n {
		g.Go(func() error { return fn(i) })
	}
	return g.Wait()
}

// get takes one message and acknowledges it.
func get(addr, queue string) (took time.Duration, err error) {
	err = withChannel(addr, func(ch *amqp.Channel) error {
		start := time.Now()
		d, ok, err := ch.Get(queue, false)
		took = time.Since(start)
		if err != nil || !ok {
			return errors.Join(err, fmt.Errorf("%s gave a message: %t", queue, ok))
		}
		return d.Ack(false)
	})
	return took, err
}

// consume takes and acknowledges messages of a queue until n have come.
func consume(ctx context.Context, addr, queue string, n int64) error {
	return withChannel(addr, func(ch *amqp.Channel) error {
		if err := ch.Qos(window, 0, false); err != nil {
			return err
		}
		deliveries, err := ch.ConsumeWithContext(ctx, queue, "", false, false, false, false, nil)
		if err != nil {
			return err
		}
		for i := int64(1); i <= n; i++ {
			d, ok := <-deliveries
			if !ok {
				return errors.Join(ctx.Err(), fmt.Errorf("%d of %d messages came", i-1, n))
			}
			if i%(window/4) == 0 || i == n {
				if err := d.Ack(true); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// holder keeps the first message of a queue, which it does not acknowledge.
type holder struct {
	conn *amqp.Connection
	once sync.Once
}

func hold(addr, queue string) (*holder, error) {
	c, err := dial(addr)
	if err != nil {
		return nil, err
	}
	h := &holder{conn: c}
	ch, err := c.Channel()
	if err != nil {
		return nil, errors.Join(err, h.close())
	}
	if _, ok, err := ch.Get(queue, false); err != nil || !ok {
		return nil, errors.Join(err, fmt.Errorf("the first message came: %t", ok), h.close())
	}
	return h, nil
}

// close gives the message back.
func (h *holder) close() (err error) {
	h.once.Do(func() { err = h.conn.Close() })
	return err
}
