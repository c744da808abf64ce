package amqp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"time"

	"github.com/waxwing-mq/waxwing/internal/amqp/wire"
)

// frameMaxOpening bounds frames until frame-max is settled. The specification
// has 4,096 bytes; long tokens and client properties need more.
const frameMaxOpening = 16 << 10

// handshake goes from the protocol header to connection.open-ok (AMQP 0-9-1,
// section 2.2.4). The client's frames come one by one, each after the answer to
// the one before it.
func (c *conn) handshake() error {
	if err := c.nc.SetDeadline(time.Now().Add(handshakeMax)); err != nil {
		return err
	}
	if err := c.greet(); err != nil {
		return err
	}
	c.in.before = func() error { return context.Cause(c.ctx) }
	c.in.frameMax = frameMaxOpening
	steps := []func() error{c.login, c.tune, c.open}
	for _, step := range steps {
		if err := step(); err != nil {
			if p := asProtocolError(err); p != nil {
				c.refuseOpening(p)
			}
			return err
		}
	}
	c.in.before = c.beforeRead
	return c.nc.SetDeadline(time.Time{})
}

// greet reads the protocol header. Who speaks something else is told what is
// spoken here.
func (c *conn) greet() error {
	b, err := c.in.header()
	if err != nil {
		return err
	}
	switch p := wire.ParseProtocol(b); p {
	case wire.ProtocolAMQP091, wire.ProtocolAMQP09:
		return nil
	default:
		c.nc.Write([]byte(wire.ProtocolHeader))
		return fmt.Errorf("the client speaks %v, not AMQP 0-9-1", p)
	}
}

// say sends a method at once; the writer does not run yet.
func (c *conn) say(m wire.Method) error {
	_, err := c.nc.Write(wire.AppendMethod(nil, 0, m))
	return err
}

// expect reads the next method, which must be m.
func (c *conn) expect(m wire.Method) error {
	for {
		f, err := c.in.next()
		switch {
		case err != nil:
			return err
		case f.Type == wire.TypeHeartbeat:
			continue
		case f.Type != wire.TypeMethod || f.Channel != 0:
			return connectionErrf(wire.ChannelError, "expected %v on channel 0", m.ID())
		}
		return wire.DecodeInto(f.Payload, m)
	}
}

// refuseOpening tells a client why its connection is not opened, and waits a
// little for its answer: a client that is still writing would lose the words.
func (c *conn) refuseOpening(p *protocolError) {
	if p.code == wire.AccessRefused && !c.client.loginRefused {
		return // as in RabbitMQ: the socket closes, and old clients know what it means
	}
	c.nc.SetDeadline(time.Now().Add(closeMax))
	if c.say(&wire.ConnectionClose{ReplyCode: p.code, ReplyText: wire.ReplyText(p.code, p.reason), ClassID: p.method.Class(), MethodID: p.method.Method()}) == nil {
		_ = c.expect(&wire.ConnectionCloseOk{}) // whatever comes, the socket closes
	}
}

// login finds out who the client is.
func (c *conn) login() error {
	err := c.say(&wire.ConnectionStart{
		VersionMajor: 0, VersionMinor: 9, ServerProperties: c.s.serverProperties(),
		Mechanisms: []byte("PLAIN AMQPLAIN"), Locales: []byte("en_US"),
	})
	if err != nil {
		return err
	}
	var ok wire.ConnectionStartOk
	if err := c.expect(&ok); err != nil {
		return err
	}
	c.client = readCapabilities(ok.ClientProperties)
	var user, password string
	switch ok.Mechanism {
	case "PLAIN":
		user, password, err = plainLogin(ok.Response)
	case "AMQPLAIN":
		user, password, err = tableLogin(ok.Response)
	default:
		return connectionErrf(wire.AccessRefused, "unsupported authentication mechanism '%s'", ok.Mechanism)
	}
	if err == nil {
		c.s.enter(c, user, "") // first: a deletion that is not seen here finds it there
		err = c.s.cfg.Broker.Authenticate(user, password, isLoopback(c.nc))
	}
	if err != nil {
		c.s.cfg.Logger.Warn("AMQP login refused", "from", c.host, "user", user, "reason", err)
		return connectionErrf(wire.AccessRefused,
			"Login was refused using authentication mechanism %s. For details see the broker logfile.", ok.Mechanism)
	}
	c.user = user
	return nil
}

var errLogin = errors.New("the response is not what the mechanism has")

// plainLogin reads a response of SASL PLAIN (RFC 4616): identity, user and
// password, between zero bytes.
func plainLogin(b []byte) (user, password string, err error) {
	parts := bytes.Split(b, []byte{0})
	if len(parts) != 3 {
		return "", "", errLogin
	}
	return string(parts[1]), string(parts[2]), nil
}

// tableLogin reads a response of AMQPLAIN: a table without its length.
func tableLogin(b []byte) (user, password string, err error) {
	t, err := wire.ParseTable(b)
	if err != nil {
		return "", "", err
	}
	login, _ := t.Get("LOGIN")
	pass, _ := t.Get("PASSWORD")
	user, ok := login.Text()
	password, also := pass.Text()
	if !ok || !also {
		return "", "", errLogin
	}
	return user, password, nil
}

// isLoopback says whether the client is on this machine.
func isLoopback(nc net.Conn) bool {
	at, err := netip.ParseAddrPort(nc.RemoteAddr().String())
	return err != nil || at.Addr().Unmap().IsLoopback() // no address: a pipe or a socket of this machine
}

// tune settles the limits. The smaller of both wishes holds; no limit is a
// wish for the broker's.
func (c *conn) tune() error {
	cfg := &c.s.cfg
	err := c.say(&wire.ConnectionTune{
		ChannelMax: cfg.ChannelMax, FrameMax: cfg.FrameMax, Heartbeat: uint16(cfg.Heartbeat / time.Second),
	})
	if err != nil {
		return err
	}
	var ok wire.ConnectionTuneOk
	if err := c.expect(&ok); err != nil {
		return err
	}
	if ok.FrameMax == 0 {
		ok.FrameMax = cfg.FrameMax
	}
	if ok.ChannelMax == 0 {
		ok.ChannelMax = cfg.ChannelMax
	}
	switch {
	case ok.FrameMax < wire.FrameMaxMin:
		return connectionErrf(wire.NotAllowed, "negotiated frame_max = %d is lower than the minimum allowed value (%d)", ok.FrameMax, wire.FrameMaxMin)
	case ok.FrameMax > cfg.FrameMax:
		return connectionErrf(wire.NotAllowed, "negotiated frame_max = %d is higher than the maximum allowed value (%d)", ok.FrameMax, cfg.FrameMax)
	case ok.ChannelMax > cfg.ChannelMax:
		return connectionErrf(wire.NotAllowed, "negotiated channel_max = %d is higher than the maximum allowed value (%d)", ok.ChannelMax, cfg.ChannelMax)
	}
	c.frameMax, c.channelMax = ok.FrameMax, ok.ChannelMax
	c.in.frameMax = min(ok.FrameMax, math.MaxInt32)
	c.heartbeat = time.Duration(ok.Heartbeat) * time.Second
	return nil
}

// open enters a virtual host.
func (c *conn) open() error {
	var open wire.ConnectionOpen
	if err := c.expect(&open); err != nil {
		return err
	}
	c.s.enter(c, c.user, open.VirtualHost) // first, as above
	v, ok := c.s.cfg.Broker.VHost(open.VirtualHost)
	if !ok {
		return ofMethod(wire.IDConnectionOpen, connectionErrf(wire.NotAllowed, "vhost %s not found", open.VirtualHost))
	}
	if !c.s.cfg.Broker.MayEnter(c.user, open.VirtualHost) {
		return ofMethod(wire.IDConnectionOpen, connectionErrf(wire.NotAllowed, "access to vhost '%s' refused for user '%s'", open.VirtualHost, c.user))
	}
	c.vhost = v
	c.session = v.NewSession(c)
	c.session.HoldOrder()
	return c.say(&wire.ConnectionOpenOk{})
}

// updateSecret takes a new password of the same user (RabbitMQ's extension).
func (c *conn) updateSecret(m *wire.ConnectionUpdateSecret) error {
	if err := c.s.cfg.Broker.Authenticate(c.user, string(m.NewSecret), isLoopback(c.nc)); err != nil {
		return connectionErrf(wire.AccessRefused, "the new secret was refused")
	}
	c.out.method(0, &wire.ConnectionUpdateSecretOk{})
	return nil
}
