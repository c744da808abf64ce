package main

import (
	"fmt"
	"slices"
	"sync"
)

// register is what clients know of one committed offset. Commits overlap, fail
// without an answer, and may go backwards; a read must still return one that
// can have been the last.
type register struct {
	mu      sync.Mutex
	clock   uint64
	writes  []*write
	reading int // reads under way, which need the old writes
}

// write is one commit. Times are those of the register's own clock.
type write struct {
	value int64
	asked uint64
	ended uint64 // 0: not answered yet
	acked bool   // false once ended: nobody knows whether it took effect
}

// noOffset is what is committed as long as nothing is.
const noOffset = -1

func newRegister() *register {
	return &register{clock: 2, writes: []*write{{value: noOffset, asked: 1, ended: 2, acked: true}}}
}

func (r *register) tick() uint64 {
	r.clock++
	return r.clock
}

// ask notes that a commit is about to be sent. It must be ended.
func (r *register) ask(value int64) *write {
	r.mu.Lock()
	defer r.mu.Unlock()
	w := &write{value: value, asked: r.tick()}
	r.writes = append(r.writes, w)
	return w
}

// end notes the answer to a commit: acknowledged, or not known.
func (r *register) end(w *write, acked bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	w.ended, w.acked = r.tick(), acked
	if r.reading == 0 {
		r.forget()
	}
}

// forget drops the writes that no later read can return.
func (r *register) forget() {
	now := r.tick()
	r.writes = slices.DeleteFunc(r.writes, func(w *write) bool { return r.overwritten(w, now) })
}

// overwritten reports whether an acknowledged commit came wholly after w and
// before the time t.
func (r *register) overwritten(w *write, t uint64) bool {
	return w.ended != 0 && slices.ContainsFunc(r.writes, func(later *write) bool {
		return later.acked && later.asked > w.ended && later.ended < t
	})
}

// begin notes that a read is about to be sent and returns its time.
func (r *register) begin() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.reading++
	return r.tick()
}

// check says whether a read that began at the time since may return value.
func (r *register) check(since uint64, value int64) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.reading--
	var may []int64
	for _, w := range r.writes {
		if !r.overwritten(w, since) {
			may = append(may, w.value)
		}
	}
	if r.reading == 0 {
		r.forget()
	}
	if slices.Contains(may, value) {
		return nil
	}
	slices.Sort(may)
	return fmt.Errorf("offset %d is committed, which is not among what can be: %d", value, slices.Compact(may))
}
