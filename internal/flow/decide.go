package flow

import (
	"slices"
	"time"
)

// Decide is what an event makes of a saga, and what is to be done then. It returns
// why not if the event changes nothing: a reply that comes again, too late, or to
// what nobody asked. It changes nothing that s refers to.
func (p *Plan) Decide(s Saga, e Event) (next Saga, effects []Effect, ignored string) {
	s.Steps = slices.Clone(s.Steps)
	m := &machine{plan: p, steps: p.steps(), s: s}
	ignored = m.take(e)
	if ignored != "" {
		return s, nil, ignored
	}
	return m.s, m.effects, ""
}

// Why an event is ignored.
const (
	Begun       = "begun"        // it had begun before
	UnknownStep = "unknown-step" // there is no such step
	Late        = "late"         // the step does not wait for it any more
	Stale       = "stale"        // it is about an attempt that was given up
	NotStuck    = "not-stuck"    // there is nothing for an operator to do
)

// machine is one call of Decide.
type machine struct {
	plan    *Plan
	steps   []Step
	s       Saga
	effects []Effect
}

func (m *machine) take(e Event) (ignored string) {
	switch e.Kind {
	case Start:
		return m.start()
	case Retry:
		return m.operator((*machine).again)
	case Skip:
		return m.operator((*machine).skip)
	}
	i := slices.IndexFunc(m.s.Steps, func(s StepState) bool { return s.Name == e.Step })
	if i < 0 {
		return UnknownStep
	}
	switch {
	case e.Kind == Timer:
		return m.due(i)
	case e.Kind == Broken && e.Op == Action:
		return m.actionBroken(i, e)
	case e.Kind == Broken:
		return m.compensationBroken(i, e)
	case e.Op == Action:
		return m.actionReply(i, e)
	default:
		return m.compensationReply(i, e)
	}
}

func (m *machine) start() (ignored string) {
	if m.s.Phase != "" {
		return Begun
	}
	m.s.Phase = Running
	for _, s := range m.steps {
		m.s.Steps = append(m.s.Steps, StepState{Name: s.Name})
	}
	m.enter()
	return ""
}

// enter sends the actions of the stage under way, or ends the saga after the last.
func (m *machine) enter() {
	if m.s.Stage == len(m.plan.Stages) {
		m.s.Phase = Completed
		return
	}
	for i, end := m.plan.bounds(m.s.Stage); i < end; i++ {
		m.send(i, Action)
	}
}

// send sends the next attempt of a step's action or compensation.
func (m *machine) send(i int, op Op) {
	st, step := &m.s.Steps[i], &m.steps[i]
	st.Attempt++
	st.Tries++
	st.Status = Sent
	if op == Compensation {
		st.Status = Undoing
	}
	m.effects = append(m.effects, Effect{Do: Send, Step: step.Name, Op: op, Attempt: st.Attempt, Again: op == Action && m.forward()})
	m.timer(i, step.Timeout)
}

// timer sets a step's timer, or clears it if after is 0.
func (m *machine) timer(i int, after time.Duration) {
	e := Effect{Do: Clear, Step: m.steps[i].Name}
	if after > 0 {
		e.Do, e.After = Set, after
	}
	m.effects = append(m.effects, e)
}

// rest puts a step where it waits for nothing.
func (m *machine) rest(i int, status Status) {
	m.s.Steps[i].Status = status
	m.timer(i, 0)
}

// forward says whether the stage under way comes after the pivot.
func (m *machine) forward() bool { return m.s.Stage > m.plan.pivot() }

// atPivot says whether the stage under way is the pivot.
func (m *machine) atPivot() bool { return m.s.Stage == m.plan.pivot() }

// pause has a step wait before its next attempt. It returns false if there have
// been enough.
func (m *machine) pause(i int, waiting Status) bool {
	st, step := &m.s.Steps[i], &m.steps[i]
	if step.Attempts > 0 && st.Tries >= step.Attempts {
		return false
	}
	st.Status = waiting
	m.timer(i, step.backoff(st.Tries))
	return true
}

// backoff is the pause after so many tries.
func (s *Step) backoff(tries int) time.Duration {
	d := max(s.BackoffMin, 1)
	for range tries - 1 {
		if d >= s.BackoffMax/2 {
			return max(s.BackoffMax, s.BackoffMin, 1)
		}
		d *= 2
	}
	return d
}

// due is what happens when a step's timer is due: a reply that did not come, or the
// end of a pause.
func (m *machine) due(i int) (ignored string) {
	st := &m.s.Steps[i]
	switch st.Status {
	case Sent:
		st.Error = "no reply in time"
		m.actionTimedOut(i)
	case Waiting:
		m.send(i, Action)
	case Undoing:
		st.Error = "no reply in time"
		m.compensationFailed(i)
	case UndoWaiting:
		m.send(i, Compensation)
	default:
		return Late
	}
	return ""
}

// operator does something with each step that is stuck.
func (m *machine) operator(do func(m *machine, i int)) (ignored string) {
	ignored = NotStuck
	for i := range m.s.Steps {
		if m.s.Steps[i].Status.stuck() {
			do(m, i)
			ignored = ""
		}
	}
	return ignored
}

// again sends what is stuck again.
func (m *machine) again(i int) {
	st := &m.s.Steps[i]
	st.Tries, st.Error = 0, ""
	if st.Status == Stuck {
		m.send(i, Action)
	} else {
		m.send(i, Compensation)
	}
}

// skip goes on as if what is stuck were done.
func (m *machine) skip(i int) {
	if m.s.Steps[i].Status == Stuck {
		m.rest(i, Skipped)
		m.settle()
		return
	}
	m.rest(i, UndoSkipped)
	m.undoNext()
}
