package main

import (
	"strings"
	"testing"
)

// TestKill kills the real binary for three rounds.
func TestKill(t *testing.T) {
	var out strings.Builder
	opt := options{rounds: 3, publishers: 2, dir: t.TempDir()}
	if err := run(t.Context(), opt, &out); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	if !strings.Contains(out.String(), "all promises kept") {
		t.Fatalf("nothing was proved:\n%s", out.String())
	}
}

// TestLedgerNoticesBrokenPromises: each promise that the ledger watches is one
// that it can see broken.
func TestLedgerNoticesBrokenPromises(t *testing.T) {
	m := func(n uint64) message { return message{1, n} }
	for name, broken := range map[string]func(l *ledger){
		"never sent":         func(l *ledger) { l.deliver(classicQueue, m(9), false, -1) },
		"out of order":       func(l *ledger) { l.deliver(classicQueue, m(2), false, -1); l.deliver(classicQueue, m(1), false, -1) },
		"again, unsaid":      func(l *ledger) { l.deliver(classicQueue, m(1), false, -1); l.deliver(classicQueue, m(1), false, -1) },
		"counted too much":   func(l *ledger) { l.deliver(quorumQueue, m(1), true, 1) },
		"dead, not rejected": func(l *ledger) { l.deliver(classicQueue, m(1), false, -1); l.dead(classicQueue, m(1)) },
		"dead twice": func(l *ledger) {
			l.deliver(classicQueue, m(1), false, -1)
			l.reject(classicQueue, m(1))
			l.dead(classicQueue, m(1))
			l.dead(classicQueue, m(1))
		},
		"dead, after it came again": func(l *ledger) {
			l.deliver(classicQueue, m(1), false, -1)
			l.reject(classicQueue, m(1))
			l.deliver(classicQueue, m(1), true, -1)
			l.dead(classicQueue, m(1))
		},
		"settled, and back": func(l *ledger) {
			l.deliver(classicQueue, m(1), false, -1)
			l.ack(classicQueue, []message{m(1)})
			l.answered(classicQueue, []message{m(1)})
			l.deliver(classicQueue, m(1), true, -1)
		},
	} {
		l := newLedger(classicQueue, quorumQueue)
		for range 3 {
			l.next(1)
		}
		if broken(l); l.failed() == nil {
			t.Errorf("%s: not noticed", name)
		}
	}
	l := newLedger(classicQueue)
	l.confirm(l.next(1), l.next(1))
	l.deliver(classicQueue, m(2), false, -1)
	if n, example := l.missing(classicQueue); n != 1 || example != m(1) {
		t.Errorf("missing: %d, %v", n, example)
	}
	l.reject(classicQueue, m(2))
	if n, example := l.undead(classicQueue); n != 1 || example != m(2) {
		t.Errorf("rejected, and nowhere: %d, %v", n, example)
	}
}
