package flow

// undoNext compensates the last step that happened or may have, or ends the saga.
func (m *machine) undoNext() {
	for i := len(m.s.Steps) - 1; i >= 0; i-- {
		st := &m.s.Steps[i]
		if (st.Status == Done || st.Status == Unknown) && m.steps[i].Compensable {
			st.Attempt, st.Tries = 0, 0
			m.send(i, Compensation)
			return
		}
	}
	m.s.Phase = Compensated
}

// compensationReply is what happens when a reply to a step's compensation comes.
func (m *machine) compensationReply(i int, e Event) (ignored string) {
	st := &m.s.Steps[i]
	if st.Status != Undoing && st.Status != UndoWaiting && st.Status != UndoStuck {
		return Late
	}
	if e.Outcome == OK { // whichever attempt it is of
		st.Error = ""
		m.rest(i, Undone)
		m.undoNext()
		return ""
	}
	if e.Attempt != st.Attempt || st.Status != Undoing {
		return Stale
	}
	st.Error = e.Error
	m.compensationFailed(i)
	return ""
}

// compensationFailed sends it again after a pause, until an operator is needed.
func (m *machine) compensationFailed(i int) {
	if !m.pause(i, UndoWaiting) {
		m.rest(i, UndoStuck)
	}
}

// compensationBroken has an operator see to a compensation that cannot be sent.
func (m *machine) compensationBroken(i int, e Event) (ignored string) {
	if m.s.Steps[i].Status != Undoing {
		return Late
	}
	m.s.Steps[i].Error = e.Error
	m.rest(i, UndoStuck)
	return ""
}
