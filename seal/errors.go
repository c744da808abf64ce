package seal

import (
	"errors"

	"github.com/waxwing-mq/waxwing/seal/ratchet"
)

// What Seal and Open can find, for errors.Is. Any other error is the database's, or
// the directory's.
var (
	// ErrNotSealed means that a message should have been sealed and is not.
	ErrNotSealed = errors.New("seal: not sealed")
	// ErrDuplicate means that a message was opened before, or that its key was given up, as
	// far as is known by its message: where the key of a session's is gone, nothing can tell
	// it from a forgery with its number. A group's is signed, and was its sender's.
	ErrDuplicate = errors.New("seal: opened before")
	// ErrNoSession means that there is no session, or no group's key, for a message. What
	// brings it may be on its way: try again.
	ErrNoSession = errors.New("seal: no session")
	// ErrUntrusted means that an identity is not who it says that it is, or nobody that
	// the message may be from.
	ErrUntrusted = errors.New("seal: not trusted")
	// ErrTooFar means that a message is too far ahead of those that were opened.
	ErrTooFar = errors.New("seal: too far ahead")
	// ErrRolledBack means that the sender's database was set back, or may have been: keys
	// would be used again. Of Seal it says that Check has not succeeded yet.
	ErrRolledBack = errors.New("seal: a database was set back")
	// ErrExpired means that a time has passed: of a certificate, of a prekey, of a key that
	// was kept for a message.
	ErrExpired = errors.New("seal: expired")
	// ErrMismatch means that a message is damaged or forged, or that what is inside is not
	// what is outside.
	ErrMismatch = errors.New("seal: damaged or forged")
	// ErrConflict means that another transaction was faster. Nothing happened; try again.
	ErrConflict = errors.New("seal: another transaction was faster")
)

// reasons are the words of the metric's label.
var reasons = []struct {
	err  error
	word string
}{
	{ErrNotSealed, "not-sealed"}, {ErrRolledBack, "rolled-back"}, {ErrExpired, "expired"}, {ErrUntrusted, "untrusted"},
	{ErrDuplicate, "duplicate"}, {ErrNoSession, "no-session"}, {ErrTooFar, "too-far"}, {ErrMismatch, "mismatch"}, {ErrConflict, "conflict"},
}

// reasonOf is the word for an error.
func reasonOf(err error) string {
	for _, r := range reasons {
		if errors.Is(err, r.err) {
			return r.word
		}
	}
	return "other"
}

// A fault is an error of ours with what caused it.
type fault struct {
	kind  error
	cause error
}

func (f *fault) Error() string   { return f.kind.Error() + ": " + f.cause.Error() }
func (f *fault) Unwrap() []error { return []error{f.kind, f.cause} }

// Duplicate, Permanent and Transient say to an inbox, and to whoever tries again, what
// an error means for a message: that it was opened before; that no later attempt opens
// it; that the next one may.

// Duplicate says that the message's key was used, as far as is known by its message.
func (f *fault) Duplicate() bool { return errors.Is(f, ErrDuplicate) && !f.Permanent() }

// Permanent says that the message does not open later either.
func (f *fault) Permanent() bool {
	for _, kind := range []error{ErrNotSealed, ErrUntrusted, ErrMismatch, ErrExpired, ErrRolledBack} {
		if errors.Is(f, kind) {
			return true
		}
	}
	return false
}

// Transient says that another transaction was in the way.
func (f *fault) Transient() bool { return errors.Is(f, ErrConflict) }

// because is an error of ours, caused by another one.
func because(kind, cause error) error { return &fault{kind, cause} }

// text is an error of ours in further words.
func text(kind error, words string) error { return &fault{kind, errors.New(words)} }

// translated is an error of the ratchet's in our words.
func translated(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, ratchet.ErrDuplicate):
		return because(ErrDuplicate, err)
	case errors.Is(err, ratchet.ErrTooFar):
		return because(ErrTooFar, err)
	case errors.Is(err, ratchet.ErrSignature):
		return because(ErrUntrusted, err)
	}
	return because(ErrMismatch, err)
}
