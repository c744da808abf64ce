// Package listen accepts connections, within limits, and hands each to a
// handler. It knows no protocol.
package listen

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"sync"
	"time"
)

// Limits say what Serve lets in, and for how long. Zero values have the
// defaults that are given here.
type Limits struct {
	// ConnectionsMax is the most connections at a time (10,000). One more
	// is closed as soon as it is accepted.
	ConnectionsMax int
	// ConnectionsNow, if it is not nil, is asked for each connection what
	// ConnectionsMax has become. Those that are open stay.
	ConnectionsNow func() int
	// FilesKept is how many file descriptors are left for others (none):
	// where the limit of the process (RLIMIT_NOFILE) is lower than that and
	// ConnectionsMax together, fewer connections are let in.
	FilesKept int
	// Drain is how long connections may go on once the context is done,
	// before they are closed (10 s).
	Drain time.Duration
	// HandshakeMax is how long a TLS handshake may take (10 s).
	HandshakeMax time.Duration
	// TLS makes this a TLS listener.
	TLS *tls.Config
	// Logger is told about connections that are refused (nowhere).
	Logger *slog.Logger
}

func (l Limits) withDefaults() Limits {
	if l.ConnectionsMax == 0 {
		l.ConnectionsMax = 10_000
	}
	if most := max(1, filesMax()-l.FilesKept); most < l.ConnectionsMax {
		l.ConnectionsMax = most
	}
	if l.Drain == 0 {
		l.Drain = 10 * time.Second
	}
	if l.HandshakeMax == 0 {
		l.HandshakeMax = 10 * time.Second
	}
	if l.Logger == nil {
		l.Logger = slog.New(slog.DiscardHandler)
	}
	return l
}

// Serve accepts connections from ln and runs handle for each in a goroutine of
// its own, until ctx is done or ln fails for good. handle owns the connection
// while it runs; Serve closes it afterwards.
//
// When ctx is done, ln is closed and the context of every handler is done too:
// it should finish what it has begun and return. After Limits.Drain its
// connection is closed under it. Serve returns once every handler has: nil if
// ctx was done, else what ln failed with.
func Serve(ctx context.Context, ln net.Listener, limits Limits, handle func(context.Context, net.Conn)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s := &server{limits: limits.withDefaults(), handle: handle, open: map[net.Conn]struct{}{}}
	if limits.ConnectionsMax > s.limits.ConnectionsMax {
		s.limits.Logger.Warn("fewer connections than configured: the process may not open more files (ulimit -n)",
			"connections", s.limits.ConnectionsMax, "configured", limits.ConnectionsMax, "files kept", limits.FilesKept)
	}
	stopped := context.AfterFunc(ctx, func() { ln.Close() })
	err := s.acceptAll(ctx, ln)
	if stopped() {
		ln.Close()
	}
	cancel()
	s.drain()
	return err
}

type server struct {
	limits   Limits
	handle   func(context.Context, net.Conn)
	handlers sync.WaitGroup

	mu   sync.Mutex
	open map[net.Conn]struct{}
}

// acceptAll accepts until ctx is done or ln fails.
func (s *server) acceptAll(ctx context.Context, ln net.Listener) error {
	const first, longest = 5 * time.Millisecond, time.Second
	wait := first
	var lastRefusal time.Time
	refused := 0 // since then
	for {
		c, err := ln.Accept()
		switch {
		case ctx.Err() != nil:
			if c != nil {
				c.Close()
			}
			return nil
		case err != nil && !passes(err):
			return err
		case err != nil:
			// Out of file descriptors, usually: it gets better when
			// connections close.
			s.limits.Logger.Warn("cannot accept a connection", "error", err, "retry", wait)
			sleep(ctx, wait)
			wait = min(2*wait, longest)
		case !s.admit(c, s.most()):
			refused++
			if now := time.Now(); now.Sub(lastRefusal) > time.Second {
				s.limits.Logger.Warn("refused connections", "number", refused, "last", c.RemoteAddr(), "limit", s.most())
				lastRefusal, refused = now, 0
			}
			c.Close()
		default:
			wait = first
			s.handlers.Go(func() { s.run(ctx, c) })
		}
	}
}

// passes says whether accepting may work again later.
func passes(err error) bool {
	var ne net.Error
	if errors.Is(err, net.ErrClosed) {
		return false
	}
	// Temporary is deprecated because its meaning is vague, but it is what
	// Accept's callers have: net/http asks it too.
	//lint:ignore SA1019 there is nothing else to ask
	return errors.As(err, &ne) && ne.Temporary()
}

func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// most is how many connections may be open now.
func (s *server) most() int {
	if s.limits.ConnectionsNow == nil {
		return s.limits.ConnectionsMax
	}
	return min(s.limits.ConnectionsNow(), max(1, filesMax()-s.limits.FilesKept))
}

// admit counts c in, unless there are too many.
func (s *server) admit(c net.Conn, most int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.open) >= most {
		return false
	}
	s.open[c] = struct{}{}
	return true
}

func (s *server) run(ctx context.Context, c net.Conn) {
	defer func() {
		c.Close()
		s.mu.Lock()
		delete(s.open, c)
		s.mu.Unlock()
	}()
	if tc, ok := c.(*net.TCPConn); ok {
		_ = tc.SetNoDelay(true) // replies are small and waited for
	}
	if s.limits.TLS == nil {
		s.handle(ctx, c)
		return
	}
	t := tls.Server(c, s.limits.TLS)
	shaking, cancel := context.WithTimeout(ctx, s.limits.HandshakeMax)
	err := t.HandshakeContext(shaking)
	cancel()
	if err != nil {
		s.limits.Logger.Debug("TLS handshake failed", "from", c.RemoteAddr(), "error", err)
		return
	}
	defer t.Close()
	s.handle(ctx, t)
}

// drain waits for the handlers, and after Limits.Drain closes what they hold.
func (s *server) drain() {
	late := time.AfterFunc(s.limits.Drain, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		for c := range s.open {
			c.Close()
		}
	})
	defer late.Stop()
	s.handlers.Wait()
}
