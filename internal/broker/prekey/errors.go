package prekey

import (
	"errors"
	"fmt"

	"github.com/waxwing-mq/waxwing/internal/enc"
)

// The kinds of failure of DecodeEntry and Restore; test with errors.Is.
var (
	// ErrNewer says that the bytes have a type or version that this program
	// does not know.
	ErrNewer = errors.New("written by a newer version of Waxwing")
	// ErrMalformed says that the bytes are not what an encoder wrote.
	ErrMalformed = enc.ErrShort
)

// ErrorKind says why a command is refused.
type ErrorKind uint8

// The kinds of refusal.
const (
	NotFound     ErrorKind = iota + 1 // no such identity
	Invalid                           // a key, id or lane that cannot be, or something is missing
	Conflict                          // another key has this id
	LimitReached                      // too many, too long or too much at once
	QuotaReached                      // what is there already leaves no room
)

// Error is the refusal of a command.
type Error struct {
	Kind ErrorKind
	Text string // for people
}

// Error is the text.
func (e *Error) Error() string { return e.Text }

func refuse(k ErrorKind, format string, args ...any) *Error {
	return &Error{Kind: k, Text: fmt.Sprintf(format, args...)}
}

func noIdentity(name string) *Error { return refuse(NotFound, "no identity '%s'", name) }
