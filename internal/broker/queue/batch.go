package queue

// batch gathers messages of one level for one fact. Neighbours become one
// span.
type batch struct {
	level *liveLevel
	spans []span
}

func (b *batch) add(o int64) {
	if n := len(b.spans); n > 0 && b.spans[n-1].to == o {
		b.spans[n-1].to++
		return
	}
	b.spans = append(b.spans, span{o, o + 1})
}

// done adds one message to those of its level that were in flight and are done
// with.
func (m *Machine) done(l *liveLevel, o int64) {
	if m.batch.level != l {
		m.flush()
		m.batch.level = l
	}
	m.batch.add(o)
}

// flush logs what done has gathered.
func (m *Machine) flush() {
	if l := m.batch.level; l != nil {
		m.acknowledge(l, m.batch.spans)
		m.batch.level, m.batch.spans = nil, m.batch.spans[:0]
	}
}

// settle is acknowledge for messages that nobody has acknowledged: those behind
// them are next only because of it.
func (m *Machine) settle(l *liveLevel, spans []span) {
	m.changes(l.q)
	m.acknowledge(l, spans)
}

// acknowledge logs that messages are done with, and says that their bytes are not
// needed any more.
func (m *Machine) acknowledge(l *liveLevel, spans []span) {
	m.facts.settled = settled{l.at(), spans}
	m.log(&m.facts.settled)
	for _, s := range spans {
		m.effects.Settled = append(m.effects.Settled, Settled{l.log, s.from, s.to, l.floor})
	}
	l.cursor = max(l.cursor, l.floor)
}

// settleOne is settle for one span.
func (m *Machine) settleOne(l *liveLevel, from, to int64) {
	m.facts.spans = append(m.facts.spans[:0], span{from, to})
	m.settle(l, m.facts.spans)
}
