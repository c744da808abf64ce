package wire

// The class queue (50). An empty queue name means the last queue that the
// channel declared.

// QueueDeclare (50.10) creates a queue, or checks that it is as described; if
// passive, only that it is there. With an empty name the server makes one up.
type QueueDeclare struct {
	Queue      string
	Passive    bool
	Durable    bool
	Exclusive  bool
	AutoDelete bool
	NoWait     bool
	Arguments  Table
}

// ID is IDQueueDeclare.
func (*QueueDeclare) ID() ID { return IDQueueDeclare }

func (m *QueueDeclare) layout(c coder) coder {
	c.reservedShort()
	c.shortStr(&m.Queue)
	c.bits(&m.Passive, &m.Durable, &m.Exclusive, &m.AutoDelete, &m.NoWait)
	c.table(&m.Arguments)
	return c
}

// QueueDeclareOk (50.11) answers Declare.
type QueueDeclareOk struct {
	Queue         string
	MessageCount  uint32 // ready ones
	ConsumerCount uint32
}

// ID is IDQueueDeclareOk.
func (*QueueDeclareOk) ID() ID { return IDQueueDeclareOk }

func (m *QueueDeclareOk) layout(c coder) coder {
	c.shortStr(&m.Queue)
	c.u32(&m.MessageCount)
	c.u32(&m.ConsumerCount)
	return c
}

// QueueBind (50.20) lets a queue receive what an exchange routes to it.
type QueueBind struct {
	Queue      string
	Exchange   string
	RoutingKey string
	NoWait     bool
	Arguments  Table
}

// ID is IDQueueBind.
func (*QueueBind) ID() ID { return IDQueueBind }

func (m *QueueBind) layout(c coder) coder {
	c.reservedShort()
	c.shortStr(&m.Queue)
	c.shortStr(&m.Exchange)
	c.shortStr(&m.RoutingKey)
	c.bits(&m.NoWait)
	c.table(&m.Arguments)
	return c
}

// QueueBindOk (50.21) answers Bind.
type QueueBindOk struct{}

// ID is IDQueueBindOk.
func (*QueueBindOk) ID() ID { return IDQueueBindOk }

func (*QueueBindOk) layout(c coder) coder { return c }

// QueuePurge (50.30) drops the messages that are ready.
type QueuePurge struct {
	Queue  string
	NoWait bool
}

// ID is IDQueuePurge.
func (*QueuePurge) ID() ID { return IDQueuePurge }

func (m *QueuePurge) layout(c coder) coder {
	c.reservedShort()
	c.shortStr(&m.Queue)
	c.bits(&m.NoWait)
	return c
}

// QueuePurgeOk (50.31) answers Purge.
type QueuePurgeOk struct {
	MessageCount uint32 // dropped ones
}

// ID is IDQueuePurgeOk.
func (*QueuePurgeOk) ID() ID { return IDQueuePurgeOk }

func (m *QueuePurgeOk) layout(c coder) coder {
	c.u32(&m.MessageCount)
	return c
}

// QueueDelete (50.40) deletes a queue.
type QueueDelete struct {
	Queue    string
	IfUnused bool
	IfEmpty  bool
	NoWait   bool
}

// ID is IDQueueDelete.
func (*QueueDelete) ID() ID { return IDQueueDelete }

func (m *QueueDelete) layout(c coder) coder {
	c.reservedShort()
	c.shortStr(&m.Queue)
	c.bits(&m.IfUnused, &m.IfEmpty, &m.NoWait)
	return c
}

// QueueDeleteOk (50.41) answers Delete.
type QueueDeleteOk struct {
	MessageCount uint32 // dropped ones
}

// ID is IDQueueDeleteOk.
func (*QueueDeleteOk) ID() ID { return IDQueueDeleteOk }

func (m *QueueDeleteOk) layout(c coder) coder {
	c.u32(&m.MessageCount)
	return c
}

// QueueUnbind (50.50) takes a binding back. It alone of the binding methods has
// no NoWait.
type QueueUnbind struct {
	Queue      string
	Exchange   string
	RoutingKey string
	Arguments  Table
}

// ID is IDQueueUnbind.
func (*QueueUnbind) ID() ID { return IDQueueUnbind }

func (m *QueueUnbind) layout(c coder) coder {
	c.reservedShort()
	c.shortStr(&m.Queue)
	c.shortStr(&m.Exchange)
	c.shortStr(&m.RoutingKey)
	c.table(&m.Arguments)
	return c
}

// QueueUnbindOk (50.51) answers Unbind.
type QueueUnbindOk struct{}

// ID is IDQueueUnbindOk.
func (*QueueUnbindOk) ID() ID { return IDQueueUnbindOk }

func (*QueueUnbindOk) layout(c coder) coder { return c }
