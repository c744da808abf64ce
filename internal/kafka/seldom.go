package kafka

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// seldom writes at most one line a second to the log, so that peers who break
// the protocol, again and again or many at once, do not fill it. The next line
// says how many were left out.
type seldom struct {
	mu      sync.Mutex
	last    time.Time
	leftOut int
}

const seldomEvery = time.Second

func (s *seldom) log(to *slog.Logger, level slog.Level, text string, args ...any) {
	s.mu.Lock()
	now := time.Now()
	if now.Sub(s.last) < seldomEvery {
		s.leftOut++
		s.mu.Unlock()
		return
	}
	leftOut := s.leftOut
	s.last, s.leftOut = now, 0
	s.mu.Unlock()
	if leftOut > 0 {
		args = append(args, "left out before", leftOut)
	}
	to.Log(context.Background(), level, text, args...)
}
