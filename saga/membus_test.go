package saga_test

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/waxwing-mq/waxwing/bus"
)

// memBus is a bus within a process: each topic has one subscription at most.
type memBus struct {
	mu   sync.Mutex
	logs map[string][]bus.Message
	news chan struct{} // closed at the next message
}

func newMemBus() *memBus {
	return &memBus{logs: map[string][]bus.Message{}, news: make(chan struct{})}
}

func (b *memBus) System() string { return "memory" }
func (b *memBus) Close() error   { return nil }

func (b *memBus) Publish(_ context.Context, msgs []bus.Message) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, m := range msgs {
		m.Body, m.Headers = slices.Clone(m.Body), slices.Clone(m.Headers)
		b.logs[m.Topic] = append(b.logs[m.Topic], m)
	}
	close(b.news)
	b.news = make(chan struct{})
	return nil
}

// next takes a message of one of the topics.
func (b *memBus) next(topics []string) (m bus.Message, ok bool, news chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, t := range topics {
		if log := b.logs[t]; len(log) > 0 {
			b.logs[t] = log[1:]
			return log[0], true, nil
		}
	}
	return m, false, b.news
}

func (b *memBus) Subscribe(ctx context.Context, s bus.Subscription, h bus.Handler) error {
	for {
		m, ok, news := b.next(s.Topics)
		if !ok {
			select {
			case <-ctx.Done():
				return nil
			case <-news:
			}
			continue
		}
		for h(ctx, &bus.Delivery{Message: m}) != nil {
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(10 * time.Millisecond):
			}
		}
	}
}
