package sim

import (
	"context"
	"errors"
	"fmt"

	"github.com/waxwing-mq/waxwing/internal/broker/prekey"
)

// identityModel is what the clients of the prekey directory know of the identity
// that they use.
type identityModel struct {
	there    bool                // it was published, and answered
	doubtful bool                // a publication or deletion was not answered
	next     uint32              // the id of the next new one-time key
	sending  *prekey.Publication // not answered yet
	given    map[uint32]bool     // one-time keys that were given out, EC
	givenKEM map[uint32]bool
	acked    map[uint32]uint64 // marks
	asked    map[uint32]uint64 // the highest marks that were asked for
}

const identityName = "orders"

func newIdentity(next uint32) *identityModel {
	return &identityModel{next: next, given: map[uint32]bool{}, givenKEM: map[uint32]bool{}, acked: map[uint32]uint64{}, asked: map[uint32]uint64{}}
}

// prekeyStep does one thing with the prekey directory.
func (w *world) prekeyStep() {
	if !w.quiet() {
		return
	}
	switch n := w.rng.IntN(10); {
	case n < 3 || w.identity.sending != nil:
		w.publishKeys()
	case n < 6:
		w.takeKeys()
	case n < 9:
		w.raiseMarks()
	default:
		w.deleteIdentity()
	}
}

// outcome reports whether a command was done. If it may have been, it was not
// answered, and the broker is opened anew.
func (w *world) outcome(what string, err error) bool {
	var refused *prekey.Error
	if err != nil && isFailed(err) {
		w.crash(what)
		return false
	}
	w.note()
	if errors.As(err, &refused) {
		w.must(refused.Kind == prekey.NotFound && !w.identity.there, "%s: %v", what, err)
	}
	w.logf("%s: %v\n", what, err)
	return err == nil
}

// publishKeys publishes some keys, or again what was not answered.
func (w *world) publishKeys() {
	m := w.identity
	if m.sending == nil {
		p := &prekey.Publication{RegistrationID: 1, Certificate: []byte("c"), Signed: prekey.SignedKey{ID: m.next, Key: []byte("s")}}
		for range w.rng.IntN(4) {
			key := fmt.Appendf(nil, "key %d", m.next)
			p.OneTime = append(p.OneTime, prekey.Key{ID: m.next, Key: key})
			p.OneTimeKEM = append(p.OneTimeKEM, prekey.SignedKey{ID: m.next, Key: key, Signature: make([]byte, w.rng.IntN(2000))})
			m.next++
		}
		p.LastResort = prekey.SignedKey{ID: m.next, Key: []byte("l")}
		p.Replace = w.one(8)
		m.next++
		m.sending = p
	}
	m.doubtful = true
	s, err := w.b.PublishPrekeys(context.Background(), identityName, m.sending)
	if !w.outcome("publish keys", err) {
		return
	}
	w.must(s.LastResort.ID == m.next-1, "published %d and have %d", m.next-1, s.LastResort.ID)
	m.there, m.doubtful, m.sending = true, false, nil
}

func (w *world) takeKeys() {
	m := w.identity
	b, err := w.b.TakePrekeys(context.Background(), "u", identityName)
	if !w.outcome("take keys", err) {
		return
	}
	if id := b.OneTime.ID; id != 0 {
		w.must(!m.given[id] && id < m.next, "one-time key %d is given out again, or was never published", id)
		w.must(string(b.OneTime.Key) == fmt.Sprint("key ", id), "one-time key %d is %q", id, b.OneTime.Key)
		m.given[id] = true
		w.report.Given++
	}
	if id := b.KEM.ID; !b.LastResort {
		w.must(!m.givenKEM[id] && id < m.next, "one-time KEM key %d is given out again, or was never published", id)
		m.givenKEM[id] = true
	}
}

func (w *world) raiseMarks() {
	m := w.identity
	marks := map[uint32]uint64{}
	for range 1 + w.rng.IntN(3) {
		lane := uint32(w.rng.IntN(5))
		marks[lane] = uint64(w.rng.IntN(int(m.acked[lane]) + 10))
		m.asked[lane] = max(m.asked[lane], marks[lane])
	}
	then, err := w.b.RaiseMarks(context.Background(), identityName, marks)
	if !w.outcome("raise marks", err) {
		return
	}
	w.must(len(then) == len(marks), "%d marks raised, %d told", len(marks), len(then))
	for lane, mark := range then {
		w.must(mark >= marks[lane], "lane %d: raised to %d, and told %d", lane, marks[lane], mark)
		w.checkMark(lane, mark)
		m.acked[lane] = mark
	}
}

// checkMark says whether a mark may be so.
func (w *world) checkMark(lane uint32, mark uint64) {
	m := w.identity
	w.must(mark >= m.acked[lane], "the mark of lane %d sank from %d to %d", lane, m.acked[lane], mark)
	w.must(mark <= m.asked[lane], "the mark of lane %d is %d, and %d was asked for", lane, mark, m.asked[lane])
}

func (w *world) deleteIdentity() {
	if !w.one(4) {
		return
	}
	w.identity.doubtful = true
	if w.outcome("delete identity", w.b.DeletePrekeys(context.Background(), identityName)) {
		w.identity = newIdentity(w.identity.next)
	}
}

// verifyPrekeys looks at what is there after a crash.
func (w *world) verifyPrekeys() {
	m := w.identity
	marks, err := w.b.Marks(context.Background(), identityName)
	w.note()
	if err != nil {
		w.must(!isFailed(err), "marks: %v", err)
		w.must(!m.there || m.doubtful, "an identity that was published is gone: %v", err)
		sending := m.sending
		w.identity = newIdentity(m.next)
		w.identity.sending = sending
		return
	}
	w.must(m.there || m.doubtful, "an identity is there that was not published")
	m.there, m.doubtful = true, m.sending != nil
	for lane := range uint32(5) {
		w.checkMark(lane, marks[lane])
	}
}
