// Package safeguard removes single safeguards of the SDK while a program runs, so
// that a demonstration or a test can show that its checks notice. Nothing outside
// of this module can reach it.
package safeguard

import "sync/atomic"

// Name is the name of a safeguard.
type Name int

// The safeguards that can be removed.
const (
	Dedup    Name = iota // inbox: a message that was seen before is skipped
	Fence                // outbox: a relay stops when its lease ends, and deletes only under the lease's token
	Order                // outbox: a bucket is read in the order of its ids
	AckOrder             // bus, inbox: a message is acknowledged after the handler's commit
	Barrier              // saga: a participant's barrier
	Ratchet              // inbox: what opening a message does to its session commits with its effect
	OneTime              // seal: a one-time key is deleted in the transaction that opens the message
	names
)

// Names are the words by which command lines know them.
var Names = map[string]Name{"dedup": Dedup, "fence": Fence, "order": Order, "ack-order": AckOrder, "barrier": Barrier, "ratchet": Ratchet, "one-time": OneTime}

var removed [names]atomic.Bool

// Remove removes a safeguard from here on.
func Remove(n Name) { removed[n].Store(true) }

// Restore brings all of them back.
func Restore() {
	for n := range removed {
		removed[n].Store(false)
	}
}

// Removed says whether a safeguard is removed.
func Removed(n Name) bool { return removed[n].Load() }
