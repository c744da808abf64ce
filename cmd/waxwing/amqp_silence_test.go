package main

import (
	"bytes"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// deafProxy forwards connections to addr, until a client says "frozen": from
// then on nothing of that connection arrives.
func deafProxy(t *testing.T, addr string) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", addr)
			if err != nil {
				client.Close()
				return
			}
			go func() {
				io.Copy(client, server)
				client.Close()
			}()
			go forward(server, client)
		}
	}()
	return l.Addr().String()
}

func forward(to, from net.Conn) {
	buf := make([]byte, 4096)
	frozen := false
	for {
		n, err := from.Read(buf)
		if err != nil {
			to.Close()
			return
		}
		if frozen = frozen || bytes.Contains(buf[:n], []byte("frozen")); !frozen {
			to.Write(buf[:n])
		}
	}
}

// TestAMQPBrokerFallsSilent: a broker that stops answering is given up after
// --timeout, whatever was asked.
func TestAMQPBrokerFallsSilent(t *testing.T) {
	n, _ := startNode(t)
	url := "amqp://guest:guest@" + deafProxy(t, n.AMQPAddr()) + "/"
	for _, args := range []string{
		"queue show frozen", "queue declare frozen", "bind amq.direct frozen", "exchange delete frozen",
		"get frozen", "publish frozen --body x -q", "publish frozen --body x -q --confirm=false",
		"bench amqp -n 5 -q frozen", "bench amqp -n 5 --consume -a x-note=frozen",
	} {
		t.Run(args, func(t *testing.T) {
			t.Parallel()
			began := time.Now()
			_, _, err := runCommand(t.Context(), "", append(strings.Fields(args), "--url", url, "--timeout", "300ms")...)
			if err == nil || !strings.HasPrefix(err.Error(), "no answer from "+strings.TrimSuffix(strings.TrimPrefix(url, "amqp://guest:guest@"), "/")) {
				t.Errorf("error %v", err)
			}
			if took := time.Since(began); took > 10*time.Second {
				t.Errorf("took %v", took)
			}
		})
	}
}
