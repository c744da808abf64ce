package amqp_test

import (
	"net"
	"testing"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"
)

// lingering is a connection whose owner closes it when it is told to, not before.
type lingering struct {
	net.Conn
	ended chan error // what the last read returned
}

func (l *lingering) Read(p []byte) (int, error) {
	n, err := l.Conn.Read(p)
	if err != nil {
		l.ended <- err
	}
	return n, err
}

func (l *lingering) Close() error { return nil }

// TestClientClosesSocket: after connection.close-ok it is the client that closes
// the socket, as with RabbitMQ. Clients take an end that comes earlier for a
// lost connection, and some wait forever then. One that does not close is not
// waited for long.
func TestClientClosesSocket(t *testing.T) {
	n := start(t)
	nc := must(net.Dial("tcp", n.addr))(t)
	l := &lingering{Conn: nc, ended: make(chan error, 10)}
	c := must(amqp091.Open(l, amqp091.Config{SASL: []amqp091.Authentication{&amqp091.PlainAuth{Username: "guest", Password: "guest"}}, Vhost: "/"}))(t)
	ch := must(c.Channel())(t)
	must(ch.QueueDeclare("mine", false, false, true, false, nil))(t)
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	// What was exclusive is gone by then.
	must(n.channel().QueueDeclare("mine", true, false, false, false, nil))(t)
	select {
	case err := <-l.ended:
		t.Fatalf("the broker closed the socket at once: %v", err)
	case <-time.After(300 * time.Millisecond):
	}
	select {
	case <-l.ended:
	case <-time.After(20 * time.Second):
		t.Fatal("the socket is still open")
	}
	nc.Close()
}
