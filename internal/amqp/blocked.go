package amqp

import (
	"context"
	"time"

	"github.com/waxwing-mq/waxwing/internal/amqp/wire"
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
	if c.client.blocked {
		c.out.method(0, &wire.ConnectionBlocked{Reason: why})
	}
	c.s.cfg.Logger.Info("a publisher is blocked", "from", c.host, "reason", why)
	tick := time.NewTicker(alarmPoll)
	defer tick.Stop()
	for c.s.alarm() != "" {
		select {
		case <-tick.C:
		case <-c.ctx.Done():
			return context.Cause(c.ctx)
		}
	}
	if c.client.blocked {
		c.out.method(0, &wire.ConnectionUnblocked{})
	}
	return nil
}
