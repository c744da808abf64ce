package wire

// The class basic (60): messages. Publish, Return, Deliver and GetOk are followed
// by a content header and bodies.

// BasicQos (60.10) limits what is sent to consumers and not yet acknowledged.
type BasicQos struct {
	PrefetchSize  uint32 // bytes; RabbitMQ takes 0 only
	PrefetchCount uint16
	Global        bool // the channel, not each new consumer
}

// ID is IDBasicQos.
func (*BasicQos) ID() ID { return IDBasicQos }

func (m *BasicQos) layout(c coder) coder {
	c.u32(&m.PrefetchSize)
	c.u16(&m.PrefetchCount)
	c.bits(&m.Global)
	return c
}

// BasicQosOk (60.11) answers Qos.
type BasicQosOk struct{}

// ID is IDBasicQosOk.
func (*BasicQosOk) ID() ID { return IDBasicQosOk }

func (*BasicQosOk) layout(c coder) coder { return c }

// BasicConsume (60.20) starts a consumer. With an empty tag the server makes
// one up.
type BasicConsume struct {
	Queue       string
	ConsumerTag string
	NoLocal     bool
	NoAck       bool
	Exclusive   bool
	NoWait      bool
	Arguments   Table
}

// ID is IDBasicConsume.
func (*BasicConsume) ID() ID { return IDBasicConsume }

func (m *BasicConsume) layout(c coder) coder {
	c.reservedShort()
	c.shortStr(&m.Queue)
	c.shortStr(&m.ConsumerTag)
	c.bits(&m.NoLocal, &m.NoAck, &m.Exclusive, &m.NoWait)
	c.table(&m.Arguments)
	return c
}

// BasicConsumeOk (60.21) answers Consume.
type BasicConsumeOk struct {
	ConsumerTag string
}

// ID is IDBasicConsumeOk.
func (*BasicConsumeOk) ID() ID { return IDBasicConsumeOk }

func (m *BasicConsumeOk) layout(c coder) coder {
	c.shortStr(&m.ConsumerTag)
	return c
}

// BasicCancel (60.30) ends a consumer. RabbitMQ also sends it, when a queue
// goes away, to clients with the capability consumer_cancel_notify.
type BasicCancel struct {
	ConsumerTag string
	NoWait      bool
}

// ID is IDBasicCancel.
func (*BasicCancel) ID() ID { return IDBasicCancel }

func (m *BasicCancel) layout(c coder) coder {
	c.shortStr(&m.ConsumerTag)
	c.bits(&m.NoWait)
	return c
}

// BasicCancelOk (60.31) answers Cancel.
type BasicCancelOk struct {
	ConsumerTag string
}

// ID is IDBasicCancelOk.
func (*BasicCancelOk) ID() ID { return IDBasicCancelOk }

func (m *BasicCancelOk) layout(c coder) coder {
	c.shortStr(&m.ConsumerTag)
	return c
}

// BasicPublish (60.40) sends a message to an exchange; its content follows.
type BasicPublish struct {
	Exchange   string
	RoutingKey string
	Mandatory  bool
	Immediate  bool
}

// ID is IDBasicPublish.
func (*BasicPublish) ID() ID { return IDBasicPublish }

func (m *BasicPublish) layout(c coder) coder {
	c.reservedShort()
	c.shortStr(&m.Exchange)
	c.shortStr(&m.RoutingKey)
	c.bits(&m.Mandatory, &m.Immediate)
	return c
}

// BasicReturn (60.50) gives a mandatory message back that no queue took; its
// content follows.
type BasicReturn struct {
	ReplyCode  ReplyCode
	ReplyText  string
	Exchange   string
	RoutingKey string
}

// ID is IDBasicReturn.
func (*BasicReturn) ID() ID { return IDBasicReturn }

func (m *BasicReturn) layout(c coder) coder {
	c.replyCode(&m.ReplyCode)
	c.shortStr(&m.ReplyText)
	c.shortStr(&m.Exchange)
	c.shortStr(&m.RoutingKey)
	return c
}

// BasicDeliver (60.60) brings a message to a consumer; its content follows.
// AppendDelivery writes both without allocating.
type BasicDeliver struct {
	ConsumerTag string
	DeliveryTag uint64
	Redelivered bool
	Exchange    string
	RoutingKey  string
}

// ID is IDBasicDeliver.
func (*BasicDeliver) ID() ID { return IDBasicDeliver }

func (m *BasicDeliver) layout(c coder) coder {
	c.shortStr(&m.ConsumerTag)
	c.u64(&m.DeliveryTag)
	c.bits(&m.Redelivered)
	c.shortStr(&m.Exchange)
	c.shortStr(&m.RoutingKey)
	return c
}

// BasicGet (60.70) asks for one message.
type BasicGet struct {
	Queue string
	NoAck bool
}

// ID is IDBasicGet.
func (*BasicGet) ID() ID { return IDBasicGet }

func (m *BasicGet) layout(c coder) coder {
	c.reservedShort()
	c.shortStr(&m.Queue)
	c.bits(&m.NoAck)
	return c
}

// BasicGetOk (60.71) answers Get; the content follows.
type BasicGetOk struct {
	DeliveryTag  uint64
	Redelivered  bool
	Exchange     string
	RoutingKey   string
	MessageCount uint32 // left in the queue
}

// ID is IDBasicGetOk.
func (*BasicGetOk) ID() ID { return IDBasicGetOk }

func (m *BasicGetOk) layout(c coder) coder {
	c.u64(&m.DeliveryTag)
	c.bits(&m.Redelivered)
	c.shortStr(&m.Exchange)
	c.shortStr(&m.RoutingKey)
	c.u32(&m.MessageCount)
	return c
}

// BasicGetEmpty (60.72) answers Get when nothing is ready.
type BasicGetEmpty struct{}

// ID is IDBasicGetEmpty.
func (*BasicGetEmpty) ID() ID { return IDBasicGetEmpty }

func (*BasicGetEmpty) layout(c coder) coder {
	c.reservedShortStr()
	return c
}

// BasicAck (60.80) acknowledges a delivery or, from the server, confirms a
// publish.
type BasicAck struct {
	DeliveryTag uint64 // 0 with Multiple: all
	Multiple    bool   // this and all before it
}

// ID is IDBasicAck.
func (*BasicAck) ID() ID { return IDBasicAck }

func (m *BasicAck) layout(c coder) coder {
	c.u64(&m.DeliveryTag)
	c.bits(&m.Multiple)
	return c
}

// BasicReject (60.90) refuses a delivery.
type BasicReject struct {
	DeliveryTag uint64
	Requeue     bool
}

// ID is IDBasicReject.
func (*BasicReject) ID() ID { return IDBasicReject }

func (m *BasicReject) layout(c coder) coder {
	c.u64(&m.DeliveryTag)
	c.bits(&m.Requeue)
	return c
}

// BasicRecoverAsync (60.100) has everything unacknowledged on the channel
// delivered again; it has no answer.
type BasicRecoverAsync struct {
	Requeue bool
}

// ID is IDBasicRecoverAsync.
func (*BasicRecoverAsync) ID() ID { return IDBasicRecoverAsync }

func (m *BasicRecoverAsync) layout(c coder) coder {
	c.bits(&m.Requeue)
	return c
}

// BasicRecover (60.110) has everything unacknowledged on the channel delivered
// again.
type BasicRecover struct {
	Requeue bool
}

// ID is IDBasicRecover.
func (*BasicRecover) ID() ID { return IDBasicRecover }

func (m *BasicRecover) layout(c coder) coder {
	c.bits(&m.Requeue)
	return c
}

// BasicRecoverOk (60.111) answers Recover.
type BasicRecoverOk struct{}

// ID is IDBasicRecoverOk.
func (*BasicRecoverOk) ID() ID { return IDBasicRecoverOk }

func (*BasicRecoverOk) layout(c coder) coder { return c }

// BasicNack (60.120) refuses deliveries or, from the server, a publish.
// RabbitMQ's extension.
type BasicNack struct {
	DeliveryTag uint64 // 0 with Multiple: all
	Multiple    bool   // this and all before it
	Requeue     bool
}

// ID is IDBasicNack.
func (*BasicNack) ID() ID { return IDBasicNack }

func (m *BasicNack) layout(c coder) coder {
	c.u64(&m.DeliveryTag)
	c.bits(&m.Multiple, &m.Requeue)
	return c
}
