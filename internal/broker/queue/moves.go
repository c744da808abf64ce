package queue

import "math"

// moves are the messages of a queue that are to be dead-lettered: some wait,
// some were asked for, some failed and pause.
type moves struct {
	waiting  []Ref
	underway map[Ref]struct{}
	paused   []pausedMove // by when they are due
}

type pausedMove struct {
	at  int64 // ms
	ref Ref
}

const (
	// movesMax is how many messages of a queue are asked for at a time.
	movesMax = 256
	// doomedMax is how many messages of a queue may be doomed before expired
	// and surplus ones have to wait at the head.
	doomedMax = 1024
	// movePause is how long a move that failed waits, ms.
	movePause = 1000
)

func (m *moves) wait(r Ref) { m.waiting = append(m.waiting, r) }

// room says whether another message may be doomed that need not be.
func (m *moves) room() bool { return len(m.waiting)+len(m.underway)+len(m.paused) < doomedMax }

// next returns a message to be asked for, if there is one.
func (m *moves) next(now int64) (Ref, bool) {
	for len(m.paused) > 0 && m.paused[0].at <= now {
		m.wait(m.paused[0].ref)
		m.paused = m.paused[1:]
	}
	if len(m.waiting) == 0 || len(m.underway) >= movesMax {
		return Ref{}, false
	}
	r := m.waiting[0]
	if m.waiting = m.waiting[1:]; len(m.waiting) == 0 {
		m.waiting = nil
	}
	if m.underway == nil {
		m.underway = map[Ref]struct{}{}
	}
	m.underway[r] = struct{}{}
	return r, true
}

// pause puts a move off.
func (m *moves) pause(r Ref, until int64) {
	delete(m.underway, r)
	m.paused = append(m.paused, pausedMove{until, r})
}

func (m *moves) due() int64 {
	if len(m.paused) == 0 {
		return math.MaxInt64
	}
	return m.paused[0].at
}
