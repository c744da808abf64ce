package amqp

import "github.com/waxwing-mq/waxwing/internal/amqp/wire"

// confirm.select (85.10): what is published from now on is confirmed. Selecting
// it again changes nothing; a channel cannot have transactions too.
func (c *conn) confirmSelect(ch *channel, m *wire.ConfirmSelect) error {
	if ch.tx != nil {
		return errf(wire.PreconditionFailed, "cannot switch from tx to confirm mode")
	}
	ch.confirming = true
	if !m.NoWait {
		c.out.method(ch.number, &wire.ConfirmSelectOk{})
	}
	return nil
}
