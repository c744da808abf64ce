package demo

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/waxwing-mq/waxwing/examples/orders/service"
	"github.com/waxwing-mq/waxwing/waxtest"
)

// chaos does to processes what happens in production on bad days, one fault after the
// other: which ones, to whom and when is drawn from the seed.
type chaos struct {
	fleet  *fleet
	watch  *watch
	random *rand.Rand
	shares atomic.Int64 // of the orders, that may be placed by now

	mu    sync.Mutex
	fired map[string]*waxtest.Fault
	last  string // for the progress line
}

func newChaos(f *fleet, w *watch, seed uint64) *chaos {
	return &chaos{fleet: f, watch: w, random: rand.New(rand.NewPCG(seed, 2)), fired: map[string]*waxtest.Fault{}}
}

// deck are the faults of one round. Without a safeguard there are more of those that
// it guards against.
func deck(broken string) []string {
	d := []string{killService, killService, dieBefore, dieAfter, killBroker, zombie}
	switch broken {
	case "fence":
		d = append(d, zombie, zombie)
	case "ack-order":
		d = append(d, dieBefore, dieBefore, dieBefore)
	}
	return d
}

// run plays rounds of all faults, each in another order: one at least, then until
// placed is closed.
func (c *chaos) run(ctx context.Context, placed <-chan struct{}) error {
	round := deck(c.fleet.broken)
	for nth := 1; ; nth++ {
		c.random.Shuffle(len(round), func(i, j int) { round[i], round[j] = round[j], round[i] })
		for _, fault := range round {
			if c.pause(ctx, 200*time.Millisecond, 900*time.Millisecond) != nil || nth > 1 && isClosed(placed) {
				return nil
			}
			c.shares.Add(1)
			if err := c.do(ctx, fault); err != nil {
				return fmt.Errorf("%s: %w", fault, err)
			}
		}
		c.shares.Add(c.sharesOfAll()) // whatever is left
		if isClosed(placed) {
			return nil
		}
	}
}

// zombieShares are what a zombie gets when it goes on.
const zombieShares = 2

// sharesOfAll is in how many shares the orders are placed. Each fault of the first
// round has one, so that all find work to disturb; a zombie has some more, for when it
// goes on. The last share is for after the round.
func (c *chaos) sharesOfAll() int64 {
	n := 1
	for _, fault := range deck(c.fleet.broken) {
		if n++; fault == zombie {
			n += zombieShares
		}
	}
	return int64(n)
}

// allowed is how many of a number of orders may be placed by now.
func (c *chaos) allowed(orders int) int {
	return min(orders, orders*int(c.shares.Load())/int(c.sharesOfAll()))
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// pause waits for a time between two bounds.
func (c *chaos) pause(ctx context.Context, least, most time.Duration) error {
	return sleep(ctx, least+time.Duration(c.random.Int64N(int64(most-least))))
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// do does a fault, as soon as there is work for it to disturb.
func (c *chaos) do(ctx context.Context, fault string) error {
	victim := serviceNames[c.random.IntN(len(serviceNames))]
	if fault == zombie && (c.count(zombie) == 0 || c.fleet.broken == "fence") {
		victim = "order" // whose outbox is the busiest
	}
	busy := c.watch.work(ctx)
	c.say(fault, victim)
	switch fault {
	case killService:
		c.fleet.service(victim).kill()
		c.note(fault, busy)
		return c.restart(ctx, victim)
	case killBroker:
		c.fleet.broker.kill()
		c.note(fault, busy)
		_ = c.pause(ctx, 50*time.Millisecond, 400*time.Millisecond)
		return c.fleet.startBroker(ctx)
	case zombie:
		return c.zombie(ctx, victim, busy)
	case dieBefore:
		return c.die(ctx, victim, "die-before-commit")
	default:
		return c.die(ctx, victim, "die-after-commit")
	}
}

// restart starts a service again, after a while.
func (c *chaos) restart(ctx context.Context, name string) error {
	_ = c.pause(ctx, 50*time.Millisecond, 300*time.Millisecond)
	_, err := c.fleet.startService(ctx, name)
	return err
}

// dieWithin is how long a process may take to die at the moment that it was told.
const dieWithin = time.Second

// die has a process kill itself at a moment that only it can hit, and writes down. If
// it has nothing to do then, further orders may be placed; at last it is killed, which
// does not count.
func (c *chaos) die(ctx context.Context, name, line string) error {
	p := c.fleet.service(name)
	p.say(line)
	for try := 1; try <= 10 && !p.ended() && ctx.Err() == nil; try++ {
		select {
		case <-p.dead:
		case <-ctx.Done():
		case <-time.After(dieWithin):
			c.shares.Add(1)
		}
	}
	p.kill()
	return c.restart(ctx, name)
}

// stopFor is how long a zombie is stopped: its lease ends meanwhile, and its
// membership in consumer groups.
const stopFor = max(service.Lease, sessionTimeout) + 700*time.Millisecond

// zombie stops a service, starts another one in its place, lets the first go on as if
// nothing had happened, and at last kills it. While both run the network is slow, so
// that they meet.
func (c *chaos) zombie(ctx context.Context, name string, busy int) error {
	old := c.fleet.service(name)
	old.say("stop")
	if _, err := old.await(ctx, startTimeout); err != nil {
		return err
	}
	defer func() {
		_ = old.resume() // or it could not end
		old.kill()
	}()
	p, err := c.fleet.startService(ctx, name)
	if err != nil {
		return err
	}
	_ = sleep(ctx, stopFor)
	c.note(zombie, busy)
	for _, both := range []*process{old, p} {
		both.say("slow " + slowness.String())
	}
	c.shares.Add(zombieShares)
	if err := old.resume(); err != nil {
		return err
	}
	_ = sleep(ctx, zombieFor)
	p.say("slow 0s")
	return nil
}

const (
	slowness  = 20 * time.Millisecond
	zombieFor = 2 * time.Second
)

// note counts a fault.
func (c *chaos) note(fault string, busy int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f := c.fired[fault]
	if f == nil {
		f = &waxtest.Fault{Name: fault}
		c.fired[fault] = f
	}
	f.Fired++
	f.InFlight += busy
}

func (c *chaos) count(fault string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if f := c.fired[fault]; f != nil {
		return f.Fired
	}
	return 0
}

// say keeps what is done, for people.
func (c *chaos) say(fault, victim string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.last = fault; fault != killBroker {
		c.last += ": " + victim
	}
}

func (c *chaos) lastFault() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.last
}
