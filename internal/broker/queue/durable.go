package queue

import (
	"errors"
	"fmt"
	"slices"

	"github.com/waxwing-mq/waxwing/internal/datafile"
	"github.com/waxwing-mq/waxwing/internal/enc"
)

// The kinds of failure of Apply and Restore; test with errors.Is.
var (
	// ErrNewer says that the bytes have a type or version that this program
	// does not know.
	ErrNewer = errors.New("written by a newer version of Waxwing")
	// ErrMalformed says that the bytes are not what an encoder wrote, or do
	// not fit the state.
	ErrMalformed = errors.New("malformed")
)

// Durable is the state that survives a crash: what the entries say, and
// nothing else. It changes only in Apply.
type Durable struct {
	byID    map[ID]*queue
	byName  map[name]ID
	vhosts  map[string]int // queues of each
	nextID  ID
	nextLog datafile.LogID // above all that were ever opened
}

type name struct{ vhost, name string }

// queue is what is durable of one queue.
type queue struct {
	id     ID
	spec   Spec
	levels []*level // the highest priority first
	count  int64    // messages that are not settled
	bytes  int64    // their sizes; with Settings.MaxBytes only
	seq    uint64   // how often a message was put apart, or became due
	dedup  *dedup
}

// level is what is durable of the messages of one priority.
type level struct {
	priority  uint8
	log       datafile.LogID
	next      int64 // the offset of the next message; never goes back
	floor     int64 // all below are settled
	mark      int64 // none from here on was ever delivered
	settled   offsets
	apart     map[int64]apart
	expiry    runs // when messages expire, ms
	sizes     runs // with Settings.MaxBytes only
	transient runs // messages that the end of the process removes
	younger   runs // of a quorum queue's high level: the normal level's next offset at the time
}

// apart is what is known of a message that is not served in its turn.
type apart struct {
	state     apartState
	reason    Reason // doomed
	count     uint32 // how often it came back
	seq       uint64 // by when it was put apart
	notBefore int64  // ms; 0: at once
	place     place  // where it stands among the others; none: at its offset
}

// place is where a message stands that became due, or came back behind all that
// were there: behind the message with the offset after, and behind those that
// did so there before it, which have a lower turn.
type place struct {
	after int64
	turn  uint64 // above zero; zero: there is no such place
}

type apartState uint8

const (
	delayed  apartState = iota + 1 // published for later
	returned                       // came back
	doomed                         // is to be dead-lettered, or dropped
	due                            // published for later, and that has come
	behind                         // came back, and stands behind what was there
)

// NewDurable returns the state of a shard without queues.
func NewDurable() *Durable {
	return &Durable{byID: map[ID]*queue{}, byName: map[name]ID{}, vhosts: map[string]int{}, nextID: 1, nextLog: 1}
}

// NextLog is above all log ids that queues ever had.
func (d *Durable) NextLog() datafile.LogID { return d.nextLog }

// Find returns a queue by its name, 0 if there is none.
func (d *Durable) Find(vhost, queue string) ID { return d.byName[name{vhost, queue}] }

// Len is the number of queues.
func (d *Durable) Len() int { return len(d.byID) }

// LogState says which part of a log is needed.
type LogState struct {
	Queue       ID
	Level       uint8
	Log         datafile.LogID
	Floor, Next int64
}

// Logs calls fn with each log, ascending by queue, then by descending
// priority; settled calls its argument with each range above the floor that is
// not needed either.
func (d *Durable) Logs(fn func(s LogState, settled func(func(from, to int64)))) {
	for _, id := range sortedKeys(d.byID) {
		for _, l := range d.byID[id].levels {
			fn(LogState{id, l.priority, l.log, l.floor, l.next}, func(each func(from, to int64)) {
				l.settled.each(l.floor, func(from, to int64) bool {
					each(from, to)
					return true
				})
			})
		}
	}
}

// Apply takes in an entry, which Machine.Decide or Machine.Tick returned. It
// fails with ErrNewer or ErrMalformed, and is then in no defined state. It
// keeps no reference to entry.
func (d *Durable) Apply(entry []byte) error {
	r := enc.NewReader(entry)
	version := r.Take(1)
	if r.Err() != nil || version[0] == 0 {
		return fmt.Errorf("queue entry without a version: %w", ErrMalformed)
	}
	if version[0] > entryVersion {
		return fmt.Errorf("queue entry of version %d: %w", version[0], ErrNewer)
	}
	for r.Len() > 0 {
		if err := d.applyFact(&r); err != nil {
			return err
		}
	}
	return nil
}

// level returns the level of a priority and where in levels it is, or nil and
// where it belongs.
func (q *queue) level(priority uint8) (*level, int) {
	for i, l := range q.levels {
		if l.priority == priority {
			return l, i
		}
		if l.priority < priority {
			return nil, i
		}
	}
	return nil, len(q.levels)
}

func (d *Durable) declare(id ID, spec Spec) bool {
	key := name{spec.VHost, spec.Name}
	if d.byID[id] != nil || d.byName[key] != 0 || id < d.nextID || id+1 == 0 {
		return false
	}
	q := &queue{id: id, spec: spec}
	if spec.Settings.DedupWindow > 0 {
		q.dedup = newDedup(spec.Settings.DedupWindow)
	}
	d.byID[id] = q
	d.byName[key] = id
	d.vhosts[spec.VHost]++
	d.nextID = id + 1
	return true
}

func (d *Durable) delete(q *queue) {
	delete(d.byID, q.id)
	delete(d.byName, name{q.spec.VHost, q.spec.Name})
	if d.vhosts[q.spec.VHost]--; d.vhosts[q.spec.VHost] == 0 {
		delete(d.vhosts, q.spec.VHost)
	}
}

func (d *Durable) open(q *queue, priority uint8, log datafile.LogID) bool {
	l, at := q.level(priority)
	if l != nil || log < d.nextLog || log+1 == 0 {
		return false
	}
	q.levels = slices.Insert(q.levels, at, &level{priority: priority, log: log})
	d.nextLog = log + 1
	return true
}

// append takes a message in. Its offset must be the level's next.
func (q *queue) append(l *level, f *appended) bool {
	if f.offset != l.next || f.size < 0 || q.bytes+f.size < 0 {
		return false
	}
	l.next++
	q.count++
	if f.expiry != 0 {
		l.expiry.push(f.offset, f.expiry)
	}
	if q.spec.Settings.MaxBytes >= 0 {
		l.sizes.push(f.offset, f.size)
		q.bytes += f.size
	}
	if f.transient {
		l.transient.push(f.offset, 1)
	}
	if q.ranks(l) {
		lo, _ := q.level(normal)
		if lo != nil {
			l.younger.push(f.offset, lo.next)
		} else {
			l.younger.push(f.offset, 0)
		}
	}
	if f.notBefore != 0 {
		q.seq++
		l.setApart(f.offset, apart{state: delayed, seq: q.seq, notBefore: f.notBefore})
	}
	if f.dedupID != "" && q.dedup != nil {
		q.dedup.add(f.dedupID)
	}
	return true
}

// ranks says whether it is known of the level's messages which of the other
// level's are younger.
func (q *queue) ranks(l *level) bool { return q.spec.Kind == Quorum && l.priority == high }

func (l *level) setApart(o int64, a apart) {
	if l.apart == nil {
		l.apart = map[int64]apart{}
	}
	l.apart[o] = a
}

// settle is done with [from, to), of which some may be settled already.
func (q *queue) settle(l *level, from, to int64) {
	from = max(from, l.floor)
	if from >= to {
		return
	}
	q.count -= l.unsettled(from, to)
	q.bytes -= l.size(from, to)
	l.forgetApart(from, to)
	if from > l.floor {
		l.settled.add(from, to)
		return
	}
	l.floor = l.settled.absent(to)
	l.settled.drop(l.floor)
	l.expiry.drop(l.floor)
	l.sizes.drop(l.floor)
	l.transient.drop(l.floor)
	l.younger.drop(l.floor)
}

// unsettled counts what is not settled of [from, to), which is not below the
// floor.
func (l *level) unsettled(from, to int64) int64 { return to - from - l.settled.count(from, to) }

// size adds up the sizes of what is not settled of [from, to).
func (l *level) size(from, to int64) (n int64) {
	if len(l.sizes.list) == 0 {
		return 0
	}
	l.sizes.each(from, to, func(v valueRun) { n += v.value * l.unsettled(v.from, v.to) })
	return n
}

func (l *level) forgetApart(from, to int64) {
	if len(l.apart) == 0 {
		return
	}
	if to-from <= int64(len(l.apart)) {
		for o := from; o < to; o++ {
			delete(l.apart, o)
		}
	} else {
		for o := range l.apart {
			if o >= from && o < to {
				delete(l.apart, o)
			}
		}
	}
	if len(l.apart) == 0 {
		l.apart = nil
	}
}

// alive says whether o is a message that is not settled.
func (l *level) alive(o int64) bool { return o >= l.floor && o < l.next && !l.settled.contains(o) }

// putApart says of [from, to), all of it not settled, that it came back or is
// doomed.
func (q *queue) putApart(l *level, from, to int64, a apart) bool {
	if from < l.floor || to > l.next || from >= to || l.settled.count(from, to) > 0 {
		return false
	}
	for o := from; o < to; o++ {
		q.seq++
		a.seq = q.seq
		if was := l.apart[o]; a.state == doomed {
			a.count = was.count
		} else {
			a.place = was.place
		}
		l.setApart(o, a)
	}
	return true
}

// requeue says of [from, to), all of it not settled, that it came back, and where
// it stands now: each message behind all that are there.
func (q *queue) requeue(l *level, from, to int64, count uint32) bool {
	if !q.putApart(l, from, to, apart{state: behind, count: count}) {
		return false
	}
	for o := from; o < to; o++ {
		a := l.apart[o]
		a.place = place{l.next - 1, a.seq}
		l.apart[o] = a
	}
	return true
}

// ripen says of [from, to), all of it published for later, that it is due now:
// each message stands behind all that are there.
func (q *queue) ripen(l *level, from, to int64) bool {
	for o := from; o < to; o++ {
		a := l.apart[o]
		if a.state != delayed {
			return false
		}
		q.seq++
		a.state, a.seq, a.notBefore, a.place = due, q.seq, 0, place{l.next - 1, q.seq}
		l.apart[o] = a
	}
	return true
}
