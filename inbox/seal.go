package inbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/waxwing-mq/waxwing/bus"
	"github.com/waxwing-mq/waxwing/internal/killpoint"
	"github.com/waxwing-mq/waxwing/internal/safeguard"
	"github.com/waxwing-mq/waxwing/internal/sqltx"
)

// An Opener opens sealed messages in the transaction that they are handled in. Messages
// that are not sealed it lets pass, unless they should be. seal.Endpoint is one.
//
// An error that has methods Duplicate and Permanent is the message's: nothing was
// changed, and the transaction can go on. Any other error is the database's.
type Opener interface {
	// OpenDelivery replaces what is sealed in a message.
	OpenDelivery(ctx context.Context, c sqltx.Conn, d *bus.Delivery) error
	// PinDelivery keeps a message openable that is put aside, and lets those behind it be
	// opened. If it is kept already, nothing happens. The message stays as it is.
	PinDelivery(ctx context.Context, c sqltx.Conn, d *bus.Delivery) error
	// DiscardDelivery gives up a message that nobody handles.
	DiscardDelivery(ctx context.Context, c sqltx.Conn, d *bus.Delivery) error
	// SealedID names a sealed message by its envelope and all that this vouches for, so
	// that no other message, forged or changed, has the same name: nil if it is not sealed.
	SealedID(d *bus.Delivery) []byte
	// ControlTopic is where the Opener itself is sent messages, "" if nowhere. They need
	// no more than to be opened.
	ControlTopic() string
}

// Seal has messages opened that are sealed to an endpoint. Handlers see the plaintext,
// and in seal.HeaderFrom who has sealed it; rows, logs and spans only what the broker
// sees, and the texts of the errors that handlers return, which should not quote what
// was sealed. The endpoint's control topic is received, too.
//
// A message for which there is no session, or no group's key, is tried again. One that
// is not sealed and should be, is sealed by somebody else, or was changed is a dead
// letter; its handler is not called. So is one that was opened before, although nothing
// says that this consumer has handled it: a message opens once, so of each sealed topic
// an endpoint may have one consumer. Messages that nobody handles are given up.
//
// Sealed messages are known by their ciphertext (SealedID), a row each that is kept for
// Retention. What producers and relays say outside of it, such as a sequence, anybody who
// may publish to the topic can say, and have the genuine message taken for seen.
func Seal(o Opener) Option { return func(opts *options) { opts.opener = o } }

// A sealError is an error about a message, not of the database.
type sealError interface {
	error
	Duplicate() bool // it was opened before
	Permanent() bool // it does not open later either
}

// errOpenedBefore says that a message was handled before, which its row did not know.
var errOpenedBefore = errors.New("inbox: opened before")

// handleControl receives what the endpoint is sent: it is done once that is open.
func (i *Inbox[TX]) handleControl() {
	if i.o.opener == nil || i.o.opener.ControlTopic() == "" {
		return
	}
	i.Handle(i.o.opener.ControlTopic(), "", func(context.Context, TX, *bus.Delivery) error { return nil })
}

// open opens an item's message, which m is a copy of.
func (i *Inbox[TX]) open(ctx context.Context, c sqltx.Conn, it *item, m *bus.Delivery) error {
	if i.o.opener == nil {
		return nil
	}
	if err := killpoint.At(ctx, killpoint.Open, killpoint.Before); err != nil {
		return err
	}
	err := i.o.opener.OpenDelivery(ctx, c, m)
	if err == nil {
		return killpoint.At(ctx, killpoint.Open, killpoint.After)
	}
	var about sealError
	switch {
	case !errors.As(err, &about):
		return fmt.Errorf("inbox: %w", err)
	case about.Duplicate():
		return i.openedBefore(it, err)
	case about.Permanent():
		return unopened{DeadLetter(err)}
	}
	return err
}

// openApart opens a message in a transaction before that of its effect, if a
// demonstration wants it: what happens in between is lost.
func (i *Inbox[TX]) openApart(ctx context.Context, it *item) {
	if i.o.opener == nil || !safeguard.Removed(safeguard.Ratchet) {
		return
	}
	m := *it.d
	if err := i.inTx(ctx, func(ctx context.Context, tx TX) error { return i.o.opener.OpenDelivery(ctx, i.db.Bind(tx), &m) }); err == nil {
		it.apart = &m
	}
}

// openedBefore decides about a message that was opened before, although its row is new.
// On the control topic it was received, by whichever consumer. Elsewhere its key was
// used, or given up, without this consumer: to acknowledge it would lose an effect.
func (i *Inbox[TX]) openedBefore(it *item, cause error) error {
	if !i.isControl(it) {
		return unopened{DeadLetter(fmt.Errorf("nothing says that this consumer has handled it (do others have the same endpoint?): %w", cause))}
	}
	i.o.log.Info("inbox: a sealed message that was opened before is taken for a duplicate", i.about(it.d, cause)...)
	return errOpenedBefore
}

// isControl says whether a message is for the opener alone.
func (i *Inbox[TX]) isControl(it *item) bool { return it.d.Topic == i.o.opener.ControlTopic() }

// unopened is a verdict on a message that does not open, now or later: nothing of it can
// be kept openable, and to try it would make the same work again.
type unopened struct{ error }

func (u unopened) Unwrap() error { return u.error }

// pin keeps a message openable that is put aside. One that does not open now is put
// aside as it is; if that is because it was opened before, the error says so.
func (i *Inbox[TX]) pin(ctx context.Context, c sqltx.Conn, d *bus.Delivery) error {
	if i.o.opener == nil {
		return nil
	}
	if err := killpoint.At(ctx, killpoint.Pin, killpoint.Before); err != nil {
		return err
	}
	err := i.o.opener.PinDelivery(ctx, c, d)
	if left := notOfMessage(err); left != nil {
		return left
	}
	if err := killpoint.At(ctx, killpoint.Pin, killpoint.After); err != nil {
		return err
	}
	if wasOpened(err) {
		return err
	}
	return nil
}

// pinned is pin, for a message that was not handled whatever its session says, and of
// which it is known why.
func (i *Inbox[TX]) pinned(ctx context.Context, c sqltx.Conn, d *bus.Delivery, reason error) error {
	if errors.As(reason, new(unopened)) {
		return nil
	}
	err := i.pin(ctx, c, d)
	if wasOpened(err) {
		return nil
	}
	return err
}

// wasOpened says whether an error is that a message was opened before.
func wasOpened(err error) bool {
	var about sealError
	return errors.As(err, &about) && about.Duplicate()
}

// discard gives up a message, as far as it can be opened.
func (i *Inbox[TX]) discard(ctx context.Context, c sqltx.Conn, d *bus.Delivery) error {
	if i.o.opener == nil {
		return nil
	}
	return notOfMessage(i.o.opener.DiscardDelivery(ctx, c, d))
}

// notOfMessage leaves the errors that the transaction cannot go on with.
func notOfMessage(err error) error {
	if errors.As(err, new(sealError)) && !sqltx.Transient(err) {
		return nil
	}
	if err != nil {
		err = fmt.Errorf("inbox: %w", err)
	}
	return err
}

// ignore passes over a message that nobody handles.
func (i *Inbox[TX]) ignore(ctx context.Context, d *bus.Delivery) error {
	if i.o.opener != nil { // or the session would have to skip it
		err := i.inTx(ctx, func(ctx context.Context, tx TX) error { return i.discard(ctx, i.db.Bind(tx), d) })
		if err != nil {
			return err
		}
	}
	i.m.done(ignored)
	return nil
}

// quotable is an error about a body, without what it quotes of one that may have been
// sealed: it is kept and logged.
func (i *Inbox[TX]) quotable(err error) error {
	if i.o.opener == nil {
		return err
	}
	var mistyped *json.UnmarshalTypeError
	var syntax *json.SyntaxError
	switch {
	case errors.As(err, &mistyped):
		kind, _, _ := strings.Cut(mistyped.Value, " ")
		return fmt.Errorf("field %q is a %s", mistyped.Field, kind)
	case errors.As(err, &syntax):
		return fmt.Errorf("it is no JSON from byte %d on", syntax.Offset)
	}
	return fmt.Errorf("an error of type %T", err)
}

// panicked is a handler's panic as an error, which quotes nothing that may have been
// sealed.
func (i *Inbox[TX]) panicked(p any) error {
	if i.o.opener == nil {
		return fmt.Errorf("the handler panicked: %v\n%s", p, debug.Stack())
	}
	what := fmt.Sprintf("a value of type %T", p)
	if err, ok := p.(runtime.Error); ok {
		what = err.Error()
	}
	var stack strings.Builder
	pcs := make([]uintptr, 32)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(3, pcs)])
	for f, more := frames.Next(); ; f, more = frames.Next() {
		fmt.Fprintf(&stack, "\n%s %s:%d", f.Function, f.File, f.Line)
		if !more {
			break
		}
	}
	return fmt.Errorf("the handler panicked: %s%s", what, &stack)
}
