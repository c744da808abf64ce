// Package flow is the state machine of a saga: what has happened to an instance,
// and an event, in; what is to be done, out. It does no I/O and knows no clock, no
// data and no transport.
//
// Stages come one after the other; the steps of a stage run at once. Before the
// pivot a stage that fails is left once each of its steps is settled, and then all
// that happened, or may have, is compensated: one step at a time, in reverse, the
// next when the last one's reply is there. From the pivot's success on there is
// only forward: what fails is tried again.
//
// The outcome of an action that timed out is unknown, so that it is compensated
// too; the participants' barrier sees to it that this does no harm. What has failed
// too often where there is no other way waits for an operator, and nothing is
// dropped.
package flow

import "time"

// A Plan is what a definition says.
type Plan struct {
	Stages []Stage
}

// A Stage is steps that run at once.
type Stage struct {
	Steps []Step
	Pivot bool // once it is done there is no way back; at most one stage
}

// A Step is an action and, perhaps, what undoes it.
type Step struct {
	Name        string
	Compensable bool
	// Timeout is how long a reply may take, for ever if it is 0.
	Timeout time.Duration
	// Attempts is how often an action that the participant failed to carry out, a
	// compensation, or an action that must succeed, is sent; without end if it is 0.
	Attempts int
	// BackoffMin and BackoffMax bound the pause before the next attempt, which doubles
	// each time.
	BackoffMin, BackoffMax time.Duration
}

// steps are those of all stages, in order.
func (p *Plan) steps() (all []Step) {
	for _, s := range p.Stages {
		all = append(all, s.Steps...)
	}
	return all
}

// pivot is the number of the pivot's stage; after all stages if there is none.
func (p *Plan) pivot() int {
	for i, s := range p.Stages {
		if s.Pivot {
			return i
		}
	}
	return len(p.Stages)
}

// bounds are the steps of a stage, from first to before end.
func (p *Plan) bounds(stage int) (first, end int) {
	for _, s := range p.Stages[:stage] {
		first += len(s.Steps)
	}
	return first, first + len(p.Stages[stage].Steps)
}

// State is what an instance is doing.
type State string

// The states. Attention means that a step needs an operator; other steps may go on.
const (
	Running      State = "running"
	Compensating State = "compensating"
	Completed    State = "completed"
	Compensated  State = "compensated"
	Attention    State = "attention"
)

// Live says whether an instance in this state is under way.
func (s State) Live() bool { return s != Completed && s != Compensated }

// Status is where a step stands.
type Status string

// The statuses of a step.
const (
	Idle    Status = ""
	Sent    Status = "sent"    // its action waits for a reply
	Waiting Status = "waiting" // its action is sent again after a pause
	Done    Status = "done"
	Refused Status = "refused" // its action had no effect
	Unknown Status = "unknown" // its action may have had its effect
	Stuck   Status = "stuck"   // its action needs an operator
	Skipped Status = "skipped" // an operator says that it is done

	Undoing     Status = "undoing"      // its compensation waits for a reply
	UndoWaiting Status = "undo-waiting" // its compensation is sent again after a pause
	Undone      Status = "undone"
	UndoStuck   Status = "undo-stuck"   // its compensation needs an operator
	UndoSkipped Status = "undo-skipped" // an operator says that it is undone
)

// stuck says whether an operator is needed.
func (s Status) stuck() bool { return s == Stuck || s == UndoStuck }

// A Saga is what has happened to an instance. Its zero value has not begun.
type Saga struct {
	Phase State       `json:"phase"` // never Attention
	Stage int         `json:"stage"` // the one under way, or at which it turned back
	Steps []StepState `json:"steps"`
	// Reason is why it is compensated.
	Reason string `json:"reason,omitempty"`
}

// StepState is what has happened to a step.
type StepState struct {
	Name   string `json:"name"`
	Status Status `json:"status,omitempty"`
	// Attempt is the number of the action, or compensation, that was sent last, from 1;
	// Tries counts them from the operator's last word on.
	Attempt int `json:"attempt,omitempty"`
	Tries   int `json:"tries,omitempty"`
	// Doubt says that the action may have happened: an attempt went without a reply, or
	// with one that could not be used.
	Doubt bool   `json:"doubt,omitempty"`
	Error string `json:"error,omitempty"` // the last one
}

// State is what the instance is doing.
func (s *Saga) State() State {
	for i := range s.Steps {
		if s.Steps[i].Status.stuck() {
			return Attention
		}
	}
	return s.Phase
}

// Op is what a command asks for.
type Op string

// The two.
const (
	Action       Op = "action"
	Compensation Op = "compensate"
)

// Outcome is what a participant, or who reads its reply, says of a command.
type Outcome string

// The outcomes.
const (
	OK       Outcome = "ok"
	Rejected Outcome = "rejected" // refused, without effect; the same attempt again changes nothing
	Failed   Outcome = "failed"   // without effect; another attempt may succeed
	Barred   Outcome = "barred"   // an action that came after its compensation, without effect
	Unusable Outcome = "unusable" // it was done, and the saga cannot use the reply
)

// Kind is the kind of an event.
type Kind int

// The events.
const (
	Start  Kind = iota + 1
	Reply       // to Step, Op, Attempt
	Timer       // that of Step, which the last effects left set, is due
	Broken      // the command of Step, Op cannot be built and was not sent
	Retry       // an operator wants what is stuck to be sent again
	Skip        // an operator says that what is stuck is done
)

// An Event is what happens.
type Event struct {
	Kind    Kind
	Step    string
	Op      Op
	Attempt int
	Outcome Outcome
	Error   string // the reason of an outcome that is not OK
}

// Do is the kind of an effect.
type Do int

// The effects.
const (
	Send   Do = iota + 1 // send the command of Step, Op as attempt Attempt
	Accept               // the reply is the action's result
	Set                  // set Step's timer to After from now, instead of what it was
	Clear                // Step has no timer
)

// An Effect is what is to be done, with the new state and as one transaction.
type Effect struct {
	Do      Do
	Step    string
	Op      Op
	Attempt int
	// Again says that the participant may carry out an action that it has rejected.
	Again bool
	After time.Duration
}
