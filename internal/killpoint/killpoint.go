// Package killpoint names the places at which tests make the SDK fail: a process
// that dies, an error, a hang, an answer that is lost. In a normal build At does
// nothing and the compiler drops it; under the build tag "killpoints" what Arm, or
// the environment variable WAXWING_KILLPOINTS, says happens there.
package killpoint

// Point is a place in the SDK.
type Point string

// The places, in the order in which a message passes them.
const (
	BusinessCommit Point = "business-commit" // outbox: the transaction that InTx commits
	OutboxRead     Point = "outbox-read"     // outbox: the relay's read of a batch
	OutboxSend     Point = "outbox-send"     // outbox: the relay's publish, up to the bus's acknowledgement
	OutboxDelete   Point = "outbox-delete"   // outbox: what was published is deleted
	Delivery       Point = "delivery"        // bus: a message is handed to its handler
	InboxInsert    Point = "inbox-insert"    // inbox: the row that says that a message was seen
	Effect         Point = "effect"          // inbox: the caller's handler
	HandlerCommit  Point = "handler-commit"  // inbox: the handler's transaction
	Ack            Point = "ack"             // bus: the acknowledgement, or the commit of an offset
	Park           Point = "park"            // inbox: a message that fails is put aside, with its key
	DeadLetter     Point = "dead-letter"     // inbox: a message becomes a dead letter
	Replay         Point = "replay"          // inbox: a dead letter is to be handled again
	SagaTransition Point = "saga-transition" // saga: the state of an instance is written
	SagaCommand    Point = "saga-command"    // saga: a command is put into the outbox
	SagaTimer      Point = "saga-timer"      // saga: a timer that is due is taken
	SagaCompensate Point = "saga-compensate" // saga: a compensation is put into the outbox
	Barrier        Point = "barrier"         // saga: a participant's barrier row

	Seal Point = "seal" // outbox: events are sealed, by sessions that move on, before their rows are written
	Open Point = "open" // inbox: a message is opened, after the row that says that it was seen, before the handler
	Pin  Point = "pin"  // inbox: what is sealed in a message that is put aside is kept
)

// Sealed are those that only messages which are sealed pass.
var Sealed = []Point{Seal, Open, Pin}

// Points are all others.
var Points = []Point{
	BusinessCommit, OutboxRead, OutboxSend, OutboxDelete, Delivery, InboxInsert, Effect, HandlerCommit, Ack,
	Park, DeadLetter, Replay, SagaTransition, SagaCommand, SagaTimer, SagaCompensate, Barrier,
}

// Phase says on which side of the step of its name a point is.
type Phase string

// A point is hit before and after its step. After an error there, what the step
// did has happened, and whoever waits for it does not learn of it.
const (
	Before Phase = "before"
	After  Phase = "after"
)

// Mode is what happens at a point.
type Mode string

// What can happen at a point.
const (
	Kill  Mode = "kill"  // the process gets SIGKILL
	Error Mode = "error" // At returns ErrHit; after the step, that is an answer that was lost
	Hang  Mode = "hang"  // At returns when its context ends
	Stop  Mode = "stop"  // the process gets SIGSTOP: a zombie, once somebody continues it
)
