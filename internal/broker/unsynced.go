package broker

import (
	"github.com/waxwing-mq/waxwing/internal/broker/queue"
	"github.com/waxwing-mq/waxwing/internal/datafile"
	"github.com/waxwing-mq/waxwing/internal/journal"
	"github.com/waxwing-mq/waxwing/internal/mutant"
)

// unsynced knows which entries and messages of the queues are in slots that may
// not be durable yet: a delivery waits for those that it shows, and not for the
// acknowledgement that made room for it.
type unsynced struct {
	slots []unsyncedSlot // oldest first
	spare []map[datafile.LogID]int64
}

type unsyncedSlot struct {
	at     journal.Point
	before uint64                   // the entry before its first, as queue.Machine counts them
	first  map[datafile.LogID]int64 // the first message in it, by queue's log
}

// add notes an entry, and its messages, that went into a slot of j.
func (u *unsynced) add(j *journal.Journal, at journal.Point, entry uint64, data []journal.Data) {
	if n := len(u.slots); n == 0 || u.slots[n-1].at != at {
		u.forget(j.Told())
		u.slots = append(u.slots, unsyncedSlot{at, entry - 1, u.takeSpare()})
	}
	first := u.slots[len(u.slots)-1].first
	for i := range data {
		if _, ok := first[data[i].Log]; !ok {
			first[data[i].Log] = data[i].Base
		}
	}
}

// forget drops the slots up to a point: they are durable.
func (u *unsynced) forget(told journal.Point) {
	n := 0
	for n < len(u.slots) && u.slots[n].at <= told {
		if first := u.slots[n].first; len(first) <= spareFirstMax {
			clear(first)
			u.spare = append(u.spare, first)
		}
		n++
	}
	if n > 0 {
		u.slots = append(u.slots[:0], u.slots[n:]...)
	}
}

// shown returns the point at which everything that a delivery shows is durable.
func (u *unsynced) shown(d *queue.Delivery) journal.Point {
	for i := len(u.slots) - 1; i >= 0; i-- {
		slot := &u.slots[i]
		if d.After > slot.before && !mutant.On(mutant.DeliveryBeforeEntry) {
			return slot.at
		}
		if first, ok := slot.first[d.Log]; ok && d.Ref.Offset >= first && !mutant.On(mutant.DeliveryBeforeMessage) {
			return slot.at
		}
	}
	return 0
}

// spareFirstMax is how many logs a map may have had to be used again.
const spareFirstMax = 1024

func (u *unsynced) takeSpare() map[datafile.LogID]int64 {
	n := len(u.spare)
	if n == 0 {
		return map[datafile.LogID]int64{}
	}
	m := u.spare[n-1]
	u.spare = u.spare[:n-1]
	return m
}
