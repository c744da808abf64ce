package wire

// The class channel (20): opening and closing one of the conversations that
// share a connection.

// ChannelOpen (20.10) opens the channel on which it is sent.
type ChannelOpen struct{}

// ID is IDChannelOpen.
func (*ChannelOpen) ID() ID { return IDChannelOpen }

func (*ChannelOpen) layout(c coder) coder {
	c.reservedShortStr()
	return c
}

// ChannelOpenOk (20.11) answers Open.
type ChannelOpenOk struct{}

// ID is IDChannelOpenOk.
func (*ChannelOpenOk) ID() ID { return IDChannelOpenOk }

func (*ChannelOpenOk) layout(c coder) coder {
	c.reservedLongStr()
	return c
}

// ChannelFlow (20.20) asks the peer to stop or to go on sending content.
type ChannelFlow struct {
	Active bool // false: stop
}

// ID is IDChannelFlow.
func (*ChannelFlow) ID() ID { return IDChannelFlow }

func (m *ChannelFlow) layout(c coder) coder {
	c.bits(&m.Active)
	return c
}

// ChannelFlowOk (20.21) answers Flow.
type ChannelFlowOk struct {
	Active bool
}

// ID is IDChannelFlowOk.
func (*ChannelFlowOk) ID() ID { return IDChannelFlowOk }

func (m *ChannelFlowOk) layout(c coder) coder {
	c.bits(&m.Active)
	return c
}

// ChannelClose (20.40) ends the channel. If a method caused it, the two ids
// name it.
type ChannelClose struct {
	ReplyCode ReplyCode
	ReplyText string
	ClassID   uint16
	MethodID  uint16
}

// ID is IDChannelClose.
func (*ChannelClose) ID() ID { return IDChannelClose }

func (m *ChannelClose) layout(c coder) coder {
	c.replyCode(&m.ReplyCode)
	c.shortStr(&m.ReplyText)
	c.u16(&m.ClassID)
	c.u16(&m.MethodID)
	return c
}

// ChannelCloseOk (20.41) answers Close.
type ChannelCloseOk struct{}

// ID is IDChannelCloseOk.
func (*ChannelCloseOk) ID() ID { return IDChannelCloseOk }

func (*ChannelCloseOk) layout(c coder) coder { return c }
