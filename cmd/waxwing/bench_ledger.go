package main

import (
	"math/bits"
	"sync/atomic"
)

// ledger is a set of sequence numbers from 0 to ledgerMax-1: which records of a
// producer were acknowledged, or received. It costs one bit per record and may
// be used from any goroutine.
type ledger struct {
	pages [ledgerMax / ledgerPage]atomic.Pointer[ledgerBits]
}

const (
	ledgerMax  = 1 << 32
	ledgerPage = 1 << 18 // numbers per page: 32 KiB of bits
)

type ledgerBits [ledgerPage / 64]atomic.Uint64

// add puts n into the set and reports whether it was new. n must be below
// ledgerMax.
func (l *ledger) add(n uint64) bool {
	slot := &l.pages[n/ledgerPage]
	page := slot.Load()
	if page == nil {
		slot.CompareAndSwap(nil, new(ledgerBits))
		page = slot.Load()
	}
	bit := uint64(1) << (n % 64)
	return page[n%ledgerPage/64].Or(bit)&bit == 0
}

// missing counts the numbers that are in l and not in other.
func (l *ledger) missing(other *ledger) int64 {
	var n int
	for i := range l.pages {
		mine, theirs := l.pages[i].Load(), other.pages[i].Load()
		if mine == nil {
			continue
		}
		for w := range mine {
			word := mine[w].Load()
			if theirs != nil {
				word &^= theirs[w].Load()
			}
			n += bits.OnesCount64(word)
		}
	}
	return int64(n)
}
