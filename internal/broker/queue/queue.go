// Package queue holds the queues of a shard: a pure state machine that says
// which message goes to whom, and what must be remembered of it.
//
// A message is (queue, level, offset). The machine knows no message bytes and
// no protocol; DESIGN.md says why it is so.
package queue

import (
	"time"

	"github.com/waxwing-mq/waxwing/internal/datafile"
)

// ID names a queue of the shard; it is never used twice. Zero is no queue.
type ID uint64

// ConnectionID names a connection, ChannelID a channel of one, ConsumerID a
// consumer. The caller makes them; each is used once in the life of a
// process, across all connections. Zero is none.
type (
	ConnectionID uint64
	ChannelID    uint64
	ConsumerID   uint64
)

// Kind says which rules a queue follows where the kinds differ.
type Kind uint8

// The kinds of queues.
const (
	// Classic puts a message that comes back at its original place.
	Classic Kind = iota
	// Quorum puts it behind those that came back before it, and before
	// those that were never delivered.
	Quorum
)

// Overflow says what gives way when a queue is full.
type Overflow uint8

// The ways of giving way.
const (
	DropHead                Overflow = iota // the oldest ready message
	RejectPublish                           // the new message
	RejectPublishDeadLetter                 // the new message, which is then dead-lettered
)

// None stands for "no limit" in Settings and Message.
const None = -1

// Settings are what a queue does by itself.
type Settings struct {
	MaxPriority   uint8         // messages above it are taken as of it
	TTL           time.Duration // how long a message may wait; None: for ever
	Expires       time.Duration // how long the queue may be unused; 0: for ever
	MaxLength     int64         // ready messages; None: no limit
	MaxBytes      int64         // of ready messages; None: no limit
	Overflow      Overflow
	HasDeadLetter bool  // messages that would be dropped are to be fetched and moved
	DeliveryLimit int32 // how often a message may come back; None: no limit
	SingleActive  bool  // one consumer at a time gets messages
	DedupWindow   int32 // how many dedup ids are remembered; 0: none
}

// NoSettings returns the settings of a queue that limits nothing.
func NoSettings() Settings {
	return Settings{TTL: None, MaxLength: None, MaxBytes: None, DeliveryLimit: None}
}

// Argument is one argument by which two declarations are compared.
type Argument struct{ Name, Value string }

// Spec says what a queue is.
type Spec struct {
	VHost, Name string
	Kind        Kind
	Durable     bool         // outlives the process
	Exclusive   ConnectionID // the only connection that may use it; 0: any
	AutoDelete  bool         // goes with its last consumer
	Settings    Settings
	// Compared holds the arguments that make two declarations equal or not,
	// ascending by name.
	Compared []Argument
	// Arguments is kept for the caller and not looked at.
	Arguments []byte
}

// Message is what the machine needs to know of a message.
type Message struct {
	Priority     uint8
	Size         int64         // bytes, as MaxBytes counts them
	ExpiresAfter time.Duration // None: never, but for the queue's TTL
	NotBefore    time.Time     // when it becomes ready; zero: at once
	Transient    bool          // a classic queue forgets it when the process ends
	DedupID      string        // empty: none
}

// Ref names one message in one queue.
type Ref struct {
	Queue  ID
	Level  uint8 // its priority
	Offset int64
}

// Range names the messages of a level from From up to, not including, To.
type Range struct {
	Queue    ID
	Level    uint8
	From, To int64
}

// Reason says why a message leaves a queue other than by an acknowledgement.
type Reason uint8

// The reasons.
const (
	Rejected Reason = iota + 1
	Expired
	MaxLength
	DeliveryLimit
)

func (r Reason) String() string {
	return [...]string{"", "rejected", "expired", "maxlen", "delivery_limit"}[r]
}

// Place is where the bytes of a message are, or have to go.
type Place struct {
	Log    datafile.LogID
	Offset int64
}

// Fault is a kind of failure.
type Fault uint8

// The kinds of failure.
const (
	OK           Fault = iota
	NotFound           // no such queue
	Inequivalent       // declared before, and differently
	Locked             // another connection's exclusive queue
	InUse              // has consumers, and must not
	NotEmpty           // has ready messages, and must not
	ExclusiveUse       // an exclusive consumer is in the way, or would be
	BadName            // too long
	TooLarge           // arguments beyond argumentBytesMax
	LimitReached       // too many queues, consumers, or messages in flight
	Duplicate          // that id is taken
	Refused            // a queue that the message was to go to is full
)

func (f Fault) String() string {
	return [...]string{
		"ok", "not found", "inequivalent", "locked", "in use", "not empty", "exclusive use",
		"bad name", "too large", "limit reached", "duplicate", "refused",
	}[f]
}

// The limits of a machine. What a peer can choose stays below them.
const (
	NameBytesMax        = 255
	argumentBytesMax    = 64 << 10
	queuesMax           = 1 << 20 // per shard
	queuesPerVHostMax   = 1 << 18
	consumersQueueMax   = 1 << 16
	consumersChannelMax = 1 << 12
	// InFlightMax bounds what one consumer that set no limit may hold
	// unacknowledged.
	InFlightMax = 65535
	// callMax bounds how many messages one call delivers, and how many heads
	// it removes; the rest is due at once, for the next Tick.
	callMax = 4096
	// channelInFlightMax bounds what one channel may hold unacknowledged.
	channelInFlightMax = 4 * InFlightMax
	// DedupIDBytesMax is how long a dedup id may be; longer ones are as none.
	DedupIDBytesMax = 255
	dedupWindowMax  = 1 << 20 // more is taken as that
)
