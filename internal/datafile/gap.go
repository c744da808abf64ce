package datafile

// Gap looks for an offset in [from, to) that no registered file holds. It
// reads nothing: the lines that RAM keeps per log and file are enough.
func (x *Index) Gap(log LogID, from, to int64) (offset int64, gap bool) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	if l := x.logs[log]; l != nil {
		for i := range l.spans {
			s := &l.spans[i]
			if s.first > from {
				break
			}
			from = max(from, s.next())
		}
	}
	return from, from < to
}
