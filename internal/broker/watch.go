package broker

import "sync"

// Watcher is told when partitions change: more to read, a moved log start, a
// deletion. One goroutine uses it.
type Watcher struct {
	c     chan struct{}
	parts []*Partition
}

// NewWatcher returns a watcher that watches nothing yet.
func NewWatcher() *Watcher { return &Watcher{c: make(chan struct{}, 1)} }

// C has a token when something that is watched has changed since the token
// was last taken.
func (w *Watcher) C() <-chan struct{} { return w.c }

// Watch adds a partition. To miss nothing, watch first and look then.
func (w *Watcher) Watch(p *Partition) {
	p.watch.add(w)
	w.parts = append(w.parts, p)
}

// Stop ends all watching.
func (w *Watcher) Stop() {
	for _, p := range w.parts {
		p.watch.remove(w)
	}
	w.parts = nil
}

// watchers are those who watch one partition.
type watchers struct {
	mu  sync.Mutex
	set map[*Watcher]struct{}
}

func (s *watchers) add(w *Watcher) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.set == nil {
		s.set = map[*Watcher]struct{}{}
	}
	s.set[w] = struct{}{}
}

func (s *watchers) remove(w *Watcher) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.set, w)
}

func (s *watchers) wake() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for w := range s.set {
		select {
		case w.c <- struct{}{}:
		default:
		}
	}
}
