package amqp

import (
	"time"

	"github.com/waxwing-mq/waxwing/internal/amqp/wire"
	"github.com/waxwing-mq/waxwing/internal/broker"
	"github.com/waxwing-mq/waxwing/internal/broker/queue"
)

// basic.publish (60.40), once its content is whole. What is published is
// routed here, on what is durable, and gathered: all that one read of the
// socket brought goes to the broker together. On a channel in confirm mode
// each message is confirmed once it is durable in every queue that took it, or
// at once if there is none; basic.nack says that a queue refused it. A
// mandatory message that no queue takes comes back (basic.return) before it is
// confirmed. immediate is not supported, as in RabbitMQ.

// publish is a message that was given to the broker and is not confirmed yet.
type publish struct {
	ch   *channel
	seq  uint64 // of the channel; 0: it is not in confirm mode
	item int    // in the batch
}

// itemOfNobody is a message that is in no queue, and confirmed in its turn.
func itemOfNobody() broker.SessionItem { return broker.SessionItem{Publish: &broker.Publish{}} }

// add gathers an item; ch is the channel of a publish.
func (c *conn) add(ch *channel, item broker.SessionItem) error {
	if item.Publish != nil && ch.confirming {
		ch.published++
		c.publishes = append(c.publishes, publish{ch, ch.published, len(c.batch)})
	}
	c.batch = append(c.batch, item)
	if item.Publish != nil {
		c.batchBytes += publishBytes(item.Publish)
	}
	if c.batchBytes > batchMax {
		return c.flush()
	}
	return nil
}

// publishBytes is what a message takes in memory, for queues and for streams.
func publishBytes(p *broker.Publish) int {
	n := len(p.Batch)
	for i := range p.Appends {
		n += len(p.Appends[i].Batch)
	}
	return n
}

// batchMax is how many bytes are gathered before they go to the broker though
// more has come.
const batchMax = 1 << 20

// flush gives the broker what was gathered. While messages are kept it waits, so
// that nothing passes them by and nothing more is read.
func (c *conn) flush() error {
	if len(c.batch) == 0 {
		return c.awaitRoom()
	}
	b := &broker.SessionBatch{Items: c.batch}
	publishes := c.publishes
	b.Done = func(b *broker.SessionBatch) { c.batchDone(b, publishes) }
	if told := c.s.cfg.Metrics.Method; told != nil && len(publishes) > 0 {
		since := time.Now()
		b.Done = func(b *broker.SessionBatch) {
			c.batchDone(b, publishes)
			told(wire.IDBasicPublish.String(), time.Since(since))
		}
	}
	c.batch, c.publishes, c.batchBytes = nil, nil, 0
	if err := c.begin(); err != nil {
		return err
	}
	return c.session.Submit(c.ctx, b)
}

// batchDone is told, in order, that a batch is durable, by a goroutine of the
// broker.
func (c *conn) batchDone(b *broker.SessionBatch, publishes []publish) {
	if b.Err != nil {
		c.stop(b.Err)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.underWay--
	c.keep(b, publishes)
	for len(publishes) > 0 && !b.Items[publishes[0].item].NoRoom() {
		n := sameOutcome(b, publishes)
		if last := publishes[n-1]; !last.ch.gone {
			if b.Items[last.item].Refused() {
				c.s.counters.refused.Add(int64(n))
				c.out.method(last.ch.number, &wire.BasicNack{DeliveryTag: last.seq, Multiple: n > 1})
			} else {
				c.s.counters.confirmed.Add(int64(n))
				c.out.method(last.ch.number, &wire.BasicAck{DeliveryTag: last.seq, Multiple: n > 1})
			}
		}
		publishes = publishes[n:]
	}
	// Behind one that has no room there is none that has.
}

// sameOutcome is how many publishes of one channel, from the first on, can be
// confirmed together: all before them are.
func sameOutcome(b *broker.SessionBatch, publishes []publish) int {
	first := publishes[0]
	refused := b.Items[first.item].Refused()
	n := 1
	for n < len(publishes) && publishes[n].ch == first.ch && b.Items[publishes[n].item].Refused() == refused && !b.Items[publishes[n].item].NoRoom() {
		n++
	}
	return n
}

// call has the broker carry out a command and waits until that is durable.
func call[R queue.Reply](c *conn, cmd queue.Command) (R, error) {
	reply, err := c.session.Call(c.ctx, cmd)
	if err != nil {
		var zero R
		return zero, routeError(err)
	}
	return reply.(R), nil
}
