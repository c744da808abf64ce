package flow

// actionReply is what happens when a reply to a step's action comes.
func (m *machine) actionReply(i int, e Event) (ignored string) {
	st := &m.s.Steps[i]
	open := st.Status == Sent || st.Status == Waiting || st.Status == Stuck
	// What turns out to have happened is better known than compensated blindly: the
	// reply may say what the compensation needs.
	belated := st.Status == Unknown && m.s.Phase == Running && (e.Outcome == OK || e.Outcome == Unusable)
	if !open && !belated {
		return Late
	}
	if e.Outcome == OK { // whichever attempt it is of: there is one effect
		st.Error = ""
		m.effects = append(m.effects, Effect{Do: Accept, Step: e.Step})
		m.rest(i, Done)
		m.settle()
		return ""
	}
	if e.Outcome == Unusable {
		st.Error = e.Error
		m.actionUnusable(i)
		return ""
	}
	// A later attempt is under way, and gets an answer of its own.
	if e.Attempt != st.Attempt {
		return Stale
	}
	switch {
	case e.Outcome == Rejected:
		st.Error = e.Error
		m.actionRejected(i)
	case e.Outcome == Failed && st.Status == Sent:
		st.Error = e.Error
		m.actionFailed(i)
	default:
		return Late
	}
	return ""
}

// actionRejected turns back, if that is still possible.
func (m *machine) actionRejected(i int) {
	switch {
	case m.forward():
		m.insist(i)
	default:
		m.turnBack(i)
		m.rest(i, Refused)
		m.settle()
	}
}

// actionFailed tries again. If that was done often enough it turns back.
func (m *machine) actionFailed(i int) {
	switch {
	case m.forward():
		m.insist(i)
	case !m.doomed() && m.pause(i, Waiting):
	case m.atPivot() && m.s.Steps[i].Doubt:
		m.rest(i, Stuck)
	case m.atPivot():
		m.turnBack(i)
		m.rest(i, Refused)
		m.settle()
	default:
		m.turnBack(i)
		m.rest(i, Unknown)
		m.settle()
	}
}

// actionTimedOut turns back: the step may have been done and is compensated too.
// The pivot has no compensation, so that its outcome must be found out.
func (m *machine) actionTimedOut(i int) {
	m.s.Steps[i].Doubt = true
	switch {
	case m.forward() || m.atPivot():
		m.insist(i)
	default:
		m.turnBack(i)
		m.rest(i, Unknown)
		m.settle()
	}
}

// actionUnusable turns back, the step included, or has an operator see to it.
func (m *machine) actionUnusable(i int) {
	m.s.Steps[i].Doubt = true
	if m.forward() || m.atPivot() {
		m.rest(i, Stuck)
		return
	}
	m.turnBack(i)
	m.rest(i, Unknown)
	m.settle()
}

// actionBroken is what happens when an action cannot be sent.
func (m *machine) actionBroken(i int, e Event) (ignored string) {
	st := &m.s.Steps[i]
	if st.Status != Sent {
		return Late
	}
	st.Error = e.Error
	switch {
	case m.forward() || m.atPivot() && st.Doubt:
		m.rest(i, Stuck)
		return ""
	case st.Attempt > 1 && !m.atPivot():
		m.rest(i, Unknown)
	default:
		m.rest(i, Refused)
	}
	m.turnBack(i)
	m.settle()
	return ""
}

// insist sends an action again after a pause, until an operator is needed.
func (m *machine) insist(i int) {
	if !m.pause(i, Waiting) {
		m.rest(i, Stuck)
	}
}

// turnBack notes why.
func (m *machine) turnBack(i int) {
	if m.s.Reason == "" {
		m.s.Reason = m.s.Steps[i].Name + ": " + m.s.Steps[i].Error
	}
}

// doomed says whether the stage under way has failed already.
func (m *machine) doomed() bool {
	for i, end := m.plan.bounds(m.s.Stage); i < end; i++ {
		if s := m.s.Steps[i].Status; s == Refused || s == Unknown {
			return true
		}
	}
	return false
}

// settle leaves the stage under way, in one direction or the other, if nothing in
// it is open. In a stage that has failed no action is sent again.
func (m *machine) settle() {
	doomed := m.doomed()
	for i, end := m.plan.bounds(m.s.Stage); i < end; i++ {
		switch m.s.Steps[i].Status {
		case Sent, Stuck:
			return
		case Waiting:
			if !doomed {
				return
			}
			m.rest(i, Unknown)
		}
	}
	if doomed {
		m.s.Phase = Compensating
		m.undoNext()
		return
	}
	m.s.Stage++
	m.enter()
}
