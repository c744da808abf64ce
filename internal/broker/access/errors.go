package access

import (
	"errors"
	"fmt"

	"github.com/waxwing-mq/waxwing/internal/enc"
)

// The kinds of failure of DecodeEntry and Restore; test with errors.Is.
var (
	// ErrNewer says that the bytes have a type or version that this
	// program does not know.
	ErrNewer = errors.New("written by a newer version of Waxwing")
	// ErrMalformed says that the bytes are not what an encoder wrote.
	ErrMalformed = enc.ErrShort
)

// ErrorKind says why a command is refused.
type ErrorKind uint8

// The kinds of refusal.
const (
	NotFound     ErrorKind = iota + 1 // no such user or vhost
	Exists                            // the user is there already
	Invalid                           // a name, pattern, tag, hash or queue type that cannot be
	LimitReached                      // too many or too long
	LoginRefused                      // wrong user or password, or not from here
)

// Error is the refusal of a command or a login.
type Error struct {
	Kind ErrorKind
	Text string // for people; of a login for the broker's log only
}

// Error is the text.
func (e *Error) Error() string { return e.Text }

func refuse(k ErrorKind, format string, args ...any) *Error {
	return &Error{Kind: k, Text: fmt.Sprintf(format, args...)}
}

func noUser(name string) *Error { return refuse(NotFound, "no user '%s'", name) }

func noVHost(name string) *Error { return refuse(NotFound, "no vhost '%s'", name) }
