package queue

import (
	"cmp"
	"math"
	"slices"
)

// channel returns a channel, made if need be.
func (m *Machine) channel(conn ConnectionID, id ChannelID) *channel {
	ch := m.channels[id]
	if ch == nil {
		c := m.connection(conn)
		ch = &channel{id: id, connection: c}
		m.channels[id] = ch
		c.channels = append(c.channels, ch)
	}
	return ch
}

func (m *Machine) connection(id ConnectionID) *connection {
	c := m.connections[id]
	if c == nil {
		c = &connection{id: id}
		m.connections[id] = c
	}
	return c
}

// closeChannel removes a channel's consumers and releases what it holds.
func (m *Machine) closeChannel(c *CloseChannel) {
	ch := m.channels[c.Channel]
	if ch == nil {
		return
	}
	m.dropConsumers(ch)
	m.dropChannel(ch)
	remove(&ch.connection.channels, ch)
	if conn := ch.connection; len(conn.channels) == 0 && len(conn.exclusive) == 0 {
		delete(m.connections, conn.id)
	}
}

func (m *Machine) dropConsumers(ch *channel) {
	for _, c := range slices.Clone(ch.consumers) {
		m.removeConsumer(c)
		m.abandoned(c.q)
	}
}

// dropChannel releases what a channel without consumers holds, the oldest first;
// but to quorum queues, which put it in this order, consumer by consumer, and
// what was got last.
func (m *Machine) dropChannel(ch *channel) {
	var flights []*flight
	for f := ch.first; f != nil; f = f.next {
		flights = append(flights, f)
	}
	slices.SortStableFunc(flights, func(a, b *flight) int { return cmp.Compare(a.closeOrder(), b.closeOrder()) })
	var b ending
	for _, f := range flights {
		m.release(&b, f, false, false)
	}
	m.end(&b)
	delete(m.channels, ch.id)
}

// closeOrder says where in the line of those that a closing channel releases a
// flight stands.
func (f *flight) closeOrder() ConsumerID {
	switch {
	case f.level.q.spec.Kind == Classic:
		return 0
	case f.consumer != nil:
		return f.consumer.id
	}
	return math.MaxUint64
}

// closeConnection closes a connection's channels and deletes its exclusive
// queues. What its consumers held does not go to one of them.
func (m *Machine) closeConnection(c *CloseConnection) {
	conn := m.connections[c.Connection]
	if conn == nil {
		return
	}
	for _, ch := range conn.channels {
		m.dropConsumers(ch)
	}
	for _, id := range slices.Clone(conn.exclusive) {
		if q := m.queues[id]; q != nil {
			m.deleteQueue(q)
		}
	}
	for _, ch := range conn.channels {
		m.dropChannel(ch)
	}
	delete(m.connections, conn.id)
}
