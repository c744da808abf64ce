package saga

import (
	"fmt"
	"strconv"

	"github.com/waxwing-mq/waxwing/bus"
	"github.com/waxwing-mq/waxwing/internal/flow"
)

// The headers of commands and of replies, which repeat all but the reply topic. A
// participant that does not use this package answers by them.
const (
	HeaderSaga    = "waxwing-saga"         // id of the instance
	HeaderName    = "waxwing-saga-name"    // name of its definition
	HeaderStep    = "waxwing-saga-step"    // name of the step
	HeaderOp      = "waxwing-saga-op"      // "action" or "compensate"
	HeaderAttempt = "waxwing-saga-attempt" // number of the attempt, from 1
	HeaderReplyTo = "waxwing-saga-reply-to"
	// HeaderAgain is "1" on an action that a participant may carry out although it has
	// rejected an earlier attempt: there is no way back.
	HeaderAgain = "waxwing-saga-again"
	// HeaderOutcome is, on a reply: "ok"; "rejected", which is final; "failed", after
	// which another attempt may succeed. Neither of these leaves an effect.
	HeaderOutcome = "waxwing-saga-outcome"
	HeaderError   = "waxwing-saga-error" // on a reply: why not
)

// ReplyType is the type of replies.
const ReplyType = "waxwing.saga.reply"

// order is what the headers of a command or a reply say.
type order struct {
	saga, name, step string
	op               flow.Op
	attempt          int
	replyTo          string // of commands
	again            bool   // of commands
	outcome          flow.Outcome
	err              string
}

// headers are those of a command.
func (o *order) headers() []bus.Header {
	h := []bus.Header{
		{Name: HeaderSaga, Value: []byte(o.saga)}, {Name: HeaderName, Value: []byte(o.name)},
		{Name: HeaderStep, Value: []byte(o.step)}, {Name: HeaderOp, Value: []byte(o.op)},
		{Name: HeaderAttempt, Value: strconv.AppendInt(nil, int64(o.attempt), 10)},
	}
	if o.replyTo != "" {
		h = append(h, bus.Header{Name: HeaderReplyTo, Value: []byte(o.replyTo)})
	}
	if o.again {
		h = append(h, bus.Header{Name: HeaderAgain, Value: []byte("1")})
	}
	if o.outcome != "" {
		h = append(h, bus.Header{Name: HeaderOutcome, Value: []byte(o.outcome)})
	}
	if o.err != "" {
		h = append(h, bus.Header{Name: HeaderError, Value: []byte(o.err)})
	}
	return h
}

// readOrder reads the headers of a command or a reply.
func readOrder(m *bus.Message) (*order, error) {
	text := func(name string) string { return string(m.Header(name)) }
	o := &order{
		saga: text(HeaderSaga), name: text(HeaderName), step: text(HeaderStep), op: flow.Op(text(HeaderOp)),
		replyTo: text(HeaderReplyTo), again: text(HeaderAgain) == "1",
		outcome: flow.Outcome(text(HeaderOutcome)), err: text(HeaderError),
	}
	var err error
	o.attempt, err = strconv.Atoi(text(HeaderAttempt))
	switch {
	case o.saga == "" || o.name == "" || o.step == "" || err != nil || len(o.saga) > maxID || len(o.name) > maxName || len(o.step) > maxName:
		return nil, fmt.Errorf("saga: message %s lacks a header of sagas, or has a bad one", m.ID)
	case o.op != flow.Action && o.op != flow.Compensation:
		return nil, fmt.Errorf("saga: message %s: %q is no operation", m.ID, o.op)
	}
	return o, nil
}
