package record

import (
	"errors"
	"fmt"
)

// Kind says what is wrong with a batch. Each protocol maps it once to its own
// error codes.
type Kind uint8

// The kinds of failure.
const (
	// Corrupt: the bytes are not what was sent (length, checksum).
	Corrupt Kind = iota + 1
	// InvalidRecord: well transmitted, but breaks a rule of the format.
	InvalidRecord
	// InvalidTimestamp: a timestamp out of bounds, or of a type that only
	// the broker may set.
	InvalidTimestamp
	// UnsupportedCompression: an unknown codec, or one that this version
	// of the request may not carry.
	UnsupportedCompression
	// UnsupportedMagic: a batch version other than 2.
	UnsupportedMagic
	// TooLarge: the batch, or what it decompresses to, exceeds a limit.
	TooLarge
)

// String names the kind.
func (k Kind) String() string {
	switch k {
	case Corrupt:
		return "corrupt batch"
	case InvalidRecord:
		return "invalid record"
	case InvalidTimestamp:
		return "invalid timestamp"
	case UnsupportedCompression:
		return "unsupported compression"
	case UnsupportedMagic:
		return "unsupported batch version"
	case TooLarge:
		return "batch too large"
	}
	return "unknown"
}

// Error is the only error type of this package.
type Error struct {
	Kind   Kind
	Record int    // index in the batch of the record at fault; -1 if it is the batch
	Reason string // for people; may go to the client
}

func (e *Error) Error() string {
	if e.Record >= 0 {
		return fmt.Sprintf("%v: record %d: %s", e.Kind, e.Record, e.Reason)
	}
	return fmt.Sprintf("%v: %s", e.Kind, e.Reason)
}

// KindOf is the kind of err if it is or wraps an *Error, else 0.
func KindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return 0
}

// batchError is an error of the batch as a whole.
func batchError(k Kind, format string, args ...any) error {
	return &Error{Kind: k, Record: -1, Reason: fmt.Sprintf(format, args...)}
}

// recordError is an error of record i.
func recordError(k Kind, i int, format string, args ...any) error {
	return &Error{Kind: k, Record: i, Reason: fmt.Sprintf(format, args...)}
}
