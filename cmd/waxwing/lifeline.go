package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// lifeline is a client hook that notices when no broker can be reached any
// more. The client itself would retry for ever; a command should end.
type lifeline struct {
	mu        sync.Mutex
	downSince time.Time // when failures began that no success has ended; zero: up
	last      error     // the most recent failure
	addr      string    // where it happened
}

func newLifeline() *lifeline { return &lifeline{} }

// OnBrokerConnect notes a connection made or refused.
func (l *lifeline) OnBrokerConnect(meta kgo.BrokerMetadata, _ time.Duration, _ net.Conn, err error) {
	l.note(meta, err)
}

// OnBrokerE2E notes an answer, or the lack of one.
func (l *lifeline) OnBrokerE2E(meta kgo.BrokerMetadata, _ int16, e2e kgo.BrokerE2E) {
	l.note(meta, e2e.Err())
}

// note records one outcome. Only a broker that the cluster itself named counts
// as a sign of life: a bootstrap address may answer for ever while the address
// that the broker advertises leads nowhere. Bootstrap addresses have negative
// ids.
func (l *lifeline) note(meta kgo.BrokerMetadata, err error) {
	if errors.Is(err, context.Canceled) {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err == nil {
		if meta.NodeID >= 0 {
			l.downSince = time.Time{}
		}
		return
	}
	l.last, l.addr = err, net.JoinHostPort(meta.Host, fmt.Sprint(meta.Port))
	if l.downSince.IsZero() {
		l.downSince = time.Now()
	}
}

// lastError returns the most recent failure, or nil.
func (l *lifeline) lastError() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.last
}

// down returns where and how connections fail, if none has succeeded for
// longer than limit.
func (l *lifeline) down(limit time.Duration) (addr string, last error, down bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.downSince.IsZero() || time.Since(l.downSince) < limit {
		return "", nil, false
	}
	return l.addr, l.last, true
}

// watched returns a context that ends, with a cause that says why, when no
// broker has been reachable for the session's time limit.
func (s *session) watched(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	go func() {
		tick := time.NewTicker(max(s.timeout/20, time.Millisecond))
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			if addr, last, down := s.life.down(s.timeout); down {
				cancel(lostBroker{fmt.Errorf("lost the broker at %s for %s: %w", addr, s.timeout, s.reason(last))})
				return
			}
		}
	}()
	return ctx, func() { cancel(nil) }
}

// lostBroker is the cause of a watched context that the lifeline ended.
type lostBroker struct{ error }

// lost returns the reason if ctx is over because the broker went away.
func lost(ctx context.Context) error {
	var cause lostBroker
	if errors.As(context.Cause(ctx), &cause) {
		return cause.error
	}
	return nil
}
