package amqp_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/waxwing-mq/waxwing/internal/amqp/wire"
)

// raw is a client that sends what it likes.
type raw struct {
	t   *testing.T
	nc  net.Conn
	buf []byte
}

func (n *node) raw() *raw {
	n.t.Helper()
	nc, err := net.Dial("tcp", n.addr)
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { nc.Close() })
	nc.SetDeadline(time.Now().Add(30 * time.Second))
	return &raw{t: n.t, nc: nc}
}

func (r *raw) send(b []byte) {
	r.t.Helper()
	if _, err := r.nc.Write(b); err != nil {
		r.t.Fatal(err)
	}
}

func (r *raw) method(channel uint16, m wire.Method) {
	r.t.Helper()
	r.send(wire.AppendMethod(nil, channel, m))
}

// frame reads the next frame that is no heartbeat; false at the end.
func (r *raw) frame() (wire.Frame, bool) {
	r.t.Helper()
	for {
		f, n, err := wire.ParseFrame(r.buf, 1<<20)
		if err != nil {
			r.t.Fatal(err)
		}
		if n > 0 {
			f.Payload = bytes.Clone(f.Payload)
			r.buf = r.buf[n:]
			if f.Type == wire.TypeHeartbeat {
				continue
			}
			return f, true
		}
		b := make([]byte, 64<<10)
		n, err = r.nc.Read(b)
		r.buf = append(r.buf, b[:n]...)
		if err != nil && n == 0 {
			var ne net.Error
			if errors.As(err, &ne) && ne.Timeout() {
				r.t.Fatal("nothing came, and the connection is open")
			}
			return wire.Frame{}, false
		}
	}
}

// expect reads a method of the kind of m.
func (r *raw) expect(channel uint16, m wire.Method) {
	r.t.Helper()
	f, ok := r.frame()
	if !ok {
		r.t.Fatalf("the connection ended; %v was to come", m.ID())
	}
	if f.Channel != channel || f.Type != wire.TypeMethod {
		r.t.Fatalf("frame %d on channel %d; %v was to come", f.Type, f.Channel, m.ID())
	}
	if err := wire.DecodeInto(f.Payload, m); err != nil {
		r.t.Fatal(err)
	}
}

// open goes through the handshake and opens channel 1.
func (r *raw) open() *raw {
	r.t.Helper()
	r.send([]byte(wire.ProtocolHeader))
	r.expect(0, &wire.ConnectionStart{})
	r.method(0, &wire.ConnectionStartOk{Mechanism: "PLAIN", Response: []byte("\x00guest\x00guest"), Locale: "en_US"})
	var tune wire.ConnectionTune
	r.expect(0, &tune)
	r.method(0, &wire.ConnectionTuneOk{ChannelMax: 100, FrameMax: 8192, Heartbeat: 0})
	r.method(0, &wire.ConnectionOpen{VirtualHost: "/"})
	r.expect(0, &wire.ConnectionOpenOk{})
	r.method(1, &wire.ChannelOpen{})
	r.expect(1, &wire.ChannelOpenOk{})
	return r
}

func frame(t wire.FrameType, channel uint16, payload []byte) []byte {
	return append(append(wire.AppendFrameHeader(nil, t, channel, uint32(len(payload))), payload...), wire.FrameEnd)
}

func deepTable(depth int) []byte {
	b := []byte{}
	for range depth {
		field := append([]byte{1, 'k', 'F'}, binary.BigEndian.AppendUint32(nil, uint32(len(b)))...)
		b = append(field, b...)
	}
	return b
}

// TestBadInput: each kind of nonsense gets the protocol's own error, on the
// connection, and others do not notice.
func TestBadInput(t *testing.T) {
	n := start(t)
	good := n.channel()
	must(good.QueueDeclare("good", true, false, false, false, nil))(t)
	publish := wire.AppendMethod(nil, 1, &wire.BasicPublish{RoutingKey: "good"})
	header := func(size uint64) []byte { return wire.AppendContentHeader(nil, 1, wire.ContentHeader{BodySize: size}) }
	declare := wire.AppendMethod(nil, 1, &wire.QueueDeclare{Queue: "deep"})
	// The arguments' length is the last field of the method.
	deep := deepTable(1000)
	payload := append(bytes.Clone(declare[wire.FrameHeaderLen:len(declare)-5]), binary.BigEndian.AppendUint32(nil, uint32(len(deep)))...)
	tooDeep := frame(wire.TypeMethod, 1, append(payload, deep...))
	var channels []byte
	for number := range uint16(100) { // beside channel 1
		channels = wire.AppendMethod(channels, number+2, &wire.ChannelOpen{})
	}
	for name, c := range map[string]struct {
		bytes []byte
		code  wire.ReplyCode
	}{
		"frame too large":          {wire.AppendFrameHeader(nil, wire.TypeMethod, 1, 100_000), wire.FrameError},
		"length of 4 GiB":          {wire.AppendFrameHeader(nil, wire.TypeBody, 1, 1<<32-1), wire.FrameError},
		"unknown frame type":       {frame(9, 1, nil), wire.FrameError},
		"wrong end octet":          {append(wire.AppendFrameHeader(nil, wire.TypeMethod, 1, 4), 0, 20, 0, 10, 0), wire.FrameError},
		"method cut off":           {frame(wire.TypeMethod, 1, []byte{0, 60}), wire.FrameError},
		"unknown class":            {frame(wire.TypeMethod, 1, []byte{0, 99, 0, 10}), wire.NotImplemented},
		"header without publish":   {header(1), wire.UnexpectedFrame},
		"body without publish":     {frame(wire.TypeBody, 1, []byte("x")), wire.UnexpectedFrame},
		"body without header":      {append(bytes.Clone(publish), frame(wire.TypeBody, 1, []byte("x"))...), wire.UnexpectedFrame},
		"method instead of header": {append(bytes.Clone(publish), publish...), wire.UnexpectedFrame},
		"second header":            {append(append(bytes.Clone(publish), header(5)...), header(5)...), wire.UnexpectedFrame},
		"more body than announced": {append(append(bytes.Clone(publish), header(2)...), frame(wire.TypeBody, 1, []byte("abc"))...), wire.UnexpectedFrame},
		"tables 1,000 deep":        {tooDeep, wire.SyntaxError},
		"channel that is not open": {wire.AppendMethod(nil, 7, &wire.BasicQos{}), wire.ChannelError},
		"too many channels":        {channels, wire.NotAllowed},
		"channel opened twice":     {wire.AppendMethod(nil, 1, &wire.ChannelOpen{}), wire.ChannelError},
		"heartbeat on a channel":   {frame(wire.TypeHeartbeat, 1, nil), wire.UnexpectedFrame},
		"content on channel 0":     {frame(wire.TypeBody, 0, []byte("x")), wire.UnexpectedFrame},
		"a server's method":        {wire.AppendMethod(nil, 1, &wire.BasicConsumeOk{ConsumerTag: "x"}), wire.CommandInvalid},
		"connection method":        {wire.AppendMethod(nil, 1, &wire.ConnectionOpen{VirtualHost: "/"}), wire.CommandInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			r := n.raw()
			r.t = t
			r.open()
			r.send(c.bytes)
			if name == "too many channels" {
				for number := range uint16(99) {
					r.expect(number+2, &wire.ChannelOpenOk{})
				}
			}
			var closed wire.ConnectionClose
			r.expect(0, &closed)
			if closed.ReplyCode != c.code || !strings.HasPrefix(closed.ReplyText, c.code.String()) {
				t.Errorf("closed with %d %s, want %d", closed.ReplyCode, closed.ReplyText, c.code)
			}
			r.method(0, &wire.ConnectionCloseOk{})
			if f, ok := r.frame(); ok {
				t.Errorf("frame %d after close-ok", f.Type)
			}
		})
	}
	must(good.QueueDeclarePassive("good", true, false, false, false, nil))(t)
}

// TestBadHeaders: who does not speak AMQP 0-9-1 is told what is spoken here.
func TestBadHeaders(t *testing.T) {
	n := start(t)
	for name, hello := range map[string]string{
		"garbage": "\x00\x01\x02\x03\x04\x05\x06\x07", "AMQP 1.0": "AMQP\x00\x01\x00\x00", "AMQP 1.0 with SASL": "AMQP\x03\x01\x00\x00",
		"HTTP": "GET / HTTP/1.1\r\n\r\n", "TLS": "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03",
	} {
		r := n.raw()
		r.send([]byte(hello))
		got, err := io.ReadAll(r.nc)
		if err != nil && !strings.Contains(err.Error(), "reset") || string(got) != wire.ProtocolHeader {
			t.Errorf("%s: answered %q, %v", name, got, err)
		}
	}
}

// TestSplitAtEveryByte: frames may come in any pieces.
func TestSplitAtEveryByte(t *testing.T) {
	n := start(t)
	r := n.raw().open()
	b := wire.AppendMethod(nil, 1, &wire.QueueDeclare{Queue: "split"})
	b = wire.AppendMethod(b, 1, &wire.ConfirmSelect{})
	b = wire.AppendMethod(b, 1, &wire.BasicPublish{RoutingKey: "split"})
	b = wire.AppendContentHeader(b, 1, wire.ContentHeader{BodySize: 10})
	b = append(b, frame(wire.TypeBody, 1, []byte("01234"))...)
	b = append(b, frame(wire.TypeBody, 1, []byte("56789"))...)
	b = wire.AppendMethod(b, 1, &wire.BasicGet{Queue: "split", NoAck: true})
	for i := range b {
		r.send(b[i : i+1])
		if i%16 == 0 {
			time.Sleep(time.Millisecond)
		}
	}
	r.expect(1, &wire.QueueDeclareOk{})
	r.expect(1, &wire.ConfirmSelectOk{})
	var ack wire.BasicAck
	r.expect(1, &ack)
	var got wire.BasicGetOk
	r.expect(1, &got)
	h, _ := r.frame()
	body, ok := r.frame()
	if ack.DeliveryTag != 1 || h.Type != wire.TypeHeader || !ok || string(body.Payload) != "0123456789" {
		t.Fatalf("ack %+v, header %v, body %q", ack, h.Type, body.Payload)
	}
}

// TestSilentClient: heartbeats that stop end the connection, and what it held
// goes back.
func TestSilentClient(t *testing.T) {
	n := start(t)
	r := n.raw()
	r.send([]byte(wire.ProtocolHeader))
	r.expect(0, &wire.ConnectionStart{})
	r.method(0, &wire.ConnectionStartOk{Mechanism: "PLAIN", Response: []byte("\x00guest\x00guest")})
	r.expect(0, &wire.ConnectionTune{})
	r.method(0, &wire.ConnectionTuneOk{ChannelMax: 10, FrameMax: 8192, Heartbeat: 1})
	r.method(0, &wire.ConnectionOpen{VirtualHost: "/"})
	r.expect(0, &wire.ConnectionOpenOk{})
	began := time.Now()
	if f, ok := r.frame(); ok { // heartbeats are passed over
		t.Fatalf("frame %d", f.Type)
	}
	if took := time.Since(began); took < time.Second || took > 20*time.Second {
		t.Errorf("ended after %v", took)
	}
}

// TestClientThatNeverReads holds little, and others do not notice.
func TestClientThatNeverReads(t *testing.T) {
	n := start(t)
	good := n.channel()
	must(good.QueueDeclare("q", true, false, false, false, nil))(t)
	r := n.raw().open()
	one := wire.AppendMethod(nil, 1, &wire.QueueDeclare{Queue: "q", Passive: true})
	many := bytes.Repeat(one, 1000)
	r.nc.SetWriteDeadline(time.Now().Add(5 * time.Second))
	sent := 0
	for sent < 256<<20 {
		k, err := r.nc.Write(many)
		sent += k
		if err != nil {
			break
		}
	}
	if sent >= 256<<20 {
		t.Fatal("everything was taken from a client that does not read")
	}
	must(good.QueueDeclarePassive("q", true, false, false, false, nil))(t)
}
