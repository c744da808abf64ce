package amqp

import (
	"sync"

	"github.com/waxwing-mq/waxwing/internal/amqp/wire"
)

const (
	// outputMax is how many bytes may wait to be sent before nothing more is
	// read from the peer: a client that asks and does not read holds little.
	outputMax = 1 << 20
	// outputFlush is how many bytes are gathered for one write.
	outputFlush = 64 << 10
	// outputKeep is the largest buffer that is kept for the next write.
	outputKeep = 256 << 10
)

// outItem is something to send: bytes, or a message that is still in its log.
type outItem struct {
	bytes    []byte
	delivery *delivery
}

// output is what a connection has to send, in order. Any goroutine adds, the
// writer takes.
type output struct {
	mu     sync.Mutex
	room   sync.Cond
	items  []outItem
	bytes  int
	closed bool          // nothing more is taken in
	hurry  bool          // nobody is to wait for room any more
	wake   chan struct{} // has a token when there may be something to send
}

func newOutput() *output {
	o := &output{wake: make(chan struct{}, 1)}
	o.room.L = &o.mu
	return o
}

// method adds a method without content.
func (o *output) method(channel uint16, m wire.Method) {
	o.append(func(dst []byte) []byte { return wire.AppendMethod(dst, channel, m) })
}

// append adds what fn appends. Bytes that follow each other share a buffer.
func (o *output) append(fn func(dst []byte) []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return
	}
	if n := len(o.items); n == 0 || o.items[n-1].delivery != nil {
		o.items = append(o.items, outItem{})
	}
	last := &o.items[len(o.items)-1]
	before := len(last.bytes)
	last.bytes = fn(last.bytes)
	o.bytes += len(last.bytes) - before
	o.kick()
}

// deliver adds a message.
func (o *output) deliver(d *delivery) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return
	}
	o.items = append(o.items, outItem{delivery: d})
	o.kick()
}

func (o *output) kick() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// take returns what is to be sent, in exchange for a slice to use next.
func (o *output) take(next []outItem) []outItem {
	o.mu.Lock()
	defer o.mu.Unlock()
	items := o.items
	o.items, o.bytes = next[:0], 0
	o.room.Broadcast()
	return items
}

// await waits until little enough is to be sent.
func (o *output) await() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for o.bytes > outputMax && !o.closed && !o.hurry {
		o.room.Wait()
	}
}

// rouse ends every wait for room, now and later.
func (o *output) rouse() {
	o.mu.Lock()
	o.hurry = true
	o.room.Broadcast()
	o.mu.Unlock()
	o.kick()
}

// close lets nothing more in and wakes whoever waits.
func (o *output) close() {
	o.mu.Lock()
	o.closed = true
	o.room.Broadcast()
	o.mu.Unlock()
	o.kick()
}

// size is how many bytes wait to be sent, messages in their logs not counted.
func (o *output) size() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.bytes
}

// ended says whether output is closed.
func (o *output) ended() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.closed
}
