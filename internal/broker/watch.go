package broker

import "sync"

// Watcher is told when partitions change: more to read, a moved log start, a
// deletion. One goroutine uses it.
type Watcher struct {
	c     chan struct{}
	parts []*Partition

	mu      sync.Mutex
	changed []int  // indexes of parts, each once
	listed  []bool // by index: is in changed
}

// NewWatcher returns a watcher that watches nothing yet.
func NewWatcher() *Watcher { return &Watcher{c: make(chan struct{}, 1)} }

// C has a token when something that is watched has changed since the token
// was last taken.
func (w *Watcher) C() <-chan struct{} { return w.c }

// Watch adds a partition, which must not be watched yet. To miss nothing,
// watch first and look then.
func (w *Watcher) Watch(p *Partition) {
	w.mu.Lock()
	w.listed = append(w.listed, false)
	w.mu.Unlock()
	p.watch.add(w, len(w.parts))
	w.parts = append(w.parts, p)
}

// Changed appends to dst which partitions have changed since it was last
// called: 0 for the first that was given to Watch, and so on. Take the token
// first.
func (w *Watcher) Changed(dst []int) []int {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, i := range w.changed {
		w.listed[i] = false
	}
	dst = append(dst, w.changed...)
	w.changed = w.changed[:0]
	return dst
}

// Stop ends all watching.
func (w *Watcher) Stop() {
	for _, p := range w.parts {
		p.watch.remove(w)
	}
	w.parts = nil
}

// wake notes that partition i has changed.
func (w *Watcher) wake(i int) {
	w.mu.Lock()
	if !w.listed[i] {
		w.listed[i] = true
		w.changed = append(w.changed, i)
	}
	w.mu.Unlock()
	select {
	case w.c <- struct{}{}:
	default:
	}
}

// watchers are those who watch one partition, each with the partition's index
// there.
type watchers struct {
	mu  sync.Mutex
	set map[*Watcher]int
}

func (s *watchers) add(w *Watcher, i int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.set == nil {
		s.set = map[*Watcher]int{}
	}
	s.set[w] = i
}

func (s *watchers) remove(w *Watcher) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.set, w)
}

func (s *watchers) wake() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for w, i := range s.set {
		w.wake(i)
	}
}
