package amqp

import (
	"crypto/rand"
	"encoding/base64"
	"math"

	"github.com/waxwing-mq/waxwing/internal/amqp/wire"
	"github.com/waxwing-mq/waxwing/internal/broker/queue"
)

func count(n int64) uint32 { return uint32(min(n, math.MaxUint32)) }

// generateName is a name that nobody has.
func generateName(prefix string) string {
	var b [16]byte
	rand.Read(b[:]) // never fails
	return prefix + base64.RawURLEncoding.EncodeToString(b[:])
}

// named is the queue that a method means: an empty name is the last one that
// the channel declared.
func (c *conn) named(ch *channel, name string) (string, error) {
	if name != "" {
		return name, nil
	}
	if ch.queue == "" {
		return "", errf(wire.NotFound, "no previously declared queue")
	}
	return ch.queue, nil
}

// find is the queue of that name.
func (c *conn) find(ch *channel, name *string) (queue.ID, error) {
	n, err := c.named(ch, *name)
	if err != nil {
		return 0, err
	}
	*name = n
	q, ok := c.vhost.Queue(n)
	if !ok {
		return 0, c.queueFault(queue.NotFound, n)
	}
	if q.Exclusive != 0 && q.Exclusive != c.session.Connection() {
		return 0, c.queueFault(queue.Locked, n)
	}
	return q.ID, nil
}
