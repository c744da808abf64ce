package broker_test

import (
	"context"
	"slices"
	"testing"
)

// TestEpochAt: each record keeps the epoch under which it was appended, also
// after a restart, which begins a new one.
func TestEpochAt(t *testing.T) {
	f := newFixture(t, 1)
	f.create("orders", 1, nil)
	p := f.partition("orders", 0)
	first := p.Bounds().Epoch
	if got := p.EpochAt(0); got != -1 {
		t.Errorf("empty: epoch %d", got)
	}
	f.append(p, f.batch(-1, -1, -1, "a", "b"))
	f.restart()
	f.restart()
	p = f.partition("orders", 0)
	third := p.Bounds().Epoch
	f.append(p, f.batch(-1, -1, -1, "c"))
	check := func(when string, want ...int32) {
		t.Helper()
		var got []int32
		for offset := int64(-1); offset <= 3; offset++ {
			got = append(got, p.EpochAt(offset))
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: epochs %v from offset -1 on, want %v", when, got, want)
		}
	}
	check("appended", -1, first, first, third, -1)
	f.restart()
	p = f.partition("orders", 0)
	check("restarted", -1, first, first, third, -1)
	if _, err := f.DeleteRecords(context.Background(), p, 1); err != nil {
		t.Fatal(err)
	}
	check("deleted one", -1, -1, first, third, -1)
	if _, err := f.DeleteRecords(context.Background(), p, 2); err != nil {
		t.Fatal(err)
	}
	check("deleted two", -1, -1, -1, third, -1)
}
