package prekey

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"github.com/waxwing-mq/waxwing/internal/enc"
)

// world is a Durable that is decided on and fed with decoded entries, and a second
// one that only replays.
type world struct {
	d, replayed *Durable
	m           *Machine
	now         time.Time
}

func newWorld() *world {
	d := NewDurable()
	return &world{d: d, replayed: NewDurable(), m: NewMachine(d), now: time.UnixMilli(1_700_000_000_000)}
}

type fataler interface {
	Helper()
	Fatalf(string, ...any)
}

// apply feeds entries and checks what must hold after it.
func (w *world) apply(t fataler, entries []Entry) {
	t.Helper()
	for _, e := range entries {
		encoded := EncodeEntry(nil, e)
		for _, d := range []*Durable{w.d, w.replayed} {
			again, err := DecodeEntry(encoded)
			if err != nil {
				t.Fatalf("decode %T: %v", e, err)
			}
			if !bytes.Equal(EncodeEntry(nil, again), encoded) {
				t.Fatalf("%T differs after a round trip", e)
			}
			if err := d.Apply(again); err != nil {
				t.Fatalf("apply %T: %v", e, err)
			}
		}
	}
	if !w.d.Equal(w.replayed) {
		t.Fatalf("replay differs from live")
	}
	again := restored(t, w.d.Snapshot(nil))
	if !w.d.Equal(again) || w.d.Totals() != again.Totals() {
		t.Fatalf("a restored snapshot differs")
	}
	checkTotals(t, w.d)
}

// checkTotals counts anew.
func checkTotals(t fataler, d *Durable) {
	t.Helper()
	var want Totals
	for _, i := range d.identities {
		want.Identities++
		want.OneTime += len(i.oneTime)
		want.OneTimeKEM += len(i.oneTimeKEM)
		want.Bytes += identityOverhead + i.size() + keysSize(i.oneTime) + signedKeysSize(i.oneTimeKEM) + markSize*len(i.marks)
	}
	if d.Totals() != want {
		t.Fatalf("totals are %+v, want %+v", d.Totals(), want)
	}
}

func restored(t fataler, snapshot []byte) *Durable {
	t.Helper()
	d := NewDurable()
	r := enc.NewReader(snapshot)
	if err := errors.Join(d.Restore(&r), r.Done()); err != nil {
		t.Fatalf("restore: %v", err)
	}
	return d
}

// restart goes on with what a snapshot holds, and without what the machine knew.
func (w *world) restart(t fataler) {
	limits := w.m.Limits
	w.d = restored(t, w.d.Snapshot(nil))
	w.m = NewMachine(w.d)
	w.m.Limits = limits
}

// TestTranscripts plays testdata/transcripts. Rewrite the answers with:
// go test -run TestTranscripts -rewrite
//
//	limits [identities=N] [name=N] [certificate=N] [key=N] [onetime=N] [lanes=N] [bytes=N] [of-user=N] [bytes-of-user=N] [burst=N] [every=D] [takers=N]
//	publish NAME [of=USER] [reg=N] [cert=C] [signed=ID:KEY] [last=ID:KEY] [ec=(ID[-ID][:KEY], …)] [kem=(…)] [replace]
//	take USER NAME [times=N] | raise NAME LANE=MARK… | delete NAME
//	wait D | restart | show
//
// A key without KEY is called after its id. Signatures are "s". The identities of USER
// begin with it; without one nobody's account is looked at.
func TestTranscripts(t *testing.T) {
	datadriven.Walk(t, "testdata/transcripts", func(t *testing.T, path string) {
		w := newWorld()
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			s := &script{world: w, t: t, TestData: d}
			for _, a := range d.CmdArgs {
				if len(a.Vals) == 0 {
					s.words = append(s.words, a.Key)
				}
			}
			if out := s.run(); out != "" {
				return out
			}
			return "(nothing)\n"
		})
	})
}

type script struct {
	*world
	t *testing.T
	*datadriven.TestData
	words []string
}

func (s *script) run() string {
	switch s.Cmd {
	case "limits":
		s.limits()
		return ""
	case "publish":
		p := s.publication()
		return s.decided(s.m.DecidePublish(s.words[0], &p))
	case "take":
		return s.take()
	case "raise":
		return s.raise()
	case "delete":
		return s.decided(s.m.DecideDelete(s.words[0]))
	case "wait":
		by, err := time.ParseDuration(s.words[0])
		if err != nil {
			s.t.Fatal(err)
		}
		s.now = s.now.Add(by)
		return ""
	case "restart":
		s.restart(s.t)
		return ""
	case "show":
		return s.show()
	}
	s.Fatalf(s.t, "unknown command %s", s.Cmd)
	return ""
}

func (s *script) limits() {
	l := &s.m.Limits
	ints := map[string]*int{
		"identities": &l.Identities, "name": &l.NameBytes, "certificate": &l.CertificateBytes, "key": &l.KeyBytes,
		"onetime": &l.OneTime, "bytes": &l.Bytes, "of-user": &l.UserIdentities, "bytes-of-user": &l.UserBytes,
		"burst": &l.TakeBurst, "takers": &l.Takers,
	}
	for _, a := range s.CmdArgs {
		switch {
		case a.Key == "every":
			l.TakeEvery, _ = time.ParseDuration(a.Vals[0])
		case a.Key == "lanes":
			l.Lanes = s.id(a.Vals[0])
		default:
			*ints[a.Key] = int(s.id(a.Vals[0]))
		}
	}
}

func (s *script) id(text string) uint32 {
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		s.Fatalf(s.t, "%v", err)
	}
	return uint32(n)
}

// keys reads ID:KEY, or ID-ID.
func (s *script) keys(text string) (keys []Key) {
	ids, key, named := strings.Cut(text, ":")
	from, to, isRange := strings.Cut(ids, "-")
	if !isRange {
		to = from
	}
	for n := range s.id(to) - s.id(from) + 1 {
		id := s.id(from) + n
		k := Key{id, []byte(fmt.Sprint("key", id))}
		if named {
			k.Key = []byte(key)
		}
		keys = append(keys, k)
	}
	return keys
}

func signed(k Key) SignedKey { return SignedKey{k.ID, k.Key, []byte("s")} }

func (s *script) publication() (p Publication) {
	for _, a := range s.CmdArgs {
		switch a.Key {
		case "of":
			p.Account = func(identity string) bool { return strings.HasPrefix(identity, a.Vals[0]) }
		case "reg":
			p.RegistrationID = s.id(a.Vals[0])
		case "cert":
			p.Certificate = []byte(a.Vals[0])
		case "signed":
			p.Signed = signed(s.keys(a.Vals[0])[0])
		case "last":
			p.LastResort = signed(s.keys(a.Vals[0])[0])
		case "ec":
			for _, v := range a.Vals {
				p.OneTime = append(p.OneTime, s.keys(v)...)
			}
		case "kem":
			for _, v := range a.Vals {
				for _, k := range s.keys(v) {
					p.OneTimeKEM = append(p.OneTimeKEM, signed(k))
				}
			}
		case "replace":
			p.Replace = true
		}
	}
	return p
}

func (s *script) take() string {
	times := 1
	if a, ok := s.named("times"); ok {
		times = int(s.id(a))
	}
	var out strings.Builder
	for range times {
		b, entries, err := s.m.DecideTake(s.now, s.words[0], s.words[1])
		if err != nil {
			return refusal(err)
		}
		s.apply(s.t, entries)
		fmt.Fprintf(&out, "reg %d, cert %s, signed %d, one-time %s, kem %s", b.RegistrationID, b.Certificate, b.Signed.ID, keyText(b.OneTime.ID, b.OneTime.Key), keyText(b.KEM.ID, b.KEM.Key))
		if b.LastResort {
			out.WriteString(" (last resort)")
		}
		out.WriteByte('\n')
	}
	return out.String()
}

// named is the value of a named argument.
func (s *script) named(name string) (string, bool) {
	for _, a := range s.CmdArgs {
		if a.Key == name && len(a.Vals) > 0 {
			return a.Vals[0], true
		}
	}
	return "", false
}

func keyText(id uint32, key []byte) string {
	if id == 0 {
		return "none"
	}
	return fmt.Sprintf("%d:%s", id, key)
}

func (s *script) raise() string {
	marks := map[uint32]uint64{}
	for _, a := range s.CmdArgs[1:] {
		mark, err := strconv.ParseUint(a.Vals[0], 10, 64)
		if err != nil {
			s.t.Fatal(err)
		}
		marks[s.id(a.Key)] = mark
	}
	then, entries, err := s.m.DecideRaise(s.words[0], marks)
	if err != nil {
		return refusal(err)
	}
	s.apply(s.t, entries)
	return fmt.Sprintf("%d entries, marks %v\n", len(entries), sorted(then))
}

func refusal(err error) string {
	e := err.(*Error)
	return fmt.Sprintf("refused (%s): %s\n", map[ErrorKind]string{NotFound: "not found", Invalid: "invalid", Conflict: "conflict", LimitReached: "limit", QuotaReached: "quota"}[e.Kind], e.Text)
}

func (s *script) decided(entries []Entry, err error) string {
	if err != nil {
		if len(entries) > 0 {
			s.t.Fatal("entries beside an error")
		}
		return refusal(err)
	}
	s.apply(s.t, entries)
	var out strings.Builder
	for _, e := range entries {
		fmt.Fprintf(&out, "%s\n", text(e))
	}
	return out.String()
}

func text(e Entry) string {
	ids := func(keys []Key) (out []uint32) {
		for _, k := range keys {
			out = append(out, k.ID)
		}
		return out
	}
	switch e := e.(type) {
	case *IdentityStored:
		return fmt.Sprintf("IdentityStored %s: reg %d, cert %s, signed %s, last resort %s", e.Name, e.RegistrationID, e.Certificate,
			keyText(e.Signed.ID, e.Signed.Key), keyText(e.LastResort.ID, e.LastResort.Key))
	case *KeysAdded:
		var kem []Key
		for _, k := range e.OneTimeKEM {
			kem = append(kem, Key{ID: k.ID})
		}
		return fmt.Sprintf("KeysAdded %s: one-time %v up to %d, KEM %v up to %d", e.Name, ids(e.OneTime), e.OneTimeMax, ids(kem), e.OneTimeKEMMax)
	}
	return fmt.Sprintf("%s %+v", strings.TrimPrefix(fmt.Sprintf("%T", e), "*prekey."), e)
}

func (s *script) show() string {
	var out strings.Builder
	for _, name := range s.d.Names() {
		st, _ := s.d.Status(name)
		marks, _ := s.d.Marks(name)
		fmt.Fprintf(&out, "%s: reg %d, cert %s, signed %s, last resort %s, one-time %d up to %d, KEM %d up to %d, marks %v\n", name, st.RegistrationID, st.Certificate,
			keyText(st.Signed.ID, st.Signed.Key), keyText(st.LastResort.ID, st.LastResort.Key), st.OneTime, st.OneTimeMax, st.OneTimeKEM, st.OneTimeKEMMax, sorted(marks))
	}
	fmt.Fprintf(&out, "%+v, %d takers\n", s.d.Totals(), len(s.m.takers))
	return out.String()
}
