// Package demo runs the order platform of this example and does bad things to it:
// it starts the broker and the four services as processes of their own, places
// orders over HTTP, kills and stops processes, loses acknowledgements, delivers
// messages twice; and at the end it checks that each effect happened once.
//
// `waxwing demo` is its command.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"
)

// ServiceCommand is the command by which this program, started again, runs a service:
// it is to call ServeChild.
const ServiceCommand = "demo-service"

// Breaks are the safeguards that can be removed, to see that the checks notice.
var Breaks = []string{"dedup", "fence", "ack-order", noSeal}

// noSeal is the break that has nobody seal, nor expect it.
const noSeal = "seal"

// Config is what is to be done.
type Config struct {
	Orders   int
	Seed     uint64
	Chaos    bool
	Break    string    // one of Breaks; empty for none
	Postgres string    // DSN of a server for the services' databases; empty for SQLite
	Keep     bool      // the folder
	Progress io.Writer // gets a line a second
}

// Run runs a demonstration and returns how it went. The error says that it could not
// be carried out; what checks found is in the result.
func Run(ctx context.Context, cfg Config) (result *Result, err error) {
	dir, err := os.MkdirTemp("", "waxwing-demo-")
	if err != nil {
		return nil, err
	}
	if !cfg.Keep {
		defer os.RemoveAll(dir)
	}
	began := time.Now()
	dsn, drop, err := databases(ctx, dir, cfg.Postgres)
	if err != nil {
		return nil, err
	}
	if !cfg.Keep {
		defer drop()
	}
	var keys map[string]*keyLines
	if cfg.Break != noSeal {
		if keys, err = newKeys(); err != nil {
			return nil, err
		}
	}
	f := newFleet(dir, dsn, keys, cfg)
	defer f.killAll()
	t, err := cfg.try(ctx, f)
	if err != nil {
		return nil, fmt.Errorf("%w%s", err, f.tails())
	}
	result = &Result{Orders: cfg.Orders, Seed: cfg.Seed, Chaos: cfg.Chaos, Break: cfg.Break, Requests: t.requests, Duplicates: f.duplicates()}
	result.fill(t)
	if len(result.Violations) > 0 && cfg.Break == "" {
		fmt.Fprintln(cfg.Progress, strings.TrimPrefix(f.tails(), "\n"))
	}
	result.Seconds = time.Since(began).Round(time.Millisecond).Seconds()
	if cfg.Keep {
		result.Folder = dir
	}
	return result, nil
}

// try runs everything, and gathers what the checks need.
func (cfg *Config) try(ctx context.Context, f *fleet) (*trial, error) {
	t := &trial{chaos: cfg.Chaos}
	shops, err := openShops(ctx, f.dsn)
	if err != nil {
		return nil, err
	}
	defer shops.close()
	if t.begin, err = shops.endow(ctx, cfg.Orders); err != nil {
		return nil, err
	}
	if err := f.startBroker(ctx); err != nil {
		return nil, err
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(f.ports.Kafka))
	if err != nil {
		return nil, err
	}
	defer client.Close()
	w := newWatch(f, kadm.NewClient(client))
	if err := w.createTopics(ctx); err != nil {
		return nil, err
	}
	if err := f.startServices(ctx); err != nil {
		return nil, err
	}
	if err := cfg.disturb(ctx, f, w, t); err != nil {
		return nil, err
	}
	if t.before, err = shops.collect(ctx); err != nil {
		return nil, err
	}
	if err := replay(ctx, f, w, cfg.Orders, t.left); err != nil {
		return nil, err
	}
	if t.after, err = shops.collect(ctx); err != nil {
		return nil, err
	}
	if t.senders, err = readSenders(f.dir); err != nil {
		return nil, err
	}
	t.onDisk, err = cardsIn(filepath.Join(f.dir, "broker"))
	return t, err
}

// disturb places the orders and plays the faults, until nothing is under way any
// more. Then no service runs.
func (cfg *Config) disturb(ctx context.Context, f *fleet, w *watch, t *trial) error {
	c := &client{fleet: f, byID: map[string]*plannedOrder{}}
	ch := newChaos(f, w, cfg.Seed)
	placed := make(chan struct{})
	allowed := func() int { return cfg.Orders }
	watching, done := context.WithCancel(ctx)
	defer done()
	go w.run(watching)
	go progress(watching, cfg.Progress, cfg.Orders, c, w, ch)

	g, gctx := errgroup.WithContext(ctx)
	if cfg.Chaos {
		g.Go(func() error { return ch.run(gctx, placed) })
		allowed = func() int { return ch.allowed(cfg.Orders) }
	}
	g.Go(func() error {
		defer close(placed)
		c.place(gctx, plan(cfg.Seed, cfg.Orders), cfg.rate(), allowed)
		return gctx.Err()
	})
	err := g.Wait()
	if err == nil {
		t.left, err = w.until(ctx, cfg.Orders, standing{})
	}
	if err != nil {
		return err
	}
	t.plan, t.complaints, t.requests, t.faults = c.byID, c.bad, c.tries.Load(), ch.fired
	return errors.Join(f.stopServices(), readFaults(filepath.Join(f.dir, "faults"), t.faults))
}

// rate is how many orders are placed a second, at most. With chaos it is such that
// the first round of faults finds work to disturb.
func (cfg *Config) rate() float64 {
	if !cfg.Chaos {
		return 1000
	}
	return max(5, min(float64(cfg.Orders)/5, 40))
}

// replay has all events delivered once more: the services run again, without faults,
// and their inboxes read the topics from the start, as new consumer groups. left is
// what could not be done before.
func replay(ctx context.Context, f *fleet, w *watch, orders int, left standing) error {
	f.chaos, f.groups = false, ".again"
	if err := f.startServices(ctx); err != nil {
		return err
	}
	left.lag = 0
	now, err := w.until(ctx, orders, left)
	if err != nil {
		return err
	}
	if now.lag > 0 {
		return fmt.Errorf("the replay does not come to its end: %v", now)
	}
	return f.stopServices()
}
