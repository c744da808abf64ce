package amqp

// Kept is how many bytes of messages wait for a full disk.
func (s *Server) Kept() int64 { return s.kept.Load() }
