package ratchet

import (
	"errors"
	"fmt"
)

var (
	// ErrMalformed says that bytes are not what they should be: a message, a
	// key, a row.
	ErrMalformed = errors.New("ratchet: malformed")
	// ErrVersion says that a message is of a version that the session does not
	// speak.
	ErrVersion = errors.New("ratchet: version")
	// ErrSignature says that a prekey of a bundle is not signed by the bundle's
	// identity.
	ErrSignature = errors.New("ratchet: signature")
	// ErrMAC says that a message was not made by the peer for this session.
	// Nothing may be stored.
	ErrMAC = errors.New("ratchet: not authentic")
	// ErrDuplicate says that the key of a message is gone: it was opened
	// before, or its key was given up. A *NeedKeys is one, until the keys are
	// found.
	ErrDuplicate = errors.New("ratchet: key used or given up")
	// ErrTooFar says that a message is more than MaxJump ahead of its chain.
	ErrTooFar = errors.New("ratchet: too far ahead")
	// ErrNotYet says that a session that Accept made cannot seal before it has
	// opened a message.
	ErrNotYet = errors.New("ratchet: nothing opened yet")
	// ErrAssociatedData says that there is associated data in a profile that
	// has none.
	ErrAssociatedData = errors.New("ratchet: the profile has no associated data")
	// ErrExhausted says that a chain has no more numbers.
	ErrExhausted = errors.New("ratchet: chain exhausted")
)

// NeedKeys is the error of Open for a message whose key lies behind its chain:
// call Open again with those of the keys that are stored. If one of them is
// not, the message is a duplicate, which is what errors.Is(err, ErrDuplicate)
// says of a NeedKeys.
type NeedKeys struct{ IDs []KeyID }

func (e *NeedKeys) Error() string { return fmt.Sprintf("ratchet: needs %d skipped keys", len(e.IDs)) }

// Is makes a NeedKeys an ErrDuplicate.
func (e *NeedKeys) Is(target error) bool { return target == ErrDuplicate }
