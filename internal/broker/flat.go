package broker

import (
	"sync"

	"github.com/waxwing-mq/waxwing/internal/broker/topic"
)

// flatNames are the view's topic names, to find collisions without walking
// over all of them. The home shard's publisher writes.
type flatNames struct {
	mu    sync.RWMutex
	names topic.FlatNames
}

func (f *flatNames) colliding(name string) string {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.names.Colliding(name)
}

func (f *flatNames) add(name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.names.Add(name)
}

func (f *flatNames) remove(name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.names.Remove(name)
}
