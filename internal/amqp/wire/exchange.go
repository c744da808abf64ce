package wire

// The class exchange (40). Bind and Unbind, between exchanges, are RabbitMQ's.

// ExchangeDeclare (40.10) creates an exchange, or checks that it is as
// described; if passive, only that it is there.
type ExchangeDeclare struct {
	Exchange   string
	Type       string
	Passive    bool
	Durable    bool
	AutoDelete bool
	Internal   bool
	NoWait     bool
	Arguments  Table
}

// ID is IDExchangeDeclare.
func (*ExchangeDeclare) ID() ID { return IDExchangeDeclare }

func (m *ExchangeDeclare) layout(c coder) coder {
	c.reservedShort()
	c.shortStr(&m.Exchange)
	c.shortStr(&m.Type)
	c.bits(&m.Passive, &m.Durable, &m.AutoDelete, &m.Internal, &m.NoWait)
	c.table(&m.Arguments)
	return c
}

// ExchangeDeclareOk (40.11) answers Declare.
type ExchangeDeclareOk struct{}

// ID is IDExchangeDeclareOk.
func (*ExchangeDeclareOk) ID() ID { return IDExchangeDeclareOk }

func (*ExchangeDeclareOk) layout(c coder) coder { return c }

// ExchangeDelete (40.20) deletes an exchange.
type ExchangeDelete struct {
	Exchange string
	IfUnused bool
	NoWait   bool
}

// ID is IDExchangeDelete.
func (*ExchangeDelete) ID() ID { return IDExchangeDelete }

func (m *ExchangeDelete) layout(c coder) coder {
	c.reservedShort()
	c.shortStr(&m.Exchange)
	c.bits(&m.IfUnused, &m.NoWait)
	return c
}

// ExchangeDeleteOk (40.21) answers Delete.
type ExchangeDeleteOk struct{}

// ID is IDExchangeDeleteOk.
func (*ExchangeDeleteOk) ID() ID { return IDExchangeDeleteOk }

func (*ExchangeDeleteOk) layout(c coder) coder { return c }

// ExchangeBind (40.30) lets Destination, an exchange, receive what Source
// routes to it.
type ExchangeBind struct {
	Destination string
	Source      string
	RoutingKey  string
	NoWait      bool
	Arguments   Table
}

// ID is IDExchangeBind.
func (*ExchangeBind) ID() ID { return IDExchangeBind }

func (m *ExchangeBind) layout(c coder) coder {
	c.reservedShort()
	c.shortStr(&m.Destination)
	c.shortStr(&m.Source)
	c.shortStr(&m.RoutingKey)
	c.bits(&m.NoWait)
	c.table(&m.Arguments)
	return c
}

// ExchangeBindOk (40.31) answers Bind.
type ExchangeBindOk struct{}

// ID is IDExchangeBindOk.
func (*ExchangeBindOk) ID() ID { return IDExchangeBindOk }

func (*ExchangeBindOk) layout(c coder) coder { return c }

// ExchangeUnbind (40.40) takes a binding between exchanges back.
type ExchangeUnbind struct {
	Destination string
	Source      string
	RoutingKey  string
	NoWait      bool
	Arguments   Table
}

// ID is IDExchangeUnbind.
func (*ExchangeUnbind) ID() ID { return IDExchangeUnbind }

func (m *ExchangeUnbind) layout(c coder) coder {
	c.reservedShort()
	c.shortStr(&m.Destination)
	c.shortStr(&m.Source)
	c.shortStr(&m.RoutingKey)
	c.bits(&m.NoWait)
	c.table(&m.Arguments)
	return c
}

// ExchangeUnbindOk (40.51) answers Unbind. Its id is 51, not 41.
type ExchangeUnbindOk struct{}

// ID is IDExchangeUnbindOk.
func (*ExchangeUnbindOk) ID() ID { return IDExchangeUnbindOk }

func (*ExchangeUnbindOk) layout(c coder) coder { return c }
