package demo

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/waxwing-mq/waxwing/bus"
	"github.com/waxwing-mq/waxwing/saga"
)

// The names of faults. The first ones the demonstration does to processes; the
// others a process does to itself.
const (
	killService = "kill -9 of a service"
	killBroker  = "kill -9 of the broker"
	zombie      = "a service stopped for longer than its lease, then continued"

	dieBefore   = "kill -9 before the commit of a handler"
	dieAfter    = "kill -9 after the commit, before the acknowledgement"
	sentTwice   = "a batch published twice"
	sendAckLost = "the acknowledgement of a batch lost"
	ackLost     = "the acknowledgement of a delivery lost"
	replyLost   = "a reply to the saga lost"
)

// After how many batches, deliveries or replies it happens, on average. In a process
// that has just begun it happens soon, so that a small demonstration has it too.
var every = map[string]int{sentTwice: 40, sendAckLost: 40, ackLost: 60, replyLost: 50}

const soon = 15

// faults are what goes wrong in a process of a service. All of it is what can happen
// on any day: processes die, acknowledgements are lost and messages come twice.
// Nothing here drops a message that was acknowledged to somebody who relies on it.
// The exception is a reply of the steps from the pivot on, for which the saga has a
// timeout: it asks again, and the barrier answers.
type faults struct {
	name string
	log  *os.File // nil: there are none
	sent *os.File

	mu     sync.Mutex
	random *rand.Rand
	next   map[string]int // how often a fault still does not happen

	handling  atomic.Int64 // messages with their handlers
	dieBefore atomic.Bool
	dieAfter  atomic.Bool
	slow      atomic.Int64 // how long a publish takes at least
	pool      *sql.DB      // the service's database
	out       io.Writer    // stdout
}

// newFaults opens the files of a child.
func newFaults(c *child) (*faults, error) {
	h := fnv.New64a()
	h.Write([]byte(c.Name))
	f := &faults{name: c.Name, random: rand.New(rand.NewPCG(c.Seed, h.Sum64())), next: map[string]int{}}
	var err error
	if c.Faults != "" {
		if f.log, err = os.OpenFile(c.Faults, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600); err != nil {
			return nil, err
		}
	}
	f.sent, err = os.OpenFile(c.Sent, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	return f, err
}

// order does what a line of the parent says.
func (f *faults) order(line string) {
	switch word, rest, _ := strings.Cut(line, " "); word {
	case "die-before-commit":
		f.dieBefore.Store(true)
	case "die-after-commit":
		f.dieAfter.Store(true)
	case "stop":
		f.stop()
	case "slow":
		d, _ := time.ParseDuration(rest)
		f.slow.Store(int64(d))
	}
}

// stop stops this process until somebody continues it, at a moment at which it does
// not hold the lock of its SQLite file: it has the only connection. If it held the
// lock it would be no zombie, since nobody could take over from it.
func (f *faults) stop() {
	if conn, err := f.pool.Conn(context.Background()); err == nil {
		defer conn.Close()
	}
	fmt.Fprintln(f.out, "stopping")
	_ = stopSelf()
	time.Sleep(stopTakes) // other threads may stop a little later
}

// stopTakes is within what time all of a process has stopped.
const stopTakes = 300 * time.Millisecond

// happens says whether a fault happens now.
func (f *faults) happens(fault string) bool {
	if f.log == nil {
		return false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	left, begun := f.next[fault]
	if !begun {
		left = f.random.IntN(soon)
	}
	if left > 0 {
		f.next[fault] = left - 1
		return false
	}
	f.next[fault] = f.random.IntN(2 * every[fault])
	return true
}

// note writes a fault down, with how many messages it hit.
func (f *faults) note(fault string, hit int) {
	if f.log != nil {
		fmt.Fprintf(f.log, "%s\t%d\t%s\n", f.name, hit, fault) // one write, which is whole or not at all
	}
}

// published writes down which messages a call of Publish has sent, and whether it
// said so.
func (f *faults) published(msgs []bus.Message, err error) {
	var b bytes.Buffer
	b.WriteString("ok")
	if err != nil {
		b.Reset()
		b.WriteString("failed")
	}
	for i := range msgs {
		b.WriteByte('\t')
		b.WriteString(msgs[i].ID)
	}
	b.WriteByte('\n')
	_, _ = f.sent.Write(b.Bytes())
}

// saw writes down which messages show a card to everybody on their way.
func (f *faults) saw(msgs []bus.Message) {
	var b bytes.Buffer
	for i := range msgs {
		if showsCard(&msgs[i]) {
			fmt.Fprintf(&b, "plain\t%s\n", msgs[i].ID)
		}
	}
	_, _ = f.sent.Write(b.Bytes())
}

// Before implements the hook of a database: a process may be told to die when it
// commits.
func (f *faults) Before(step string) error {
	if step == "commit" && f.dieBefore.Load() {
		if n := f.handling.Load(); n > 0 {
			f.die(dieBefore, int(n))
		}
	}
	return nil
}

// After implements the hook of a database.
func (f *faults) After(string) error { return nil }

// die ends this process without any farewell.
func (f *faults) die(fault string, hit int) {
	f.note(fault, hit)
	if p, err := os.FindProcess(os.Getpid()); err == nil {
		_ = p.Kill()
	}
	select {}
}

// faulty is a bus with faults.
type faulty struct {
	bus.Bus
	f      *faults
	groups string
}

var errAckLost = errors.New("demo: the acknowledgement was lost")

// Publish publishes once or twice, and may say that it failed when it did not.
func (b faulty) Publish(ctx context.Context, msgs []bus.Message) error {
	if d := b.f.slow.Load(); d > 0 {
		time.Sleep(time.Duration(d))
	}
	b.f.saw(msgs)
	err := b.Bus.Publish(ctx, msgs)
	lost := err == nil && b.f.happens(sendAckLost)
	if lost {
		b.f.note(sendAckLost, len(msgs))
		err = &bus.PublishError{Errs: slices.Repeat([]error{errAckLost}, len(msgs))}
	}
	b.f.published(msgs, err)
	if err == nil && b.f.happens(sentTwice) {
		b.f.note(sentTwice, len(msgs))
		_ = b.Bus.Publish(ctx, msgs) // the first time counts
	}
	return err
}

// Subscribe hands messages over, and may forget that it did.
func (b faulty) Subscribe(ctx context.Context, s bus.Subscription, h bus.Handler) error {
	s.Group += b.groups
	return b.Bus.Subscribe(ctx, s, func(ctx context.Context, ds []*bus.Delivery) (int, error) {
		if n := slices.IndexFunc(ds[1:], askedAgain); n >= 0 {
			ds = ds[:n+1]
		}
		b.f.handling.Add(int64(len(ds)))
		defer b.f.handling.Add(int64(-len(ds)))
		if askedAgain(ds[0]) && b.f.happens(replyLost) {
			b.f.note(replyLost, 1)
			return 1, nil
		}
		done, err := h(ctx, ds)
		if err != nil {
			return done, err
		}
		if b.f.dieAfter.Load() {
			b.f.die(dieAfter, int(b.f.handling.Load()))
		}
		for n := range done {
			if b.f.happens(ackLost) {
				b.f.note(ackLost, done-n)
				return n, errAckLost
			}
		}
		return done, nil
	})
}

// askedAgain says whether a message is a reply that the saga asks for again.
func askedAgain(d *bus.Delivery) bool {
	if d.Type != saga.ReplyType {
		return false
	}
	step := string(d.Header(saga.HeaderStep))
	return step == "ship" || step == "confirm" || step == "complete"
}
