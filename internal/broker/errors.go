package broker

import (
	"errors"
	"fmt"
)

// Kind says what went wrong; each protocol maps kinds to its own codes in one
// table.
type Kind uint8

// The kinds of failure of a command.
const (
	Internal             Kind = iota
	UnknownTopic              // no such topic, partition or topic id
	TopicExists               // the name is taken
	InvalidTopic              // the name is not allowed
	InvalidPartitions         // partition count not allowed
	InvalidReplicas           // more replicas asked for than there are brokers
	InvalidAssignment         // replica assignment names a broker that is not there
	InvalidConfig             // unknown configuration key or value out of range
	InvalidRequest            // the command contradicts itself
	OutOfOrderSequence        // gap in an idempotent producer's sequence
	InvalidProducerEpoch      // an older epoch than the one seen
	OffsetOutOfRange          // below the log start or above the high watermark
	RecordTooLarge            // a batch that no journal file takes
	StorageFull               // the disk is full; nothing was written
	Stopping                  // the broker is shutting down
	Failed                    // a write or sync failed; the process is about to exit
	Damaged                   // what is stored is damaged; it has been logged
)

// Error is the error of a command. Text is for people.
type Error struct {
	Kind  Kind
	Text  string
	cause error // may be nil
}

func (e *Error) Error() string { return e.Text }

// Unwrap returns what caused it, or nil.
func (e *Error) Unwrap() error { return e.cause }

func errf(k Kind, format string, args ...any) *Error {
	return &Error{Kind: k, Text: fmt.Sprintf(format, args...)}
}

// isKind says whether err is an *Error of that kind.
func isKind(err error, k Kind) bool {
	var e *Error
	return errors.As(err, &e) && e.Kind == k
}
