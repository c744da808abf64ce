package wire

// The class access (30), of AMQP 0-8: old clients still ask for a ticket before
// they use anything, and nobody looks at it any more.

// AccessRequest (30.10) asks for a ticket.
type AccessRequest struct {
	Realm     string
	Exclusive bool
	Passive   bool
	Active    bool
	Write     bool
	Read      bool
}

// ID is IDAccessRequest.
func (*AccessRequest) ID() ID { return IDAccessRequest }

func (m *AccessRequest) layout(c coder) coder {
	c.shortStr(&m.Realm)
	c.bits(&m.Exclusive, &m.Passive, &m.Active, &m.Write, &m.Read)
	return c
}

// AccessRequestOk (30.11) answers Request; RabbitMQ gives everyone ticket 1.
type AccessRequestOk struct {
	Ticket uint16
}

// ID is IDAccessRequestOk.
func (*AccessRequestOk) ID() ID { return IDAccessRequestOk }

func (m *AccessRequestOk) layout(c coder) coder {
	c.u16(&m.Ticket)
	return c
}
