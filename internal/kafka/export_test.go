package kafka

// MemoryIsFree reports whether no request holds memory any more.
func (s *Server) MemoryIsFree() bool {
	free := s.memory.budget.TryAcquire(s.memory.total)
	if free {
		s.memory.budget.Release(s.memory.total)
	}
	return free
}
