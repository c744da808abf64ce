package outbox

import (
	"time"

	"github.com/waxwing-mq/waxwing/bus"
)

// holds are what of a bucket is held back since it could not be published: keys, so
// that others go on, or the whole bucket if nothing of a batch got through.
type holds struct {
	all  hold
	keys map[heldKey]hold
	rows int // of those keys, as the last read found
}

// A hold lasts until a moment, and then until the next attempt's result.
type hold struct {
	until time.Time
	tries int
}

// A heldKey is what order is kept for: a key of a topic. A message without a key is
// its own.
type heldKey struct{ topic, key, id string }

func keyOf(m *bus.Message) heldKey {
	if m.Key == "" {
		return heldKey{m.Topic, "", m.ID}
	}
	return heldKey{m.Topic, m.Key, ""}
}

func (h hold) longer(shortest, longest time.Duration) hold {
	d := longest
	if h.tries < 20 {
		d = min(shortest<<h.tries, longest)
	}
	return hold{time.Now().Add(d), h.tries + 1}
}

// room is how many rows further a read must look to see what is behind those that
// are held back, in whole batches.
func (h *holds) room(batch int) int {
	return min((h.rows+batch-1)/batch, maxHeld) * batch
}

// clear notes that all was published that was due.
func (h *holds) clear() {
	h.all = hold{}
	now := time.Now()
	for k, held := range h.keys {
		if !now.Before(held.until) {
			delete(h.keys, k)
		}
	}
	if len(h.keys) == 0 {
		h.rows = 0
	}
}

// note notes the result of a batch. A key of which something failed waits, whatever
// of it got through before.
func (h *holds) note(failed []*bus.Message, durable []bus.Message, shortest, longest time.Duration) {
	keys := map[heldKey]bool{}
	for _, m := range failed {
		keys[keyOf(m)] = true
	}
	if len(keys) > 1 && len(durable) == 0 {
		h.all = h.all.longer(shortest, longest)
		return
	}
	h.all = hold{}
	for i := range durable {
		delete(h.keys, keyOf(&durable[i])) // it gets on: the wait begins anew
	}
	if h.keys == nil {
		h.keys = map[heldKey]hold{}
	}
	for k := range keys {
		h.keys[k] = h.keys[k].longer(shortest, longest)
	}
}

// next is how long it is until something becomes due.
func (h *holds) next() time.Duration {
	d := time.Hour
	now := time.Now()
	sooner := func(u time.Time) {
		if u.After(now) {
			d = min(d, u.Sub(now))
		}
	}
	sooner(h.all.until)
	for _, k := range h.keys {
		sooner(k.until)
	}
	return d
}
