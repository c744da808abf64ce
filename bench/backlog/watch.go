package main

import (
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// work is what a broker does in the background.
type work uint8

const (
	quiet work = iota
	rewriting
)

// watch looks at the broker's folder from outside: a blob that is not complete
// yet has a name that begins with "~", a checkpoint is made when there is a
// new one.
type watch struct {
	data string
	stop chan struct{}
	done sync.WaitGroup

	mu          sync.Mutex
	work        work
	rewrites    int         // that were begun
	idleSince   time.Time   // when the last one ended
	checkpoints []time.Time // when new ones were seen
	known       []string
}

const watchEvery = 5 * time.Millisecond

func startWatch(data string) *watch {
	w := &watch{data: data, stop: make(chan struct{}), idleSince: time.Now()}
	w.known = w.names("checkpoint", "[0-9a-f]*")
	w.done.Go(w.run)
	return w
}

// end stops the watch.
func (w *watch) end() {
	close(w.stop)
	w.done.Wait()
}

func (w *watch) run() {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		select {
		case <-w.stop:
			return
		case <-tick.C:
			w.look(time.Now())
		}
	}
}

func (w *watch) look(now time.Time) {
	partial := w.names("data", "~*")
	complete := w.names("checkpoint", "[0-9a-f]*")
	w.mu.Lock()
	defer w.mu.Unlock()
	was := w.work
	w.work = quiet
	if len(partial) > 0 {
		w.work = rewriting
	}
	switch {
	case was == quiet && w.work == rewriting:
		w.rewrites++
	case was == rewriting && w.work == quiet:
		w.idleSince = now
	}
	for _, name := range complete {
		if !slices.Contains(w.known, name) {
			w.checkpoints = append(w.checkpoints, now)
		}
	}
	w.known = complete
}

// names lists files of a kind, in all shards.
func (w *watch) names(kind, pattern string) []string {
	names, err := filepath.Glob(filepath.Join(w.data, "blobs", "*", kind, pattern))
	if err != nil {
		panic(err) // the pattern is wrong
	}
	return slices.DeleteFunc(names, func(n string) bool {
		return kind == "checkpoint" && strings.HasPrefix(filepath.Base(n), "~")
	})
}

// now is what goes on.
func (w *watch) now() work {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.work
}

// rewritten is how many rewrites there were, and since when there is none.
func (w *watch) rewritten() (n int, idle time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.work == rewriting {
		return w.rewrites, 0
	}
	return w.rewrites, time.Since(w.idleSince)
}

// checkpointBefore is how long a checkpoint may take to be made, counted back
// from when it is there.
const checkpointBefore = 3 * time.Second

// nearCheckpoint reports whether a checkpoint was probably being made at t.
func (w *watch) nearCheckpoint(t time.Time) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.ContainsFunc(w.checkpoints, func(c time.Time) bool {
		return t.Before(c) && c.Sub(t) < checkpointBefore
	})
}
