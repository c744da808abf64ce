package prekey

import (
	"bytes"
	"fmt"
	"maps"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var (
	identityNames = rapid.SampledFrom([]string{"a", "b", "c"})
	userNames     = rapid.SampledFrom([]string{"u", "v"})
)

// modelIdentity is what must be there of an identity.
type modelIdentity struct {
	signed, lastResort uint32
	waiting            [2]map[uint32]string // EC and KEM keys by id
	max                [2]uint32
	given              [2]map[uint32]bool
	marks              map[uint32]uint64
}

// model is a world that random commands are thrown at, and a naive copy of what
// must be there.
type model struct {
	*world
	identities map[string]*modelIdentity
	took       map[taker][]time.Time // when one-time keys were given out
}

// decided checks that deciding changed nothing, and that it was refused exactly if
// it must be; then applies.
func (m *model) decided(t *rapid.T, decide func() ([]Entry, error), valid bool) bool {
	before := m.d.Snapshot(nil)
	entries, err := decide()
	if !bytes.Equal(before, m.d.Snapshot(nil)) {
		t.Fatal("deciding changed the state")
	}
	if (err == nil) != valid || err != nil && len(entries) > 0 {
		t.Fatalf("%d entries, error %v, want it valid: %v", len(entries), err, valid)
	}
	m.apply(t, entries)
	return valid
}

// ids are few, so that they repeat.
func ids(t *rapid.T, what string) (out []uint32) {
	from := rapid.Uint32Range(1, 20).Draw(t, what+" from")
	for i := range rapid.Uint32Range(0, 4).Draw(t, what+" number") {
		out = append(out, from+i)
	}
	return out
}

func (m *model) publish(t *rapid.T) {
	name := identityNames.Draw(t, "name")
	old := m.identities[name]
	p := Publication{Replace: rapid.IntRange(0, 5).Draw(t, "replace") == 0}
	if old == nil || rapid.Bool().Draw(t, "all") {
		p.RegistrationID, p.Certificate = 1, []byte("c")
		p.Signed = SignedKey{rapid.Uint32Range(1, 3).Draw(t, "signed"), []byte("k"), []byte("s")}
		p.LastResort = SignedKey{rapid.Uint32Range(15, 25).Draw(t, "last resort"), []byte("k"), []byte("s")}
	}
	content := rapid.SampledFrom([]string{"k", "k", "k", "other"}).Draw(t, "content")
	for _, id := range ids(t, "one-time") {
		p.OneTime = append(p.OneTime, Key{id, []byte(content)})
	}
	for _, id := range ids(t, "KEM") {
		p.OneTimeKEM = append(p.OneTimeKEM, SignedKey{id, []byte(content), []byte("s")})
	}
	is, room := old, true
	if is == nil {
		is = &modelIdentity{waiting: [2]map[uint32]string{{}, {}}, given: [2]map[uint32]bool{{}, {}}, marks: map[uint32]uint64{}}
	}
	if rapid.Bool().Draw(t, "by its user") {
		p.Account = func(identity string) bool { return (identity == "c") == (name == "c") } // a and b are of one user
		room = old != nil || name == "c" || m.identities["a"] == nil && m.identities["b"] == nil
	}
	if !m.decided(t, func() ([]Entry, error) { return m.m.DecidePublish(name, &p) }, room && m.valid(is, &p)) {
		return
	}
	m.identities[name] = is
	if p.Signed.ID != 0 {
		is.signed, is.lastResort = p.Signed.ID, p.LastResort.ID
	}
	for kind, keys := range kinds(&p) {
		if p.Replace {
			maps.DeleteFunc(is.waiting[kind], func(id uint32, _ string) bool { return len(keys) == 0 || id < keys[0].ID })
		}
		for _, k := range keys {
			if k.ID > is.max[kind] {
				is.max[kind] = k.ID
				is.waiting[kind][k.ID] = string(k.Key)
			}
		}
	}
}

// kinds are the one-time keys of p, EC and KEM.
func kinds(p *Publication) (out [2][]Key) {
	out[0] = p.OneTime
	for _, k := range p.OneTimeKEM {
		out[1] = append(out[1], Key{k.ID, k.Key})
	}
	return out
}

// valid says whether p may be published.
func (m *model) valid(is *modelIdentity, p *Publication) bool {
	last := is.lastResort
	if p.LastResort.ID != 0 {
		last = p.LastResort.ID
	}
	if _, there := is.waiting[1][last]; there {
		return false
	}
	for kind, keys := range kinds(p) {
		waiting, fresh := len(is.waiting[kind]), 0
		for _, k := range keys {
			if had, there := is.waiting[kind][k.ID]; there && had != string(k.Key) || kind == 1 && k.ID == last {
				return false
			}
			if k.ID > is.max[kind] {
				fresh++
			}
		}
		if p.Replace {
			for id := range is.waiting[kind] {
				if len(keys) == 0 || id < keys[0].ID {
					waiting--
				}
			}
		}
		if waiting+fresh > m.m.Limits.OneTime {
			return false
		}
	}
	return true
}

func (m *model) take(t *rapid.T) {
	user, name := userNames.Draw(t, "user"), identityNames.Draw(t, "name")
	is := m.identities[name]
	var b Bundle
	if !m.decided(t, func() (es []Entry, err error) { b, es, err = m.m.DecideTake(m.now, user, name); return es, err }, is != nil) {
		return
	}
	if b.Signed.ID != is.signed || b.LastResort != (b.KEM.ID == is.lastResort) {
		t.Fatalf("%+v given out, of %+v", b, is)
	}
	got := [2]uint32{b.OneTime.ID, b.KEM.ID}
	if b.LastResort {
		got[1] = 0
	}
	some := len(is.waiting[0])+len(is.waiting[1]) > 0
	allowed := m.allowed(taker{user, name})
	for kind, id := range got {
		if some && allowed && id == 0 && len(is.waiting[kind]) > 0 {
			t.Fatalf("no one-time key of kind %d given out, of %v", kind, is.waiting[kind])
		}
		if id == 0 {
			continue
		}
		if _, there := is.waiting[kind][id]; !there || is.given[kind][id] || !allowed {
			t.Fatalf("key %d of kind %d given out: waiting %v, given %v, allowed %v", id, kind, is.waiting[kind], is.given[kind], allowed)
		}
		delete(is.waiting[kind], id)
		is.given[kind][id] = true
	}
	if got != [2]uint32{} {
		m.took[taker{user, name}] = append(m.took[taker{user, name}], m.now)
	}
}

// allowed says whether a taker may get one-time keys: a bucket of TakeBurst that
// fills by one per TakeEvery, counted from the beginning.
func (m *model) allowed(who taker) bool {
	has, at := time.Duration(m.m.Limits.TakeBurst)*m.m.Limits.TakeEvery, time.Time{}
	full := has
	for _, when := range append(m.took[who], m.now) {
		if !at.IsZero() {
			has = min(full, has+when.Sub(at))
		}
		at = when
		if has -= m.m.Limits.TakeEvery; has < 0 {
			return false
		}
	}
	return true
}

func (m *model) raise(t *rapid.T) {
	name := identityNames.Draw(t, "name")
	marks := rapid.MapOfN(rapid.Uint32Range(0, 3), rapid.Uint64Range(0, 9), 0, 3).Draw(t, "marks")
	is := m.identities[name]
	var then map[uint32]uint64
	if !m.decided(t, func() (es []Entry, err error) { then, es, err = m.m.DecideRaise(name, marks); return es, err }, is != nil) {
		return
	}
	want := map[uint32]uint64{}
	for lane, mark := range marks {
		want[lane] = max(mark, is.marks[lane])
		if want[lane] > 0 {
			is.marks[lane] = want[lane]
		}
	}
	if !maps.Equal(then, want) {
		t.Fatalf("raising %v tells %v, want %v", marks, then, want)
	}
}

func (m *model) remove(t *rapid.T) {
	name := identityNames.Draw(t, "name")
	m.decided(t, func() ([]Entry, error) { return m.m.DecideDelete(name) }, m.identities[name] != nil)
	delete(m.identities, name)
}

func (m *model) wait(t *rapid.T) {
	m.now = m.now.Add(time.Duration(rapid.IntRange(0, 3000).Draw(t, "ms")) * time.Millisecond)
}

// again goes on after a restart.
func (m *model) again(t *rapid.T) {
	m.restart(t)
	clear(m.took)
}

// check compares what is there.
func (m *model) check(t *rapid.T) {
	if len(m.d.Names()) != len(m.identities) {
		t.Fatalf("identities %v", m.d.Names())
	}
	for name, is := range m.identities {
		s, err := m.d.Status(name)
		want := Status{
			RegistrationID: 1, Certificate: []byte("c"),
			Signed: SignedKey{is.signed, []byte("k"), []byte("s")}, LastResort: SignedKey{is.lastResort, []byte("k"), []byte("s")},
			OneTime: len(is.waiting[0]), OneTimeKEM: len(is.waiting[1]), OneTimeMax: is.max[0], OneTimeKEMMax: is.max[1],
		}
		marks, _ := m.d.Marks(name)
		if err != nil || !reflect.DeepEqual(s, want) || !maps.Equal(marks, is.marks) {
			t.Fatalf("%s is %+v with marks %v, want %+v and %v", name, s, marks, want, is.marks)
		}
	}
}

// TestModel throws random commands and restarts at a state.
func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &model{newWorld(), map[string]*modelIdentity{}, map[taker][]time.Time{}}
		m.m.Limits.OneTime, m.m.Limits.TakeBurst, m.m.Limits.TakeEvery = 6, 3, 2*time.Second
		m.m.Limits.UserIdentities = 1
		actions := map[string]func(*rapid.T){"": m.check}
		for name, a := range map[string]struct {
			weight int
			do     func(*rapid.T)
		}{
			"publish": {5, m.publish}, "take": {8, m.take}, "raise": {3, m.raise}, "delete": {1, m.remove},
			"wait": {2, m.wait}, "restart": {1, m.again},
		} {
			for i := range a.weight {
				actions[fmt.Sprint(name, " ", i)] = a.do
			}
		}
		t.Repeat(actions)
	})
}

func BenchmarkTake(b *testing.B) {
	w := newWorld()
	p := Publication{RegistrationID: 1, Certificate: make([]byte, 300), Signed: SignedKey{1, make([]byte, 33), make([]byte, 64)}}
	w.m.Limits.TakeBurst = 1 << 30
	for i := 0; b.Loop(); i++ {
		if i%1000 == 0 {
			b.StopTimer()
			p.OneTime, p.OneTimeKEM = nil, nil
			for k := range uint32(1000) {
				p.OneTime = append(p.OneTime, Key{uint32(i) + k + 1, make([]byte, 33)})
				p.OneTimeKEM = append(p.OneTimeKEM, SignedKey{uint32(i) + k + 1, make([]byte, 1569), make([]byte, 64)})
			}
			entries, err := w.m.DecidePublish("a", &p)
			if err != nil {
				b.Fatal(err)
			}
			for _, e := range entries {
				w.d.Apply(e)
			}
			b.StartTimer()
		}
		_, entries, _ := w.m.DecideTake(w.now, "u", "a")
		w.d.Apply(entries[0])
	}
}
