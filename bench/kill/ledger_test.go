package main

import (
	"errors"
	"strings"
	"testing"
)

// TestLedger tells a ledger what clients saw, has it verify a log, and expects
// it to notice what is wrong.
func TestLedger(t *testing.T) {
	idempotent, plain := 0, 1
	a := func(n uint64) ident { return newIdent(idempotent, n) }
	b := func(n uint64) ident { return newIdent(plain, n) }
	unsure := errors.New("no answer")
	for _, tc := range []struct {
		name   string
		before func(l *ledger) error
		log    []ident
		sent   []uint64
		want   string // part of the error; "" if the log is right
	}{
		{"all there", func(l *ledger) error { return l.acknowledge(1, a(1)) }, []ident{a(0), a(1), b(0)}, []uint64{2, 1}, ""},
		{"stored but not acknowledged", nil, []ident{a(0), a(1)}, []uint64{2, 0}, ""},
		{"acknowledged and lost", func(l *ledger) error { return l.acknowledge(1, a(1)) }, []ident{a(0)}, []uint64{2, 0},
			"record 1 of producer 0 at offset 1 was acknowledged and is lost"},
		{"acknowledged elsewhere", func(l *ledger) error { return l.acknowledge(1, a(0)) }, []ident{a(0), a(1)}, []uint64{2, 0},
			"at offset 1 record 0 of producer 0 was acknowledged, now record 1"},
		{"consumed and lost", func(l *ledger) error { return l.consume(0, a(0)) }, []ident{b(0)}, []uint64{0, 1},
			"at offset 0 record 0 of producer 0 was consumed"},
		{"acknowledged twice", func(l *ledger) error { return errors.Join(l.acknowledge(0, a(0)), l.acknowledge(0, a(1))) }, nil, nil,
			"now record 1 of producer 0 was acknowledged"},
		{"doubled", nil, []ident{a(0), a(1), a(1)}, []uint64{2, 0}, "offset 2 holds record 1 of producer 0 again"},
		{"out of order", nil, []ident{a(1), a(0)}, []uint64{2, 0}, "record 0 of producer 0 is lost or out of order"},
		{"doubled without idempotence", nil, []ident{b(0), b(1), b(0), b(1), b(2)}, []uint64{0, 3}, ""},
		{"out of order without idempotence", nil, []ident{b(1), b(0)}, []uint64{0, 2}, "record 0 of producer 1 is lost"},
		{"last one lost", nil, []ident{a(0)}, []uint64{2, 0}, "record 1 of producer 0 is lost"},
		{"given up and missing", func(l *ledger) error { l.lose(a(1), unsure); return nil }, []ident{a(0), a(2)}, []uint64{3, 0}, ""},
		{"given up and stored", func(l *ledger) error { l.lose(a(1), unsure); return nil }, []ident{a(0), a(1), a(2)}, []uint64{3, 0}, ""},
		{"given up and doubled", func(l *ledger) error { l.lose(a(1), unsure); return nil }, []ident{a(0), a(1), a(1)}, []uint64{2, 0}, "again"},
		{"given up at the end", func(l *ledger) error { l.lose(a(1), unsure); return nil }, []ident{a(0)}, []uint64{2, 0}, ""},
		{"nobody's record", nil, []ident{newIdent(7, 0)}, nil, "does not exist"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l := newLedger(3, []bool{true, false})
			err := play(l, tc.before, tc.log, tc.sent)
			switch {
			case tc.want == "" && err != nil:
				t.Fatal(err)
			case tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)):
				t.Fatalf("error %v, want one with %q", err, tc.want)
			}
		})
	}
}

func play(l *ledger, before func(*ledger) error, log []ident, sent []uint64) error {
	if before != nil {
		if err := before(l); err != nil {
			return err
		}
	}
	for range 2 { // what was read once may be read again
		for offset, id := range log {
			if err := l.verify(int64(offset), id); err != nil {
				return err
			}
		}
	}
	return l.complete(sent)
}

func TestRegister(t *testing.T) {
	for _, tc := range []struct {
		name  string
		steps func(r *register) uint64 // returns when the read began
		value int64
		fails bool
	}{
		{"nothing committed", func(r *register) uint64 { return r.begin() }, noOffset, false},
		{"never asked for", func(r *register) uint64 { return r.begin() }, 5, true},
		{"acknowledged", func(r *register) uint64 { r.end(r.ask(5), true); return r.begin() }, 5, false},
		{"acknowledged and gone", func(r *register) uint64 { r.end(r.ask(5), true); return r.begin() }, noOffset, true},
		{"an older one", func(r *register) uint64 { r.end(r.ask(5), true); r.end(r.ask(6), true); return r.begin() }, 5, true},
		{"backwards", func(r *register) uint64 { r.end(r.ask(6), true); r.end(r.ask(5), true); return r.begin() }, 5, false},
		{"not answered, took effect", func(r *register) uint64 { r.end(r.ask(5), true); r.ask(6); return r.begin() }, 6, false},
		{"not answered, took none", func(r *register) uint64 { r.end(r.ask(5), true); r.ask(6); return r.begin() }, 5, false},
		{"given up, then overwritten", func(r *register) uint64 { r.end(r.ask(5), false); r.end(r.ask(6), true); return r.begin() }, 5, true},
		{"given up, overlapping", func(r *register) uint64 { w := r.ask(6); r.end(r.ask(5), true); r.end(w, false); return r.begin() }, 6, false},
		{"overlapping, either", func(r *register) uint64 { w := r.ask(6); r.end(r.ask(5), true); r.end(w, true); return r.begin() }, 5, false},
		{"overwritten while read", func(r *register) uint64 { r.end(r.ask(5), true); t := r.begin(); r.end(r.ask(6), true); return t }, 5, false},
		{"written while read", func(r *register) uint64 { r.end(r.ask(5), true); t := r.begin(); r.end(r.ask(6), true); return t }, 6, false},
		{"gone while read", func(r *register) uint64 { r.end(r.ask(5), true); t := r.begin(); r.end(r.ask(6), true); return t }, noOffset, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newRegister()
			if err := r.check(tc.steps(r), tc.value); (err != nil) != tc.fails {
				t.Fatalf("reading %d: error %v, want one: %v", tc.value, err, tc.fails)
			}
		})
	}
}

func TestRegisterForgets(t *testing.T) {
	r := newRegister()
	for i := range int64(1000) {
		r.end(r.ask(i), i%3 == 0)
	}
	if n := len(r.writes); n > 3 {
		t.Fatalf("%d writes are kept", n)
	}
}

func TestValue(t *testing.T) {
	id := newIdent(2, 12345)
	v := appendValue(nil, id, 4, 100)
	if got, err := decodeValue(v, 4); err != nil || got != id {
		t.Fatalf("%v %v", got, err)
	}
	if _, err := decodeValue(v, 5); err == nil {
		t.Fatal("a value of another partition passed")
	}
	for i := range v {
		v[i] ^= 1
		if got, err := decodeValue(v, 4); err == nil && got == id {
			t.Fatalf("a changed byte %d passed", i)
		}
		v[i] ^= 1
	}
	if _, err := decodeValue(v[:10], 4); err == nil {
		t.Fatal("a short value passed")
	}
}
