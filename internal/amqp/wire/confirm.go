package wire

// The class confirm (85), RabbitMQ's: each publish is answered by Ack or Nack.

// ConfirmSelect (85.10) turns confirms on for the channel.
type ConfirmSelect struct {
	NoWait bool
}

// ID is IDConfirmSelect.
func (*ConfirmSelect) ID() ID { return IDConfirmSelect }

func (m *ConfirmSelect) layout(c coder) coder {
	c.bits(&m.NoWait)
	return c
}

// ConfirmSelectOk (85.11) answers Select.
type ConfirmSelectOk struct{}

// ID is IDConfirmSelectOk.
func (*ConfirmSelectOk) ID() ID { return IDConfirmSelectOk }

func (*ConfirmSelectOk) layout(c coder) coder { return c }
