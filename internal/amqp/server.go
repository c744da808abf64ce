package amqp

import (
	"context"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/waxwing-mq/waxwing/internal/broker"
)

// Config is what a Server is built from. Broker is required; zero values have
// the defaults that are given here.
type Config struct {
	Broker  *broker.Broker
	Profile Profile // ProfileWaxwing
	Version string  // of this program
	// ClusterName is what clients are told.
	ClusterName string
	// ChannelMax is the most channels of a connection (2,047).
	ChannelMax uint16
	// FrameMax is the largest frame, in bytes (131,072).
	FrameMax uint32
	// Heartbeat is how often each side is to be heard of (60 s).
	Heartbeat time.Duration
	// MessageBytesMax is the largest message body (16 MiB).
	MessageBytesMax uint64
	// ContentBytesMax bounds the message bodies that have come in part, of all
	// connections together, and as much those that wait for a full disk
	// (256 MiB).
	ContentBytesMax int64
	// MemoryShort says that publishers have to wait because memory is short;
	// nil never does.
	MemoryShort func() bool
	Logger      *slog.Logger
	Metrics     Metrics
}

// Metrics are hooks, each of which may be nil. They are called from many
// goroutines and must be quick.
type Metrics struct {
	// Connections is told +1 and -1.
	Connections func(delta int)
	// Method is told how long a method took that is answered: from when it
	// was read until its answer was on its way. For basic.publish, of channels
	// in confirm mode, that is until the confirm, and told once for messages
	// that came together.
	Method func(name string, took time.Duration)
	// BytesOut is told what went over the wire.
	BytesOut func(n int64)
}

func (c Config) withDefaults() Config {
	if c.Profile == "" {
		c.Profile = ProfileWaxwing
	}
	if c.ChannelMax == 0 {
		c.ChannelMax = 2047
	}
	if c.FrameMax == 0 {
		c.FrameMax = 131072
	}
	if c.Heartbeat == 0 {
		c.Heartbeat = 60 * time.Second
	}
	if c.MessageBytesMax == 0 {
		c.MessageBytesMax = 16 << 20
	}
	if c.ContentBytesMax == 0 {
		c.ContentBytesMax = 256 << 20
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// Server speaks AMQP on connections that it is given. Its methods may be
// called from any goroutine.
type Server struct {
	cfg      Config
	ctx      context.Context // done when Drain is called
	stop     context.CancelFunc
	content  atomic.Int64 // bytes of bodies that have come in part
	kept     atomic.Int64 // bytes of messages that the full disk had no room for
	counters counters
	replies  replyTable

	mu      sync.Mutex
	stopped bool
	entered map[*conn]entered
	serving sync.WaitGroup
}

// entered says who a connection is of, and which vhost it is in.
type entered struct{ user, vhost string }

// New returns a server that has no connections yet.
func New(cfg Config) *Server {
	s := &Server{cfg: cfg.withDefaults(), entered: map[*conn]entered{}}
	s.ctx, s.stop = context.WithCancel(context.Background())
	return s
}

// ServeConn serves nc until the client leaves, breaks the protocol, is silent
// for too long, or ctx is done or Drain is called: then the client is told so.
func (s *Server) ServeConn(ctx context.Context, nc net.Conn) {
	s.mu.Lock()
	if s.stopped {
		s.mu.Unlock()
		nc.Close()
		return
	}
	s.serving.Add(1)
	s.mu.Unlock()
	defer s.serving.Done()
	s.counters.connections.Add(1)
	defer s.counters.connections.Add(-1)
	if s.cfg.Metrics.Connections != nil {
		s.cfg.Metrics.Connections(1)
		defer s.cfg.Metrics.Connections(-1)
	}
	c := newConn(s, nc)
	defer s.left(c)
	c.serve(ctx)
}

// enter notes that a connection is of a user and, unless vhost is empty, in a vhost.
func (s *Server) enter(c *conn, user, vhost string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.entered[c] = entered{user, vhost}
}

func (s *Server) left(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.entered, c)
}

// VHostDeleted ends the connections in a vhost, which is no more.
func (s *Server) VHostDeleted(vhost string) {
	s.end("vhost '"+vhost+"' is deleted", func(e entered) bool { return e.vhost == vhost })
}

// UserDeleted ends the connections of a user, who is no more.
func (s *Server) UserDeleted(user string) {
	s.end("user '"+user+"' is deleted", func(e entered) bool { return e.user == user })
}

// end ends connections; it does not wait for them.
func (s *Server) end(reason string, which func(entered) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c, e := range s.entered {
		if which(e) {
			c.force(reason)
		}
	}
}

// Drain ends all connections as ServeConn says and waits for them, until ctx
// is done.
func (s *Server) Drain(ctx context.Context) error {
	s.mu.Lock()
	s.stopped = true
	s.mu.Unlock()
	s.stop()
	done := make(chan struct{})
	go func() {
		s.serving.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
