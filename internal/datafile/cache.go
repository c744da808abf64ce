package datafile

import "sync"

// pageCache keeps the pages of .idx blobs that were used last, up to a fixed
// number. Pages are never changed, so a reader may keep one that has been
// thrown out.
type pageCache struct {
	mu    sync.Mutex
	max   int
	slots []cacheSlot // a ring in order of use; slot 0 is its head
	byKey map[pageKey]int32
}

type pageKey struct {
	idx  uint64
	page uint32
}

type cacheSlot struct {
	key        pageKey
	page       []byte
	prev, next int32
}

// newPageCache makes a cache of about the given size, at least one page.
func newPageCache(bytes int64) *pageCache {
	return &pageCache{
		max:   int(max(1, bytes/pageBytes)),
		slots: make([]cacheSlot, 1),
		byKey: make(map[pageKey]int32),
	}
}

func (c *pageCache) get(idx uint64, page uint32) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	i, ok := c.byKey[pageKey{idx, page}]
	if !ok {
		return nil
	}
	c.unlink(i)
	c.front(i)
	return c.slots[i].page
}

func (c *pageCache) put(idx uint64, page uint32, p []byte) {
	key := pageKey{idx, page}
	c.mu.Lock()
	defer c.mu.Unlock()
	i, ok := c.byKey[key]
	switch {
	case ok: // somebody else was faster
		c.unlink(i)
	case len(c.slots) <= c.max:
		i = int32(len(c.slots))
		c.slots = append(c.slots, cacheSlot{})
	default:
		i = c.slots[0].prev
		c.unlink(i)
		delete(c.byKey, c.slots[i].key)
	}
	c.slots[i].key, c.slots[i].page = key, p
	c.byKey[key] = i
	c.front(i)
}

func (c *pageCache) unlink(i int32) {
	s := &c.slots[i]
	c.slots[s.prev].next, c.slots[s.next].prev = s.next, s.prev
}

func (c *pageCache) front(i int32) {
	head := &c.slots[0]
	s := &c.slots[i]
	s.prev, s.next = 0, head.next
	c.slots[head.next].prev = i
	head.next = i
}
