package queue

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"
)

// TestOffsets compares the set of spans with a set of single offsets.
func TestOffsets(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const size = 200
		var s offsets
		var naive [size + 1]bool
		floor := int64(0)
		t.Repeat(map[string]func(*rapid.T){
			"add": func(t *rapid.T) {
				from := rapid.Int64Range(floor, size-1).Draw(t, "from")
				to := min(size, from+rapid.Int64Range(1, 20).Draw(t, "length"))
				s.add(from, to)
				for o := from; o < to; o++ {
					naive[o] = true
				}
			},
			"drop": func(t *rapid.T) {
				floor = min(size-1, s.absent(rapid.Int64Range(floor, min(floor+30, size-1)).Draw(t, "floor")))
				if !s.contains(floor) {
					s.drop(floor)
				}
			},
			"": func(t *rapid.T) { compareOffsets(t, &s, naive[:], floor) },
		})
	})
}

func compareOffsets(t interface{ Fatalf(string, ...any) }, s *offsets, naive []bool, floor int64) {
	size := int64(len(naive) - 1)
	count := int64(0)
	for o := size - 1; o >= floor; o-- {
		if naive[o] {
			count++
		}
		if s.contains(o) != naive[o] {
			t.Fatalf("%d: %v, want %v", o, s.contains(o), naive[o])
		}
		next := o
		for naive[next] {
			next++
		}
		if got := s.absent(o); got != next {
			t.Fatalf("first absent from %d: %d, want %d", o, got, next)
		}
		if got := s.count(o, size); got != count {
			t.Fatalf("%d from %d on, want %d", got, o, count)
		}
	}
	last := int64(-1)
	for _, c := range s.chunks {
		if len(c) == 0 || len(c) > chunkMax {
			t.Fatalf("a chunk of %d", len(c))
		}
		for _, x := range c {
			if x.from <= last || x.to <= x.from {
				t.Fatalf("span %v after %d", x, last)
			}
			last = x.to
		}
	}
}

// TestManyOffsets fills thousands of spans in random order, so that chunks
// divide and join.
func TestManyOffsets(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	const size = 6000
	var s offsets
	naive := make([]bool, size+1)
	for i, o := range rnd.Perm(size) {
		s.add(int64(o), int64(o)+1)
		naive[o] = true
		if i%2000 == 0 {
			compareOffsets(t, &s, naive, 0)
		}
		if i == size/2 && len(s.chunks) < 3 {
			t.Fatalf("%d chunks", len(s.chunks))
		}
	}
	if got := fmt.Sprint(s.chunks); got != fmt.Sprintf("[[{0 %d}]]", size) {
		t.Fatal(got)
	}
}
