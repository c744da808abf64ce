package demo

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/waxwing-mq/waxwing/examples/orders/contract"
	"github.com/waxwing-mq/waxwing/examples/orders/order"
	"github.com/waxwing-mq/waxwing/examples/orders/service"
	"github.com/waxwing-mq/waxwing/examples/orders/shipping"
)

// topics are those of the events, consumers who read them.
var (
	topics    = []string{contract.Orders, contract.Payments, contract.Shipments}
	consumers = map[string][]string{
		order.Report:     {contract.Payments, contract.Shipments},
		shipping.Letters: {contract.Orders},
	}
)

// A watch looks at how far the services are.
type watch struct {
	fleet *fleet
	admin *kadm.Client

	mu   sync.Mutex
	seen map[string]service.Status // the last answers
}

func newWatch(f *fleet, admin *kadm.Client) *watch {
	return &watch{fleet: f, admin: admin, seen: map[string]service.Status{}}
}

// partitions is how many each topic has.
const partitions = 4

func (w *watch) createTopics(ctx context.Context) error {
	made, err := w.admin.CreateTopics(ctx, partitions, 1, nil, topics...)
	if err != nil {
		return err
	}
	return made.Error()
}

// look asks all services. Who does not answer is as before.
func (w *watch) look(ctx context.Context) {
	var wg sync.WaitGroup
	for _, name := range serviceNames {
		wg.Go(func() {
			if s, err := w.fleet.status(ctx, name); err == nil {
				w.mu.Lock()
				w.seen[name] = s
				w.mu.Unlock()
			}
		})
	}
	wg.Wait()
}

// orders is the order service's last answer.
func (w *watch) orders() service.Status {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.seen["order"]
}

// run looks again and again until ctx ends.
func (w *watch) run(ctx context.Context) {
	for ctx.Err() == nil {
		w.look(ctx)
		_ = sleep(ctx, 200*time.Millisecond)
	}
}

// work waits, for some seconds, until sagas are under way, and returns how many.
func (w *watch) work(ctx context.Context) int {
	for deadline := time.Now().Add(3 * time.Second); ; {
		if s, err := w.fleet.status(ctx, "order"); err == nil && s.Sagas > 0 || time.Now().After(deadline) || ctx.Err() != nil {
			return s.Sagas
		}
		_ = sleep(ctx, 20*time.Millisecond)
	}
}

// A standing is what is still to be done.
type standing struct {
	unplaced, sagas, outbox, parked, queued int
	lag                                     int64
}

func (s standing) rest() bool { return s == standing{} }

func (s standing) String() string {
	return fmt.Sprintf("%d orders not placed, %d sagas under way, %d events in outboxes, %d messages parked, %d in queues, %d behind in topics",
		s.unplaced, s.sagas, s.outbox, s.parked, s.queued, s.lag)
}

// standing asks everybody.
func (w *watch) standing(ctx context.Context, orders int) (s standing, err error) {
	for _, name := range serviceNames {
		one, err := w.fleet.status(ctx, name)
		if err != nil {
			return s, err
		}
		s.outbox += one.Outbox
		s.parked += one.Parked
		s.sagas += one.Sagas
		if name == "order" {
			s.unplaced = orders - one.Sagas - one.Completed - one.Reversed
		}
	}
	if s.queued, err = w.fleet.queued(ctx); err != nil {
		return s, err
	}
	s.lag, err = w.lag(ctx)
	return s, err
}

// lag is how many events consumers have not acknowledged.
func (w *watch) lag(ctx context.Context) (n int64, err error) {
	ends, err := w.admin.ListEndOffsets(ctx, topics...)
	if err != nil {
		return 0, err
	}
	for consumer, topics := range consumers {
		done, err := w.admin.FetchOffsets(ctx, consumer+w.fleet.groups)
		if err != nil {
			return 0, err
		}
		for _, topic := range topics {
			for partition, end := range ends[topic] {
				n += end.Offset
				if at, ok := done.Lookup(topic, partition); ok && at.At > 0 {
					n -= at.At
				}
			}
		}
	}
	return n, nil
}

// stallAfter is after which time without any change nothing more is expected.
const stallAfter = 15 * time.Second

// until waits until no more than left is to be done, and returns what is if nothing
// changes any more.
func (w *watch) until(ctx context.Context, orders int, left standing) (standing, error) {
	var last standing
	changed, quiet := time.Now(), 0
	for {
		within, cancel := context.WithTimeout(ctx, 5*time.Second)
		s, err := w.standing(within, orders)
		cancel()
		switch {
		case ctx.Err() != nil:
			return s, ctx.Err()
		case err == nil && s == left:
			if quiet++; quiet == 3 {
				return s, nil
			}
		case err == nil && s != last:
			last, changed, quiet = s, time.Now(), 0
		case time.Since(changed) > stallAfter:
			return last, err
		}
		_ = sleep(ctx, 100*time.Millisecond)
	}
}

// progress prints a line a second until ctx ends.
func progress(ctx context.Context, to io.Writer, orders int, c *client, w *watch, ch *chaos) {
	began := time.Now()
	for sleep(ctx, time.Second) == nil {
		s := w.orders()
		line := fmt.Sprintf("%4.0f s  placed %d of %d  completed %d  compensated %d  under way %d",
			time.Since(began).Seconds(), c.placed.Load(), orders, s.Completed, s.Reversed, s.Sagas)
		if last := ch.lastFault(); last != "" {
			line += "  fault: " + last
		}
		fmt.Fprintln(to, line)
	}
}
