package queue

import "slices"

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

// dropChannel releases what a channel without consumers holds, the oldest
// first.
func (m *Machine) dropChannel(ch *channel) {
	var b ending
	for ch.first != nil {
		m.release(&b, ch.first, false)
	}
	m.end(&b)
	delete(m.channels, ch.id)
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
