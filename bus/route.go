package bus

import (
	"context"
	"sync"
)

// Route is a publisher that sends each message through the one that choose names for
// its topic, such as events to Kafka and commands to AMQP out of one outbox. choose
// must always name the same, which == can compare, for a topic. What is for different publishers is sent
// at the same time. system is what it says to speak.
func Route(system string, choose func(topic string) Publisher) Publisher {
	return router{system, choose}
}

type router struct {
	system string
	choose func(topic string) Publisher
}

func (r router) System() string { return r.system }

// A part is what of a batch is for one publisher.
type part struct {
	msgs []Message
	at   []int // where they are in the batch
	err  error
}

func (r router) Publish(ctx context.Context, msgs []Message) error {
	parts := map[Publisher]*part{}
	for i := range msgs {
		to := r.choose(msgs[i].Topic)
		p := parts[to]
		if p == nil {
			p = &part{}
			parts[to] = p
		}
		p.msgs, p.at = append(p.msgs, msgs[i]), append(p.at, i)
	}
	var wg sync.WaitGroup
	for to, p := range parts {
		wg.Go(func() { p.err = to.Publish(ctx, p.msgs) })
	}
	wg.Wait()
	out, failed := &PublishError{Errs: make([]error, len(msgs))}, false
	for _, p := range parts {
		if p.err == nil {
			continue
		}
		failed = true
		for n, i := range p.at {
			out.Errs[i] = Failed(p.err, n)
		}
	}
	if !failed {
		return nil
	}
	return out
}
