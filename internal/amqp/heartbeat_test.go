package amqp_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/waxwing-mq/waxwing/internal/amqp"
	"github.com/waxwing-mq/waxwing/internal/amqp/wire"
	"github.com/waxwing-mq/waxwing/internal/broker"
	"github.com/waxwing-mq/waxwing/internal/engine/mem"
)

// piped is a connection within the process, on the clock of a synctest bubble. What
// the server sends is taken at once, and kept until it is read.
type piped struct {
	net.Conn
	came  chan []byte
	ended time.Time // when the server closed it, once came is closed
}

func (p *piped) pump() {
	defer close(p.came)
	for {
		b := make([]byte, 4096)
		n, err := p.Conn.Read(b)
		if err != nil {
			p.ended = time.Now()
			return
		}
		p.came <- b[:n]
	}
}

func (p *piped) Read(b []byte) (int, error) {
	got, ok := <-p.came
	if !ok {
		return 0, io.EOF
	}
	return copy(b, got), nil
}

// loopback is the server's end, as if it came from this machine: guest may log in.
type loopback struct{ net.Conn }

func (loopback) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }
func (loopback) LocalAddr() net.Addr  { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 2} }

// onOwnClock runs a test with a server and one connection to it, in a bubble.
func onOwnClock(t *testing.T, test func(t *testing.T, r *raw, p *piped)) {
	synctest.Test(t, func(t *testing.T) {
		eng := must(mem.New(mem.Options{FileBytes: 8 << 20}).Engine())(t)
		b := must(broker.Open(t.Context(), broker.Config{Engine: eng}))(t)
		server := amqp.New(amqp.Config{Broker: b, Version: "test"})
		b.SetProtocol(server)
		client, other := net.Pipe()
		p := &piped{Conn: client, came: make(chan []byte, 1<<16)}
		go p.pump()
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan struct{})
		go func() {
			defer close(done)
			server.ServeConn(ctx, loopback{other})
		}()
		test(t, &raw{t: t, nc: p}, p)
		client.Close()
		cancel()
		<-done
		if err := b.Close(); err != nil {
			t.Error(err)
		}
		if err := eng.Close(); err != nil {
			t.Error(err)
		}
	})
}

// agree goes through the handshake, with so many seconds between heartbeats.
func (r *raw) agree(heartbeat uint16) {
	r.t.Helper()
	r.send([]byte(wire.ProtocolHeader))
	r.expect(0, &wire.ConnectionStart{})
	r.method(0, &wire.ConnectionStartOk{Mechanism: "PLAIN", Response: []byte("\x00guest\x00guest")})
	r.expect(0, &wire.ConnectionTune{})
	r.method(0, &wire.ConnectionTuneOk{ChannelMax: 10, FrameMax: 8192, Heartbeat: heartbeat})
	r.method(0, &wire.ConnectionOpen{VirtualHost: "/"})
	r.expect(0, &wire.ConnectionOpenOk{})
	r.method(1, &wire.ChannelOpen{})
	r.expect(1, &wire.ChannelOpenOk{})
}

// TestAnyOctetIsHeard: a client whose frame comes octet by octet is not silent, and one
// that sends nothing for two intervals is.
func TestAnyOctetIsHeard(t *testing.T) {
	onOwnClock(t, func(t *testing.T, r *raw, p *piped) {
		r.agree(2)
		for _, octet := range wire.AppendMethod(nil, 1, &wire.QueueDeclare{Queue: "slowly"}) {
			time.Sleep(4*time.Second - time.Millisecond)
			r.send([]byte{octet})
		}
		r.expect(1, &wire.QueueDeclareOk{})
		last := time.Now()
		if f, ok := r.frame(); ok {
			t.Fatalf("frame %d", f.Type)
		}
		if took := p.ended.Sub(last); took != 4*time.Second {
			t.Errorf("a silent client was let go after %v", took)
		}
	})
}

// TestHeartbeatsOfTheServer: it sends one when half of the interval has passed without
// anything else.
func TestHeartbeatsOfTheServer(t *testing.T) {
	onOwnClock(t, func(t *testing.T, r *raw, p *piped) {
		r.agree(10)
		time.Sleep(17 * time.Second) // of the 20 in which the client is to be heard
		synctest.Wait()
		beats := 0
		for len(p.came) > 0 {
			b := <-p.came
			beats += bytes.Count(b, wire.AppendHeartbeat(nil))
		}
		if beats != 3 {
			t.Errorf("%d heartbeats in 17 s, where half of the interval is 5 s", beats)
		}
	})
}

// TestWithoutHeartbeats: with 0 nobody sends any, and nobody misses them.
func TestWithoutHeartbeats(t *testing.T) {
	onOwnClock(t, func(t *testing.T, r *raw, p *piped) {
		r.agree(0)
		time.Sleep(24 * time.Hour)
		synctest.Wait()
		if n := len(p.came); n > 0 {
			t.Errorf("%d messages came", n)
		}
		r.method(1, &wire.QueueDeclare{Queue: "late"})
		r.expect(1, &wire.QueueDeclareOk{})
	})
}

// TestHandshakeEnds: a connection that is not open after ten seconds is closed, whatever
// has come by then.
func TestHandshakeEnds(t *testing.T) {
	for name, greet := range map[string]func(r *raw){
		"nothing":       func(*raw) {},
		"half a header": func(r *raw) { r.send([]byte("AMQP")) },
		"only a header": func(r *raw) { r.send([]byte(wire.ProtocolHeader)) },
		"until the tune": func(r *raw) {
			r.send([]byte(wire.ProtocolHeader))
			r.expect(0, &wire.ConnectionStart{})
			r.method(0, &wire.ConnectionStartOk{Mechanism: "PLAIN", Response: []byte("\x00guest\x00guest")})
			r.expect(0, &wire.ConnectionTune{})
		},
		"an octet each second": func(r *raw) {
			r.send([]byte(wire.ProtocolHeader))
			for _, octet := range wire.AppendMethod(nil, 0, &wire.ConnectionStartOk{Mechanism: "PLAIN"})[:9] {
				time.Sleep(time.Second)
				r.send([]byte{octet})
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			onOwnClock(t, func(t *testing.T, r *raw, p *piped) {
				begun := time.Now()
				greet(r)
				for {
					if _, ok := r.frame(); !ok {
						break
					}
				}
				if took := p.ended.Sub(begun); took != 10*time.Second {
					t.Errorf("it took %v", took)
				}
			})
		})
	}
}
