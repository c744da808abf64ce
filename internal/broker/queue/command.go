package queue

import "time"

// Command is one of the commands below, as a pointer. The machine keeps no
// reference to it, except to strings and to Declare's slices.
type Command interface{ command() }

// Declare makes a queue, or compares it with the one that is there.
type Declare struct {
	Connection ConnectionID
	Spec       Spec
	Passive    bool // only look whether it is there; of Spec, VHost and Name count
}

// Delete removes a queue and its messages. A queue that is not there is no
// fault.
type Delete struct {
	Connection        ConnectionID // 0: exclusive ones too
	Queue             ID
	IfUnused, IfEmpty bool
}

// Purge drops the ready messages of a queue.
type Purge struct {
	Connection ConnectionID
	Queue      ID
}

// Inspect asks what is known of one queue.
type Inspect struct {
	Connection ConnectionID // 0: look at exclusive ones too
	Queue      ID
}

// List asks what is known of the queues of a vhost, ascending by name.
type List struct{ VHost string }

// Publish adds one message to all targets that take it.
type Publish struct {
	Targets []ID
	Message Message
}

// SettleKind says what becomes of messages in flight.
type SettleKind uint8

// What can become of them.
const (
	Acknowledge SettleKind = iota // they are done with
	Release                       // they become ready again
	Reject                        // they are dead-lettered or dropped
)

// Settle ends the flight of messages that Channel holds.
type Settle struct {
	Kind    SettleKind
	Channel ChannelID
	Refs    []Range
	// NotBefore says when released messages are ready again; zero: at once.
	NotBefore time.Time
	// Uncounted says that the release does not count towards the delivery
	// limit.
	Uncounted bool
}

// Commit publishes and settles, all in one entry. What cannot be done (a full
// queue, an unknown ref) is said in the reply; the rest happens.
type Commit struct {
	Publishes []Publish
	Settles   []Settle
}

// Subscribe adds a consumer to a queue.
type Subscribe struct {
	Connection ConnectionID
	Channel    ChannelID
	Consumer   ConsumerID
	Queue      ID
	Prefetch   int // messages in flight at most; 0: InFlightMax
	NoAck      bool
	Exclusive  bool
	Priority   int32
}

// Cancel removes a consumer. What it holds stays with its channel. One that is
// not there is no fault.
type Cancel struct{ Consumer ConsumerID }

// Get takes one message.
type Get struct {
	Connection ConnectionID
	Channel    ChannelID
	Queue      ID
	NoAck      bool
	// SelfSettled says that the caller itself will settle the message, once
	// it is on its way: nobody acknowledges it.
	SelfSettled bool
}

// Acquire takes up to Max messages for a channel, in order, as a Kafka share group
// does. What is not settled after Lock comes back, as if it had been released; 0:
// never. Kind Classic puts it back where it was, by offset.
type Acquire struct {
	Connection ConnectionID
	Channel    ChannelID
	Queue      ID
	Max        int
	Lock       time.Duration
}

// Prefetch bounds what all consumers of a channel may hold together, next to
// what each may; 0: nothing beyond that.
type Prefetch struct {
	Connection ConnectionID
	Channel    ChannelID
	Limit      int
}

// Flow stops or resumes deliveries to a channel.
type Flow struct {
	Connection ConnectionID
	Channel    ChannelID
	Stopped    bool
}

// CloseChannel removes a channel's consumers and releases what it holds.
type CloseChannel struct{ Channel ChannelID }

// CloseConnection closes a connection's channels and deletes its exclusive
// queues. It is the last command of a connection.
type CloseConnection struct{ Connection ConnectionID }

// Move settles a fetched message and adds it to all targets, in one entry. No
// targets: it is dropped. If a target refuses it, or none is left, nothing
// happens, and the message is fetched again after a pause.
type Move struct {
	Ref     Ref
	Targets []ID
	Message Message
}

// MoveFailed says that a fetched message could not be moved. It is fetched
// again after a pause.
type MoveFailed struct{ Ref Ref }

func (*Declare) command()         {}
func (*Delete) command()          {}
func (*Purge) command()           {}
func (*Inspect) command()         {}
func (*List) command()            {}
func (*Publish) command()         {}
func (*Settle) command()          {}
func (*Commit) command()          {}
func (*Subscribe) command()       {}
func (*Cancel) command()          {}
func (*Get) command()             {}
func (*Acquire) command()         {}
func (*Prefetch) command()        {}
func (*Flow) command()            {}
func (*CloseChannel) command()    {}
func (*CloseConnection) command() {}
func (*Move) command()            {}
func (*MoveFailed) command()      {}
