// Package golden records what real clients say to the broker, and what it
// answers, for internal/kafka to replay. See `make golden`.
package golden

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
)

// recorder is a proxy in front of a broker that writes down every frame, in
// the order in which they were passed on. A line of the record is
//
//	> CONNECTION BASE64   a request, without its length
//	< CONNECTION BASE64   a response, without its length
//	x CONNECTION          the client has closed the connection
//
// Connections are numbered from 1.
type recorder struct {
	ln net.Listener

	mu    sync.Mutex
	lines []string
	conns int
	open  []net.Conn
	wait  sync.WaitGroup
}

func newRecorder() (*recorder, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	return &recorder{ln: ln}, err
}

// addr is where clients connect to.
func (r *recorder) addr() string { return r.ln.Addr().String() }

// serve passes connections on to upstream until close.
func (r *recorder) serve(upstream string) {
	for {
		client, err := r.ln.Accept()
		if err != nil {
			return
		}
		broker, err := net.Dial("tcp", upstream)
		if err != nil {
			client.Close()
			continue
		}
		r.mu.Lock()
		r.conns++
		n := r.conns
		r.open = append(r.open, client, broker)
		r.mu.Unlock()
		r.wait.Go(func() {
			r.pass('>', n, broker, client)
			r.add(fmt.Sprintf("x %d", n))
			broker.Close()
		})
		r.wait.Go(func() {
			r.pass('<', n, client, broker)
			client.Close()
		})
	}
}

// pass copies frames until either end is closed.
func (r *recorder) pass(mark byte, n int, to io.Writer, from io.Reader) {
	for {
		frame := make([]byte, 4)
		if _, err := io.ReadFull(from, frame); err != nil {
			return
		}
		frame = append(frame, make([]byte, binary.BigEndian.Uint32(frame))...)
		if _, err := io.ReadFull(from, frame[4:]); err != nil {
			return
		}
		r.add(fmt.Sprintf("%c %d %s", mark, n, base64.StdEncoding.EncodeToString(frame[4:])))
		if _, err := to.Write(frame); err != nil {
			return
		}
	}
}

func (r *recorder) add(line string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines = append(r.lines, line)
}

// close ends the recording, with the connections that a client has left open,
// and returns it.
func (r *recorder) close() string {
	r.ln.Close()
	r.mu.Lock()
	open := r.open
	r.mu.Unlock()
	for _, c := range open {
		c.Close()
	}
	r.wait.Wait()
	return strings.Join(r.lines, "\n") + "\n"
}
