package datafile

import (
	"slices"
	"sort"
)

// SetStart says that the offsets of the log below start are dead. A start
// below the last one changes nothing. When a shard is opened, call it for every
// log after all files have been registered: what is registered later is not let
// go of before the next call.
func (x *Index) SetStart(log LogID, start int64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	l := x.log(log)
	if start < l.start {
		return
	}
	n := sort.Search(len(l.spans), func(i int) bool { return l.spans[i].first >= start })
	for i := range n {
		x.slots[l.spans[i].file].live -= l.live(i)
	}
	l.start = start
	for i := range n {
		if l.shares != nil {
			h := &l.shares[i]
			h.live = min(h.live, l.spans[i].share(start).live)
			if h.live > 0 {
				x.suspect(log, l, i)
			}
		}
		x.slots[l.spans[i].file].live += l.live(i)
	}
	x.passStart(l)
}

// passStart lets go of the spans below the start of a log. That of a file
// which is still written to stays until Seal: the next extent continues it,
// and a log whose records die as fast as they come has one span there, not one
// for each.
func (x *Index) passStart(l *logSpans) {
	n := 0
	for ; n < len(l.spans) && l.spans[n].next() <= l.start; n++ {
		f := x.slots[l.spans[n].file]
		if !f.sealed {
			f.hollow = true
			break
		}
		f.spans--
	}
	l.spans = withoutFirst(l.spans, n)
	if l.shares != nil {
		l.shares = slices.Delete(l.shares, 0, n)
	}
}

// withoutFirst drops the first n spans; readers may still have them.
func withoutFirst(spans []span, n int) []span {
	if n > len(spans)/2 {
		return append([]span(nil), spans[n:]...)
	}
	return spans[n:]
}

// Drop says that the log is deleted: all its bytes are dead. Its id must not
// be added to again.
func (x *Index) Drop(log LogID) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.drop(log)
}

func (x *Index) drop(log LogID) {
	l := x.logs[log]
	if l == nil {
		return
	}
	for i := range l.spans {
		s := &l.spans[i]
		f := x.slots[s.file]
		f.live -= l.live(i)
		f.spans--
	}
	delete(x.logs, log)
}

// Keep drops every log for which known reports false: files that were loaded
// may hold logs that were deleted since. known is called with a lock held and
// must not call back.
func (x *Index) Keep(known func(LogID) bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for log := range x.logs {
		if !known(log) {
			x.drop(log)
		}
	}
}
