package amqp

import (
	"context"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/waxwing-mq/waxwing"
	"github.com/waxwing-mq/waxwing/bus"
	"github.com/waxwing-mq/waxwing/waxtest"
)

// TestHandshakeBreaksOff: a broker that goes away during the handshake is no broker that
// refuses the user; one that does so again and again is.
func TestHandshakeBreaksOff(t *testing.T) {
	broker := waxtest.Broker(t, waxwing.AMQPAddr("127.0.0.1:0")).AMQPAddr()
	for _, c := range []struct {
		name   string
		breaks int32
		works  bool
	}{{"twice", 2, true}, {"always", 1 << 30, false}} {
		t.Run(c.name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			var left atomic.Int32
			left.Store(c.breaks)
			go func() {
				for {
					client, err := l.Accept()
					if err != nil {
						return
					}
					go relay(client, broker, left.Add(-1) >= 0)
				}
			}()
			b, err := New("amqp://guest:guest@" + l.Addr().String() + "/")
			if err != nil {
				t.Fatal(err)
			}
			defer b.Close()
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			err = b.Publish(ctx, []bus.Message{{Topic: "q", Body: []byte("m")}})
			if (err == nil) != c.works || ctx.Err() != nil {
				t.Errorf("%v", err)
			}
		})
	}
}

// relay has a client speak with a broker, but breaks off after the client has said who it
// is, if it should.
func relay(client net.Conn, broker string, breaks bool) {
	defer client.Close()
	server, err := net.Dial("tcp", broker)
	if err != nil {
		return
	}
	defer server.Close()
	if breaks {
		buf := make([]byte, 4096)
		_, _ = io.CopyN(server, client, 8) // the protocol's header
		n, _ := server.Read(buf)
		_, _ = client.Write(buf[:n])
		_, _ = client.Read(buf)
		return
	}
	go func() { _, _ = io.Copy(server, client); server.Close() }()
	_, _ = io.Copy(client, server)
}
