package broker

import (
	"context"
	"sync"
)

// command is what a sequencer carries out. decide runs on the shard's
// sequencer goroutine; now is the shard's time in ms.
type command interface {
	decide(s *shard, now int64)
	// refuse answers the command without carrying it out.
	refuse(err error)
}

// lane says how a command waits.
type lane uint8

const (
	control lane = iota // commits, heartbeats, administration: first, and never held back
	data                // appends: held back by size
)

// The limits of an inbox's data lane.
const (
	inboxBytesMax    = 32 << 20
	inboxCommandsMax = 8192
)

// inbox is the queue in front of a sequencer. Any goroutine puts, the
// sequencer takes.
type inbox struct {
	mu     sync.Mutex
	lanes  [2][]command
	bytes  int64
	room   sync.Cond
	wake   chan struct{} // has a token when there may be something to take
	closed bool
}

func newInbox() *inbox {
	in := &inbox{wake: make(chan struct{}, 1)}
	in.room.L = &in.mu
	return in
}

// put queues c. On the data lane it waits for room, unless ctx ends first.
// size is in bytes. When it returns false the inbox is closed and c was not
// taken.
func (in *inbox) put(ctx context.Context, l lane, c command, size int64) bool {
	in.mu.Lock()
	for l == data && !in.closed && in.bytes > 0 &&
		(in.bytes+size > inboxBytesMax || len(in.lanes[data]) >= inboxCommandsMax) {
		if ctx.Err() != nil {
			break
		}
		in.room.Wait()
	}
	if in.closed {
		in.mu.Unlock()
		return false
	}
	in.lanes[l] = append(in.lanes[l], c)
	if l == data {
		in.bytes += size
	}
	in.mu.Unlock()
	select {
	case in.wake <- struct{}{}:
	default:
	}
	return true
}

// take moves everything queued into batch and empties the inbox.
func (in *inbox) take(batch *[2][]command) (closed bool) {
	in.mu.Lock()
	defer in.mu.Unlock()
	for l := range in.lanes {
		in.lanes[l], batch[l] = batch[l][:0], in.lanes[l]
	}
	in.bytes = 0
	in.room.Broadcast()
	return in.closed
}

// close lets nothing more in. What is queued can still be taken.
func (in *inbox) close() {
	in.mu.Lock()
	in.closed = true
	in.room.Broadcast()
	in.mu.Unlock()
	select {
	case in.wake <- struct{}{}:
	default:
	}
}
