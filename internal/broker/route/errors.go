package route

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
	NotFound        ErrorKind = iota + 1 // no such vhost, exchange or queue
	Inequivalent                         // it exists and is not what was declared; see Error.Argument
	AccessRefused                        // a reserved name, the default exchange, publishing to an internal one
	InUse                                // if-unused, and it has bindings
	InvalidType                          // no such type of exchange
	InvalidArgument                      // an argument or binding key that the exchange does not take
	LimitReached                         // too many, too long or too deep
)

// Error is the refusal of a command.
type Error struct {
	Kind ErrorKind
	Text string // for people

	// Argument is what differs if Kind is Inequivalent ("type", "durable",
	// "auto_delete", "internal" or an argument's name), and what is wrong
	// if Kind is InvalidArgument.
	Argument string
}

// Error is the text.
func (e *Error) Error() string { return e.Text }

func refuse(k ErrorKind, format string, args ...any) *Error {
	return &Error{Kind: k, Text: fmt.Sprintf(format, args...)}
}

func noVHost(vhost string) *Error {
	return refuse(NotFound, "no vhost '%s'", vhost)
}

func noExchange(vhost, name string) *Error {
	return refuse(NotFound, "no exchange '%s' in vhost '%s'", name, vhost)
}

func noQueue(vhost, name string) *Error {
	return refuse(NotFound, "no queue '%s' in vhost '%s'", name, vhost)
}

func invalid(argument, format string, args ...any) *Error {
	e := refuse(InvalidArgument, format, args...)
	e.Argument = argument
	return e
}
