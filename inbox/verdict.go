package inbox

import (
	"errors"
	"math"
	"time"
)

// kind is what is to happen to a message.
type kind int

const (
	retry kind = iota
	reject
	deadLetter
)

// A verdict is an error by which a handler says what is to happen.
type verdict struct {
	kind  kind
	after time.Duration // retry: not before then; 0 is the back-off
	err   error
}

func (v *verdict) Error() string { return v.err.Error() }
func (v *verdict) Unwrap() error { return v.err }

// Retry has the message tried again after a pause, 0 for that of the back-off. The
// transaction is rolled back. It counts as an attempt. Any other error than those of
// this package is Retry(0, err).
func Retry(after time.Duration, err error) error {
	return &verdict{retry, max(after, 0), orText(err, "try again")}
}

// Reject has the message acknowledged without effect: the transaction is rolled
// back, and what says that the message was seen is kept.
func Reject(err error) error { return &verdict{reject, 0, orText(err, "rejected")} }

// DeadLetter puts the message aside at once, for an operator to look at. The
// transaction is rolled back. Later messages of its key wait, unless the inbox is
// Unordered.
func DeadLetter(err error) error { return &verdict{deadLetter, 0, orText(err, "dead letter")} }

func orText(err error, text string) error {
	if err == nil {
		return errors.New(text)
	}
	return err
}

// verdictOf is what an error says; explicit tells whether it says so itself.
func verdictOf(err error) (v verdict, explicit bool) {
	var p *verdict
	if errors.As(err, &p) {
		return *p, true
	}
	return verdict{kind: retry, err: err}, false
}

// pause is how long to wait after a number of attempts, half of it at random.
func (o *options) pause(v verdict, attempts int) time.Duration {
	if v.after > 0 {
		return v.after
	}
	full := min(float64(o.backoffMin)*math.Pow(2, float64(attempts-1)), float64(o.backoffMax))
	return time.Duration(full/2 + o.rand()*full/2)
}
