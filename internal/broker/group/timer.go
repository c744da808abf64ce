package group

import "container/heap"

type timerKind uint8

const (
	timerSession timerKind = iota // a member was silent for too long
	timerPending                  // an id that was given out was not used
	timerJoin                     // the join barrier falls, whoever is there
	timerSync                     // members that have not synced are expelled
)

// timer is one deadline. Heartbeats only move due; the heap notices when at
// has come. So a heartbeat costs nothing, and a timer may be looked at once
// too often, never too late.
type timer struct {
	kind   timerKind
	group  *liveGroup
	member *member // timerSession
	id     string  // timerPending: the member id

	at    int64 // ms, where the heap sorts it; never after due
	due   int64 // ms, when it fires
	seq   uint64
	index int // in the heap, plus one; zero: not armed
}

// timers is a heap of armed timers, by at, then by when they were armed.
type timers struct {
	heap []*timer
	seq  uint64
}

func (h *timers) Len() int { return len(h.heap) }

func (h *timers) Less(i, j int) bool {
	a, b := h.heap[i], h.heap[j]
	return a.at < b.at || a.at == b.at && a.seq < b.seq
}

func (h *timers) Swap(i, j int) {
	h.heap[i], h.heap[j] = h.heap[j], h.heap[i]
	h.heap[i].index, h.heap[j].index = i+1, j+1
}

// Push is for container/heap only.
func (h *timers) Push(x any) {
	t := x.(*timer)
	h.heap = append(h.heap, t)
	t.index = len(h.heap)
}

// Pop is for container/heap only.
func (h *timers) Pop() any {
	last := len(h.heap) - 1
	t := h.heap[last]
	h.heap[last] = nil
	h.heap = h.heap[:last]
	t.index = 0
	return t
}

// arm sets when t fires, armed before or not.
func (h *timers) arm(t *timer, due int64) {
	t.due = due
	switch {
	case t.index == 0:
		h.seq++
		t.at, t.seq = due, h.seq
		heap.Push(h, t)
	case due < t.at:
		t.at = due
		heap.Fix(h, t.index-1)
	}
}

func (h *timers) disarm(t *timer) {
	if t.index > 0 {
		heap.Remove(h, t.index-1)
	}
}

// next returns when to look again, at the latest.
func (h *timers) next() (int64, bool) {
	if len(h.heap) == 0 {
		return 0, false
	}
	return h.heap[0].at, true
}

// fired disarms and returns one timer that is due at now, or nil.
func (h *timers) fired(now int64) *timer {
	for len(h.heap) > 0 && h.heap[0].at <= now {
		t := h.heap[0]
		if t.due <= now {
			h.disarm(t)
			return t
		}
		t.at = t.due
		heap.Fix(h, 0)
	}
	return nil
}

// shift puts all timers off by ms. Their order stays.
func (h *timers) shift(ms int64) {
	for _, t := range h.heap {
		t.at += ms
		t.due += ms
	}
}
