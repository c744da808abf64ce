package queue

// SettledSet holds the offsets of a log that are not needed any more. The zero
// value holds none. It is for one goroutine at a time.
type SettledSet struct {
	floor int64 // all below are in the set
	above offsets
}

// Add takes in what an effect says.
func (s *SettledSet) Add(x Settled) {
	if x.To > s.floor {
		s.above.add(max(x.From, s.floor), x.To)
	}
	if x.Floor > s.floor {
		s.floor = s.above.absent(x.Floor)
		s.above.drop(s.floor)
	}
}

// Live reports whether any of [from, to) is needed.
func (s *SettledSet) Live(from, to int64) bool {
	from = max(from, s.floor)
	return from < to && s.above.count(from, to) < to-from
}
