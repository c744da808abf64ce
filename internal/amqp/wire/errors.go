package wire

import (
	"errors"
	"fmt"
)

// Error is the only error type of this package. Its code says what went wrong:
//
//   - FrameError: the bytes are no frame, or no method of the kind that they
//     say they are. The boundaries between frames are lost, or may be.
//   - SyntaxError: a well-formed frame holds a malformed table or malformed
//     properties.
//   - CommandInvalid: another method than the one asked for (DecodeInto).
//   - UnexpectedFrame: a well-formed frame where it may not be.
//   - NotImplemented: an unknown class or method.
//
// All of them are hard errors: they end the connection.
type Error struct {
	Code   ReplyCode
	Method ID     // in which it happened; 0 if in none
	Reason string // for people; may go to the client
}

func (e *Error) Error() string { return e.Code.String() + ": " + e.Reason }

// CodeOf is the code of err if it is or wraps an *Error, else 0.
func CodeOf(err error) ReplyCode {
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return 0
}

func newError(c ReplyCode, format string, args ...any) *Error {
	return &Error{Code: c, Reason: fmt.Sprintf(format, args...)}
}
