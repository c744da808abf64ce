package queue

import "github.com/waxwing-mq/waxwing/internal/datafile"

// Reply is one of the replies below, as a pointer: each answers the command
// that it is named after. It belongs to the machine and holds until the next
// call.
type Reply interface{ reply() }

// DeclareReply answers Declare.
type DeclareReply struct {
	Err       Fault
	Argument  string // Inequivalent: kind, durable, auto-delete, exclusive, or the name of an Argument
	Queue     ID
	Created   bool
	Ready     int64
	Consumers int
}

// DeleteReply answers Delete.
type DeleteReply struct {
	Err   Fault
	Ready int64 // messages that went with it
}

// PurgeReply answers Purge.
type PurgeReply struct {
	Err    Fault
	Purged int64
}

// Info is what is known of one queue.
type Info struct {
	Queue          ID
	Spec           *Spec // not to be changed
	Ready          int64
	Unacknowledged int64
	Moving         int64 // waiting to be dead-lettered
	Delayed        int64
	Bytes          int64 // of all messages; with Settings.MaxBytes only
	Consumers      []ConsumerInfo
}

// ConsumerInfo is what is known of one consumer.
type ConsumerInfo struct {
	Consumer       ConsumerID
	Channel        ChannelID
	Connection     ConnectionID
	Prefetch       int
	NoAck          bool
	Exclusive      bool
	Active         bool // gets messages; only one of a single-active queue does
	Priority       int32
	Unacknowledged int
}

// InspectReply answers Inspect.
type InspectReply struct {
	Err  Fault
	Info Info
}

// ListReply answers List.
type ListReply struct{ Queues []Info }

// Outcome says what became of a message at one target.
type Outcome uint8

// The outcomes.
const (
	Accepted           Outcome = iota // its bytes have to go to Place
	Repeated                          // its dedup id is known; it is there already
	RejectedFull                      // the queue is full
	RejectedDeadLetter                // the queue is full, and wants it dead-lettered
	Gone                              // there is no such queue any more
)

// Placed says what became of a message at one target.
type Placed struct {
	Queue   ID
	Outcome Outcome
	Place   Place // Accepted only
}

// PublishReply answers Publish: one Placed per target, in order.
type PublishReply struct{ Placed []Placed }

// SettleReply answers Settle.
type SettleReply struct {
	// Unknown counts the messages that the channel does not hold. Those of
	// deleted queues are not counted.
	Unknown int64
}

// CommitReply answers Commit.
type CommitReply struct {
	Placed  [][]Placed // of each publish
	Unknown int64      // as in SettleReply, of all settles
}

// SubscribeReply answers Subscribe.
type SubscribeReply struct{ Err Fault }

// GetReply answers Get.
type GetReply struct {
	Err      Fault
	Found    bool
	Delivery Delivery // with Found; its Consumer is 0
	Ready    int64    // messages that are left
}

// AcquireReply answers Acquire. There may be more than it has: one call hands out
// so many and no more.
type AcquireReply struct {
	Err        Fault
	Deliveries []Delivery // their Consumer is 0
}

// MoveReply answers Move.
type MoveReply struct {
	Err    Fault // NotFound: it is not being moved. Refused: a target is full or none is left
	Placed []Placed
}

// Done answers the commands that cannot fail: Cancel, Prefetch, Flow,
// CloseChannel, CloseConnection, MoveFailed.
type Done struct{}

func (*DeclareReply) reply()   {}
func (*DeleteReply) reply()    {}
func (*PurgeReply) reply()     {}
func (*InspectReply) reply()   {}
func (*ListReply) reply()      {}
func (*PublishReply) reply()   {}
func (*SettleReply) reply()    {}
func (*CommitReply) reply()    {}
func (*SubscribeReply) reply() {}
func (*GetReply) reply()       {}
func (*AcquireReply) reply()   {}
func (*MoveReply) reply()      {}
func (*Done) reply()           {}

// Effects are what a call brings about outside of the state, in the order in
// which they are listed here; within each list in order. They hold until the
// next call, and come true when the call's entry is durable; deliveries may
// before, see Delivery.After.
type Effects struct {
	Deliveries []Delivery
	Fetches    []Fetch
	Settled    []Settled
	Dropped    []Dropped
	Cancelled  []Cancelled
	Deleted    []Deleted
}

// Delivery is one message for one consumer.
type Delivery struct {
	Consumer    ConsumerID
	Channel     ChannelID
	Ref         Ref
	Log         datafile.LogID
	Redelivered bool
	Count       uint32 // how often it came back
	NoAck       bool   // it is settled already
	// After is the entry, as Machine.Entries counts them, that has to be durable
	// before anybody sees the delivery: it is the last one that says anything of
	// what it shows, but for the one that added the message, which has to be
	// durable too. That an acknowledgement made room for it is not part of that:
	// where a crash undoes it, the acknowledged message comes back, redelivered.
	After uint64
}

// Fetch asks for a message's bytes, to be routed and moved: see Move.
type Fetch struct {
	Ref    Ref
	Log    datafile.LogID
	Reason Reason
	Count  uint32 // how often it came back
}

// Settled says that a range of a log is not needed any more. Floor is the
// log's first offset that is.
type Settled struct {
	Log      datafile.LogID
	From, To int64
	Floor    int64
}

// Dropped says that messages were dropped, for the statistics.
type Dropped struct {
	Queue    ID
	Reason   Reason
	Messages int64
}

// Cancelled says that a consumer is gone with its queue.
type Cancelled struct {
	Consumer ConsumerID
	Channel  ChannelID
}

// Deleted says that a queue is gone, with its logs.
type Deleted struct {
	Queue       ID
	VHost, Name string
	Logs        []datafile.LogID
}

func (e *Effects) reset() {
	*e = Effects{e.Deliveries[:0], e.Fetches[:0], e.Settled[:0], e.Dropped[:0], e.Cancelled[:0], e.Deleted[:0]}
}
