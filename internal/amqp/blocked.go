package amqp

import (
	"context"
	"time"

	"github.com/waxwing-mq/waxwing/internal/amqp/wire"
	"github.com/waxwing-mq/waxwing/internal/broker"
)

// Alarms (RabbitMQ, "Memory and Disk Alarms"). While the disk is full or memory
// is short, a connection that publishes is not read any more; consumers on
// other connections go on, and make room. Who understands it is told with
// connection.blocked and, when it is over, connection.unblocked.

// alarmPoll is how often a blocked connection looks whether it may go on.
const alarmPoll = 50 * time.Millisecond

// alarm says why publishers have to wait, "" if they need not.
func (s *Server) alarm() string {
	switch {
	case s.cfg.Broker.Full():
		return "low on disk"
	case s.cfg.MemoryShort != nil && s.cfg.MemoryShort():
		return "low on memory"
	}
	return ""
}

// awaitNoAlarm holds up a connection that wants to publish while there is an
// alarm.
func (c *conn) awaitNoAlarm() error {
	why := c.s.alarm()
	if why == "" {
		return nil
	}
	if err := c.flush(); err != nil {
		return err
	}
	c.block(why)
	defer c.unblock()
	return c.pollAlarm()
}

// pollAlarm waits until there is no alarm.
func (c *conn) pollAlarm() error {
	tick := time.NewTicker(alarmPoll)
	defer tick.Stop()
	for c.s.alarm() != "" {
		select {
		case <-tick.C:
		case <-c.ctx.Done():
			return context.Cause(c.ctx)
		}
	}
	return nil
}

// block tells the client that it has to wait, unless it knows.
func (c *conn) block(why string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.blocks++; c.blocks > 1 {
		return
	}
	c.s.cfg.Logger.Info("a publisher is blocked", "from", c.host, "reason", why)
	if c.client.blocked {
		c.out.method(0, &wire.ConnectionBlocked{Reason: why})
	}
}

// unblock takes back one block; after the last the client may go on.
func (c *conn) unblock() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.blocks--; c.blocks == 0 && c.client.blocked {
		c.out.method(0, &wire.ConnectionUnblocked{})
	}
}

// Messages that were taken from the socket and find the disk full are kept, with
// all that the connection publishes behind them, and handed in again when there
// is room: a message that a client has sent is not lost while its connection
// lives, confirmed or not. Meanwhile nothing more is handed in or read. What all
// connections keep is bounded: one for which there is no place ends.

// keep keeps the messages of a batch that had no room; publishes are those of
// them that are to be confirmed. It is called under c.mu.
func (c *conn) keep(b *broker.SessionBatch, publishes []publish) {
	if c.ctx.Err() != nil {
		return
	}
	size := int64(0)
	for i := range b.Items {
		if it := &b.Items[i]; it.NoRoom() {
			size += int64(publishBytes(it.Publish))
		}
	}
	if b.Again { // it was counted, and what is taken now no longer is
		size -= c.keptBytes
	}
	c.keptBytes += size
	if sum := c.s.kept.Add(size); size > 0 && sum > c.s.cfg.ContentBytesMax {
		c.dropKept()
		c.stop(&forcedError{"the disk is full, and too much waits for it already"})
		return
	}
	for i := range b.Items {
		it := &b.Items[i]
		if !it.NoRoom() {
			continue
		}
		for len(publishes) > 0 && publishes[0].item < i {
			publishes = publishes[1:]
		}
		if len(publishes) > 0 && publishes[0].item == i {
			c.keptPublishes = append(c.keptPublishes, publish{publishes[0].ch, publishes[0].seq, len(c.kept)})
		}
		c.kept = append(c.kept, broker.SessionItem{Publish: it.Publish})
	}
	if len(c.kept) > 0 && c.room == nil {
		c.room = make(chan struct{})
		c.streams.Go(c.handInAgain)
	}
}

// handInAgain is the goroutine that hands in what was kept, until all of it is
// taken.
func (c *conn) handInAgain() {
	c.block("low on disk")
	defer c.unblock()
	for {
		if c.pollDisk() != nil {
			return
		}
		b, publishes, done := c.takeKept()
		if done {
			return
		}
		if b == nil {
			continue
		}
		ended := make(chan struct{})
		b.Done = func(b *broker.SessionBatch) {
			c.batchDone(b, publishes)
			close(ended)
		}
		if c.session.Submit(c.ctx, b) != nil {
			return
		}
		select {
		case <-ended:
		case <-c.ctx.Done():
			return
		}
	}
}

// pollDisk waits until the disk has room. Memory is no reason to wait with what
// is kept: it is in memory.
func (c *conn) pollDisk() error {
	for {
		if err := c.pause(alarmPoll); err != nil {
			return err
		}
		if !c.s.cfg.Broker.Full() {
			return nil
		}
	}
}

func (c *conn) pause(d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-c.ctx.Done():
		return context.Cause(c.ctx)
	}
}

// takeKept takes what is kept, once nothing is under way any more that might be
// kept behind it; b is nil until then. If nothing is kept the reader may go on.
func (c *conn) takeKept() (b *broker.SessionBatch, publishes []publish, done bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.underWay > 0:
		return nil, nil, false
	case len(c.kept) == 0:
		close(c.room)
		c.room = nil
		return nil, nil, true
	}
	b = &broker.SessionBatch{Items: c.kept, Again: true}
	publishes = c.keptPublishes
	c.kept, c.keptPublishes = nil, nil
	c.underWay++
	return b, publishes, false
}

// dropKept takes what is kept, and what of it is handed in again, off the sum of all
// connections. It is called under c.mu.
func (c *conn) dropKept() {
	c.s.kept.Add(-c.keptBytes)
	c.keptBytes = 0
}

// awaitRoom waits while messages are kept.
func (c *conn) awaitRoom() error {
	for {
		c.mu.Lock()
		room := c.room
		c.mu.Unlock()
		if room == nil {
			return nil
		}
		select {
		case <-room:
		case <-c.ctx.Done():
			return context.Cause(c.ctx)
		}
	}
}

// finish waits until nothing is under way, or kept: the client says farewell.
func (c *conn) finish() error {
	if err := c.flush(); err != nil {
		return err
	}
	c.mu.Lock()
	busy := c.underWay > 0
	c.mu.Unlock()
	if busy { // a batch that is told of after all of those
		if err := c.session.SubmitWait(c.ctx, &broker.SessionBatch{}); err != nil {
			return err
		}
	}
	return c.awaitRoom()
}

// begin waits while messages are kept, and counts a batch as under way.
func (c *conn) begin() error {
	for {
		c.mu.Lock()
		room := c.room
		if room == nil {
			c.underWay++
		}
		c.mu.Unlock()
		if room == nil {
			return nil
		}
		select {
		case <-room:
		case <-c.ctx.Done():
			return context.Cause(c.ctx)
		}
	}
}
