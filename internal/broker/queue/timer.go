package queue

// timer is the one deadline of a queue. Only due moves; the heap notices when
// at has come: a timer may be looked at once too often, never too late.
type timer struct {
	q     *liveQueue
	at    int64 // ms, where the heap sorts it; never after due
	due   int64 // ms, when it fires
	index int   // in the heap, plus one; zero: not armed
}

// timers is a heap of armed timers, by at, then by queue.
type timers []*timer

func (h timers) less(i, j int) bool {
	return h[i].at < h[j].at || h[i].at == h[j].at && h[i].q.id < h[j].q.id
}

func (h timers) swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i+1, j+1
}

func (h timers) up(i int) {
	for i > 0 && h.less(i, (i-1)/2) {
		h.swap(i, (i-1)/2)
		i = (i - 1) / 2
	}
}

func (h timers) down(i int) {
	for {
		least := i
		for c := 2*i + 1; c <= 2*i+2 && c < len(h); c++ {
			if h.less(c, least) {
				least = c
			}
		}
		if least == i {
			return
		}
		h.swap(i, least)
		i = least
	}
}

// arm sets when t fires, armed before or not.
func (h *timers) arm(t *timer, due int64) {
	t.due = due
	switch {
	case t.index == 0:
		t.at = due
		*h = append(*h, t)
		t.index = len(*h)
	case due < t.at:
		t.at = due
	default:
		return
	}
	h.up(t.index - 1)
}

func (h *timers) disarm(t *timer) {
	if t.index == 0 {
		return
	}
	i, last := t.index-1, len(*h)-1
	h.swap(i, last)
	(*h)[last] = nil
	*h = (*h)[:last]
	t.index = 0
	if i < last {
		h.down(i)
		h.up(i)
	}
}

// next returns when to look again, at the latest.
func (h timers) next() (int64, bool) {
	if len(h) == 0 {
		return 0, false
	}
	return h[0].at, true
}

// fired disarms and returns one timer that is due at now, or nil.
func (h *timers) fired(now int64) *timer {
	for len(*h) > 0 && (*h)[0].at <= now {
		t := (*h)[0]
		if t.due <= now {
			h.disarm(t)
			return t
		}
		t.at = t.due
		h.down(0)
	}
	return nil
}
