package wire

// The class connection (10): how a connection is opened, tuned and closed. All
// of it is on channel 0.

// ConnectionStart (10.10) begins the handshake: the server says what it is and
// how a client may log in.
type ConnectionStart struct {
	VersionMajor     uint8
	VersionMinor     uint8
	ServerProperties Table
	Mechanisms       []byte // separated by spaces
	Locales          []byte // separated by spaces
}

// ID is IDConnectionStart.
func (*ConnectionStart) ID() ID { return IDConnectionStart }

func (m *ConnectionStart) layout(c coder) coder {
	c.u8(&m.VersionMajor)
	c.u8(&m.VersionMinor)
	c.table(&m.ServerProperties)
	c.longStr(&m.Mechanisms)
	c.longStr(&m.Locales)
	return c
}

// ConnectionStartOk (10.11) answers Start with the login of the mechanism that
// the client chose.
type ConnectionStartOk struct {
	ClientProperties Table
	Mechanism        string
	Response         []byte // secret
	Locale           string
}

// ID is IDConnectionStartOk.
func (*ConnectionStartOk) ID() ID { return IDConnectionStartOk }

func (m *ConnectionStartOk) layout(c coder) coder {
	c.table(&m.ClientProperties)
	c.shortStr(&m.Mechanism)
	c.longStr(&m.Response)
	c.shortStr(&m.Locale)
	return c
}

// ConnectionSecure (10.20) asks for another step of the login.
type ConnectionSecure struct {
	Challenge []byte
}

// ID is IDConnectionSecure.
func (*ConnectionSecure) ID() ID { return IDConnectionSecure }

func (m *ConnectionSecure) layout(c coder) coder {
	c.longStr(&m.Challenge)
	return c
}

// ConnectionSecureOk (10.21) answers Secure.
type ConnectionSecureOk struct {
	Response []byte // secret
}

// ID is IDConnectionSecureOk.
func (*ConnectionSecureOk) ID() ID { return IDConnectionSecureOk }

func (m *ConnectionSecureOk) layout(c coder) coder {
	c.longStr(&m.Response)
	return c
}

// ConnectionTune (10.30) proposes limits; 0 is none.
type ConnectionTune struct {
	ChannelMax uint16
	FrameMax   uint32 // bytes, the whole frame
	Heartbeat  uint16 // seconds
}

// ID is IDConnectionTune.
func (*ConnectionTune) ID() ID { return IDConnectionTune }

func (m *ConnectionTune) layout(c coder) coder {
	c.u16(&m.ChannelMax)
	c.u32(&m.FrameMax)
	c.u16(&m.Heartbeat)
	return c
}

// ConnectionTuneOk (10.31) settles the limits; 0 is none.
type ConnectionTuneOk struct {
	ChannelMax uint16
	FrameMax   uint32 // bytes, the whole frame
	Heartbeat  uint16 // seconds
}

// ID is IDConnectionTuneOk.
func (*ConnectionTuneOk) ID() ID { return IDConnectionTuneOk }

func (m *ConnectionTuneOk) layout(c coder) coder {
	c.u16(&m.ChannelMax)
	c.u32(&m.FrameMax)
	c.u16(&m.Heartbeat)
	return c
}

// ConnectionOpen (10.40) chooses a virtual host, which ends the handshake.
type ConnectionOpen struct {
	VirtualHost string
}

// ID is IDConnectionOpen.
func (*ConnectionOpen) ID() ID { return IDConnectionOpen }

func (m *ConnectionOpen) layout(c coder) coder {
	c.shortStr(&m.VirtualHost)
	c.reservedShortStr()
	c.reservedBit()
	return c
}

// ConnectionOpenOk (10.41) says that the connection is open.
type ConnectionOpenOk struct{}

// ID is IDConnectionOpenOk.
func (*ConnectionOpenOk) ID() ID { return IDConnectionOpenOk }

func (*ConnectionOpenOk) layout(c coder) coder {
	c.reservedShortStr()
	return c
}

// ConnectionClose (10.50) ends the connection. If a method caused it, the two
// ids name it.
type ConnectionClose struct {
	ReplyCode ReplyCode
	ReplyText string
	ClassID   uint16
	MethodID  uint16
}

// ID is IDConnectionClose.
func (*ConnectionClose) ID() ID { return IDConnectionClose }

func (m *ConnectionClose) layout(c coder) coder {
	c.replyCode(&m.ReplyCode)
	c.shortStr(&m.ReplyText)
	c.u16(&m.ClassID)
	c.u16(&m.MethodID)
	return c
}

// ConnectionCloseOk (10.51) answers Close; nothing follows it.
type ConnectionCloseOk struct{}

// ID is IDConnectionCloseOk.
func (*ConnectionCloseOk) ID() ID { return IDConnectionCloseOk }

func (*ConnectionCloseOk) layout(c coder) coder { return c }

// ConnectionBlocked (10.60) tells a publisher that the server takes no more
// messages for now. RabbitMQ's extension, for clients with the capability
// connection.blocked.
type ConnectionBlocked struct {
	Reason string
}

// ID is IDConnectionBlocked.
func (*ConnectionBlocked) ID() ID { return IDConnectionBlocked }

func (m *ConnectionBlocked) layout(c coder) coder {
	c.shortStr(&m.Reason)
	return c
}

// ConnectionUnblocked (10.61) takes Blocked back. RabbitMQ's extension.
type ConnectionUnblocked struct{}

// ID is IDConnectionUnblocked.
func (*ConnectionUnblocked) ID() ID { return IDConnectionUnblocked }

func (*ConnectionUnblocked) layout(c coder) coder { return c }

// ConnectionUpdateSecret (10.70) renews a client's credentials before they
// expire. RabbitMQ's extension.
type ConnectionUpdateSecret struct {
	NewSecret []byte // secret
	Reason    string
}

// ID is IDConnectionUpdateSecret.
func (*ConnectionUpdateSecret) ID() ID { return IDConnectionUpdateSecret }

func (m *ConnectionUpdateSecret) layout(c coder) coder {
	c.longStr(&m.NewSecret)
	c.shortStr(&m.Reason)
	return c
}

// ConnectionUpdateSecretOk (10.71) answers UpdateSecret. RabbitMQ's extension.
type ConnectionUpdateSecretOk struct{}

// ID is IDConnectionUpdateSecretOk.
func (*ConnectionUpdateSecretOk) ID() ID { return IDConnectionUpdateSecretOk }

func (*ConnectionUpdateSecretOk) layout(c coder) coder { return c }
