package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/waxwing-mq/waxwing/bench/kill/daemon"
)

const topicName = "kill"

// options are the flags.
type options struct {
	rounds     int
	partitions int
	shards     int    // 0: see alternate
	seed       uint64 // of the moments and the load; 0 picks one
	fileBytes  int64
	dir        string // where the work folder is made
	binary     string // "" builds the broker
	keep       bool
}

// trial is one run: a broker that is killed again and again, the clients that
// do not mind, and what they were promised.
type trial struct {
	opt    options
	ctx    context.Context // over once a promise is broken
	cancel context.CancelCauseFunc
	rng    *rand.Rand
	report func(any)

	cfg       daemon.Config
	broker    *daemon.Process
	startTook time.Duration // of the last start that was let through
	startMax  time.Duration

	ledgers []*ledger  // by partition
	commits []*commits // by group
	churn   *churn
	sources []*source
	heavy   atomic.Bool // producers send as much as they can

	senders   phase // producers, churn, plain commits
	consumers phase // members of the group

	from    []int64 // by partition: what the last round has read, and the next reads again
	checked []int64 // by partition: the end of what was read
}

// alternate runs opt, or where it does not say how many shards, a trial with
// one shard and one with three, of half the rounds each.
func alternate(ctx context.Context, opt options, report func(any)) error {
	if opt.shards > 0 {
		return run(ctx, opt, report)
	}
	one, three := opt, opt
	one.shards, one.rounds = 1, (opt.rounds+1)/2
	three.shards, three.rounds = 3, opt.rounds/2
	if err := run(ctx, one, report); err != nil || three.rounds == 0 {
		return err
	}
	return run(ctx, three, report)
}

// run makes a trial below opt.dir and reports each round. On an error the
// folder is kept.
func run(ctx context.Context, opt options, report func(any)) error {
	if opt.seed == 0 {
		opt.seed = rand.Uint64()
	}
	dir, err := os.MkdirTemp(opt.dir, "waxwing-kill-*")
	if err != nil {
		return err
	}
	err = runIn(ctx, dir, opt, report)
	switch {
	case ctx.Err() != nil:
		return errors.Join(ctx.Err(), os.RemoveAll(dir))
	case err != nil:
		return fmt.Errorf("%w\nseed %d; everything is kept in %s", err, opt.seed, dir)
	case opt.keep:
		report(kept{Dir: dir})
		return nil
	}
	return os.RemoveAll(dir)
}

func runIn(ctx context.Context, dir string, opt options, report func(any)) (err error) {
	if opt.binary == "" {
		if opt.binary, err = daemon.Build(ctx, dir); err != nil {
			return err
		}
	}
	cfg, err := daemon.New(opt.binary, dir, "--shards", fmt.Sprint(opt.shards), "--file-bytes", fmt.Sprint(opt.fileBytes), "--auto-create-topics=false")
	if err != nil {
		return err
	}
	t := newTrial(ctx, opt, cfg, report)
	defer t.end()
	return t.verdict(t.play())
}

// play goes through all rounds.
func (t *trial) play() error {
	if err := t.begin(); err != nil {
		return err
	}
	began := time.Now()
	for i := range t.opt.rounds {
		if err := t.round(i + 1); err != nil {
			return fmt.Errorf("round %d: %w", i+1, err)
		}
	}
	if err := t.finish(); err != nil {
		return fmt.Errorf("after the last round: %w", err)
	}
	t.report(t.summary(time.Since(began)))
	return nil
}

func newTrial(ctx context.Context, opt options, cfg daemon.Config, report func(any)) *trial {
	t := &trial{
		opt: opt, cfg: cfg, report: report,
		rng: rand.New(rand.NewPCG(opt.seed, 1<<34)),
		commits: []*commits{
			grouped: newCommits("members", opt.partitions),
			plain:   newCommits("plain", opt.partitions),
			resting: newCommits("resting", opt.partitions),
		},
		from: make([]int64, opt.partitions), checked: make([]int64, opt.partitions),
	}
	for p := range opt.partitions {
		t.ledgers = append(t.ledgers, newLedger(int32(p), idempotence()))
	}
	t.ctx, t.cancel = context.WithCancelCause(ctx)
	t.churn = newChurn(t)
	t.senders.init(t)
	t.consumers.init(t)
	return t
}

// broke ends the trial: err is the promise that was broken. The broker is
// stopped, so that its folder stays as it is.
func (t *trial) broke(err error) { t.cancel(err) }

// verdict is the promise that was broken, if one was, which is also why other
// things fail; else err.
func (t *trial) verdict(err error) error {
	return cmp.Or(context.Cause(t.ctx), err)
}

// end kills the broker and waits for the clients.
func (t *trial) end() {
	t.cancel(context.Canceled)
	if t.broker != nil {
		t.broker.Kill()
	}
	for _, s := range t.sources {
		s.cl.Close()
	}
	t.senders.clients.Wait()
	t.consumers.clients.Wait()
}

// begin starts the broker and the load.
func (t *trial) begin() error {
	if err := t.start(); err != nil {
		return err
	}
	if err := t.createTopic(); err != nil {
		return err
	}
	for id := range sources {
		s, err := newSource(t, id)
		if err != nil {
			return err
		}
		t.sources = append(t.sources, s)
		t.senders.client(s.run)
	}
	t.senders.client(t.churn.run)
	t.senders.client(func(ctx context.Context) error { return t.commitPlainly(ctx, t.commits[plain]) })
	for range members {
		m, err := newMember(t, t.commits[grouped])
		if err != nil {
			return err
		}
		t.consumers.client(m.run)
	}
	return nil
}

// createTopic also makes the first commits of the resting group.
func (t *trial) createTopic() error {
	cl, err := newClient(t.cfg.Kafka)
	if err != nil {
		return err
	}
	defer cl.Close()
	adm := kadm.NewClient(cl)
	forever := "-1"
	configs := map[string]*string{"retention.ms": &forever, "retention.bytes": &forever}
	if _, err := adm.CreateTopic(t.ctx, int32(t.opt.partitions), 1, configs, topicName); err != nil {
		return fmt.Errorf("create topic %s: %w", topicName, err)
	}
	first := map[int32]int64{}
	for p := range t.ledgers {
		first[int32(p)] = 0
	}
	return t.commits[resting].send(t.ctx, adm, first)
}

// The groups: one whose members consume, one without members, and one of
// which each round commits a single partition, so that the others rest on what
// is stored long ago.
const (
	grouped = iota
	plain
	resting

	members = 2
)

// phase is a set of clients that are stopped together.
type phase struct {
	t       *trial
	ctx     context.Context
	stop    context.CancelFunc
	clients sync.WaitGroup
}

func (p *phase) init(t *trial) {
	p.t = t
	p.ctx, p.stop = context.WithCancel(t.ctx)
}

// client runs f until it returns, which it does soon after stop. An error
// ends the trial.
func (p *phase) client(f func(context.Context) error) {
	p.clients.Go(func() {
		if err := f(p.ctx); err != nil {
			p.t.broke(err)
		}
	})
}

// finish stops the clients and waits for them.
func (p *phase) finish() {
	p.stop()
	p.clients.Wait()
}
