package main

import (
	"bufio"
	"net"
	"sync"
	"time"
)

// gatheringConn gathers what is written while a write is under way, and reads
// ahead. The client library makes a system call of every message and reads 4 KiB
// at a time; so it would be the client that is measured, not the broker.
type gatheringConn struct {
	net.Conn
	in *bufio.Reader

	mu      sync.Mutex
	changed *sync.Cond
	pending []byte // to be written
	err     error  // why writing has ended
	writing bool

	deadline time.Time // for reading, as last set
}

const (
	gatherMax  = 256 << 10 // bytes that wait before writers do
	readAhead  = 64 << 10
	deadlineOf = time.Second // how exact read deadlines are
)

// newGatheringConn wraps nc. Close ends its goroutine.
func newGatheringConn(nc net.Conn) *gatheringConn {
	c := &gatheringConn{Conn: nc, in: bufio.NewReaderSize(nc, readAhead)}
	c.changed = sync.NewCond(&c.mu)
	go c.write()
	return c
}

// Write hands p over; it keeps no reference to it. An error is that of an
// earlier write.
func (c *gatheringConn) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.pending) > gatherMax && c.err == nil {
		c.changed.Wait()
	}
	if c.err != nil {
		return 0, c.err
	}
	c.pending = append(c.pending, p...)
	if !c.writing {
		c.changed.Broadcast()
	}
	return len(p), nil
}

// write writes what is pending until the connection is closed.
func (c *gatheringConn) write() {
	var buf []byte
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.err == nil {
		if len(c.pending) == 0 {
			c.changed.Wait()
			continue
		}
		buf, c.pending = c.pending, buf[:0]
		c.writing = true
		c.mu.Unlock()
		_, err := c.Conn.Write(buf)
		c.mu.Lock()
		c.writing = false
		if c.err == nil {
			c.err = err
		}
		c.changed.Broadcast()
	}
}

// Read implements net.Conn, for one goroutine.
func (c *gatheringConn) Read(p []byte) (int, error) { return c.in.Read(p) }

// SetReadDeadline implements net.Conn, to the second: the library moves it with
// every frame.
func (c *gatheringConn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if ahead := t.Sub(c.deadline); ahead >= 0 && ahead < deadlineOf {
		return nil
	}
	c.deadline = t
	return c.Conn.SetReadDeadline(t)
}

// Close implements net.Conn. What is not written yet is lost.
func (c *gatheringConn) Close() error {
	c.mu.Lock()
	if c.err == nil {
		c.err = net.ErrClosed
	}
	c.changed.Broadcast()
	c.mu.Unlock()
	return c.Conn.Close()
}
