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

// next takes messages of one of the topics, up to so many.
func (b *memBus) next(topics []string, most int) (ds []*bus.Delivery, news chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, t := range topics {
		if log := b.logs[t]; len(log) > 0 {
			n := min(len(log), most)
			b.logs[t] = log[n:]
			for _, m := range log[:n] {
				ds = append(ds, &bus.Delivery{Message: m})
			}
			return ds, nil
		}
	}
	return nil, b.news
}

func (b *memBus) Subscribe(ctx context.Context, s bus.Subscription, h bus.Handler) error {
	for {
		ds, news := b.next(s.Topics, max(s.Batch, 1))
		if news != nil {
			select {
			case <-ctx.Done():
				return nil
			case <-news:
			}
			continue
		}
		for most := len(ds); len(ds) > 0; {
			done, err := h(ctx, ds[:min(len(ds), most)])
			if ds = ds[done:]; err == nil {
				continue
			}
			if most = 1; ctx.Err() != nil {
				return nil
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
}
