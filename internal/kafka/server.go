package kafka

import (
	"context"
	"log/slog"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/waxwing-mq/waxwing/internal/broker"
)

// Config is what a Server is built from. Broker and Advertised are required.
type Config struct {
	Broker *broker.Broker
	NodeID int32
	// Advertised is where clients reach this node. It is asked for each
	// response that says so.
	Advertised func() (host string, port int32)
	// ClampReplicationFactor accepts any replication factor of a new topic
	// and makes it 1, instead of refusing more than 1.
	ClampReplicationFactor bool
	// LogDir is what DescribeLogDirs calls the data folder. Default "waxwing".
	LogDir string
	// Disk says how many bytes the disk of the data folder has and how many
	// of them are free; nil or -1 if that is not known.
	Disk func() (total, free int64)
	// MemoryMax bounds the memory of requests and responses, in bytes, until
	// they are decided, or written: a quarter each for small requests, for
	// large ones, for requests in their decoded form (among them fetches that
	// wait), and for responses. Default 512 MiB.
	MemoryMax int64
	Now       func() time.Time // default time.Now
	Logger    *slog.Logger
	Metrics   Metrics
}

// Metrics are hooks, each of which may be nil. They are called from many
// goroutines and must be quick.
type Metrics struct {
	// Connections is told +1 and -1.
	Connections func(delta int)
	// Request is told each answered request: its API key, how long it took
	// from the frame to the response, and how much of that a fetch has waited
	// for records.
	Request func(key int16, took, waited time.Duration)
	// Error is told how often a response has an error code that is not 0.
	Error func(key, code int16, times int)
	// BytesIn and BytesOut are told what went over the wire.
	BytesIn, BytesOut func(n int64)
}

// Server speaks Kafka on connections that it is given. Its methods may be
// called from any goroutine.
type Server struct {
	cfg      Config
	broker   *broker.Broker
	sessions *sessions

	// See memory.go.
	frames    *frameMemory
	work      *budget // requests, decoded
	responses *budget

	searches chan struct{} // holds one for each search by time
	looks    atomic.Int64  // at a partition, by fetches: so that a test can see that waiting costs nothing

	// Of connections that were closed, of bugs, of partitions that cannot
	// be read, of transactions that are refused.
	ends, bugs, unread, refused seldom

	ctx  context.Context // done when Drain is called
	stop context.CancelFunc

	mu      sync.Mutex
	stopped bool
	serving sync.WaitGroup

	configuring chan struct{} // full while settings are read, changed and written
}

// New returns a server that has no connections yet.
func New(cfg Config) *Server {
	if cfg.LogDir == "" {
		cfg.LogDir = "waxwing"
	}
	if cfg.MemoryMax == 0 {
		cfg.MemoryMax = 512 << 20
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Server{
		cfg:         cfg,
		broker:      cfg.Broker,
		searches:    make(chan struct{}, runtime.GOMAXPROCS(0)),
		configuring: make(chan struct{}, 1),
		frames:      newFrameMemory(cfg.MemoryMax / 2),
		work:        newBudget(cfg.MemoryMax / 4), responses: newBudget(cfg.MemoryMax / 4),
		sessions: newSessions(cfg.Broker.Settings().FetchSessionSlots, cfg.Now),
	}
	s.ctx, s.stop = context.WithCancel(context.Background())
	return s
}

// ServeConn serves nc until the client leaves, breaks the protocol, is silent
// for too long, or ctx is done or Drain is called: then no more requests are
// read, fetches that wait are answered with what there is, produces are
// answered when they are durable, and the connection closes.
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
	if s.cfg.Metrics.Connections != nil {
		s.cfg.Metrics.Connections(1)
		defer s.cfg.Metrics.Connections(-1)
	}
	newConn(s, nc).serve(ctx)
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
