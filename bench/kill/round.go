package main

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/waxwing-mq/waxwing/bench/kill/daemon"
)

const (
	loadMin, loadMax = 100 * time.Millisecond, 700 * time.Millisecond
	// One round in heavyEvery writes so much that a checkpoint is due, which
	// the broker otherwise makes when it has started and every half minute.
	heavyEvery    = 16
	heavyFirst    = 2
	heavySettled  = 2500 * time.Millisecond // after the start: it has made its first one
	heavyBytes    = 272 << 20               // for each shard; it is due after 256 MiB
	heavyMax      = 2 * time.Minute
	checkpointMax = 20 * time.Second
	heavyAfter    = 1500 * time.Millisecond

	startKillsMax = 2                      // kills while it starts
	earlyShare    = 3                      // one round in so many has one more kill
	earlyMax      = 150 * time.Millisecond // so long after it was ready
)

// start executes the broker and waits until it serves.
func (t *trial) start() error {
	p, err := t.execute()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(t.ctx, giveUpAfter)
	defer cancel()
	if err := p.Ready(ctx); err != nil {
		return err
	}
	t.startTook = time.Since(p.Started)
	t.startMax = max(t.startMax, t.startTook)
	return nil
}

// execute starts the broker; that it ends by itself breaks a promise.
func (t *trial) execute() (*daemon.Process, error) {
	p, err := daemon.Start(t.cfg)
	if err != nil {
		return nil, err
	}
	t.broker = p
	go func() { // ends with the process, which end kills
		<-p.Done()
		if err := p.Ended(); err != nil {
			t.broke(err)
		}
	}()
	return p, nil
}

// round lets the load run, kills the broker, perhaps while it starts again,
// perhaps soon after, and checks.
func (t *trial) round(n int) error {
	result := roundResult{Round: n, Kills: 1, Heavy: n%heavyEvery == heavyFirst}
	began := time.Now()
	if err := t.load(result.Heavy, n == heavyFirst); err != nil {
		return err
	}
	result.LoadMillis = millis(time.Since(began))
	t.broker.Kill()
	if err := t.killWhileStarting(&result); err != nil {
		return err
	}
	if err := t.start(); err != nil {
		return err
	}
	if t.rng.IntN(earlyShare) == 0 {
		sleep(t.ctx, below(t.rng, earlyMax))
		t.broker.Kill()
		result.Kills++
		if err := t.start(); err != nil {
			return err
		}
	}
	result.StartMillis = millis(t.startTook)
	if err := t.flows(); err != nil {
		return err
	}
	ends, err := t.verify(t.ctx, t.from)
	if err != nil {
		return err
	}
	t.from, t.checked = t.checked, ends
	t.count(&result.totals)
	t.report(result)
	return context.Cause(t.ctx)
}

// load lets the clients work until the moment of the kill. The first heavy
// round waits for a checkpoint, the others half of the time: else they kill
// the broker about when it is made.
func (t *trial) load(heavy, first bool) error {
	if !heavy {
		sleep(t.ctx, loadMin+below(t.rng, loadMax-loadMin))
		return nil
	}
	sleep(t.ctx, heavySettled-time.Since(t.broker.Started))
	seen := t.checkpoints()
	if err := t.fill(); err != nil {
		return err
	}
	if t.rng.IntN(2) == 0 || first {
		if err := t.checkpointed(seen); err != nil {
			return err
		}
	}
	sleep(t.ctx, below(t.rng, heavyAfter))
	return nil
}

// checkpointed waits for a checkpoint that is not among those seen.
func (t *trial) checkpointed(seen []string) error {
	for limit := time.Now().Add(checkpointMax); slices.Equal(t.checkpoints(), seen); {
		if time.Now().After(limit) {
			return fmt.Errorf("a checkpoint was due %v ago and has not come", checkpointMax)
		}
		if !sleep(t.ctx, 20*time.Millisecond) {
			return context.Cause(t.ctx)
		}
	}
	return nil
}

// fill has the producers send what they can until a checkpoint is due in some
// shard.
func (t *trial) fill() error {
	t.heavy.Store(true)
	defer t.heavy.Store(false)
	bytes := func() (float64, error) {
		m, err := t.broker.Metrics(t.ctx)
		return m["waxwing_journal_bytes_total"], err
	}
	before, err := bytes()
	for limit := time.Now().Add(heavyMax); err == nil && time.Now().Before(limit); sleep(t.ctx, 20*time.Millisecond) {
		var now float64
		if now, err = bytes(); now-before > float64(heavyBytes*t.opt.shards) {
			return nil
		}
	}
	if err != nil {
		return err
	}
	return fmt.Errorf("%d bytes for each shard could not be written within %v", heavyBytes, heavyMax)
}

// checkpoints are the files of complete checkpoints (docs/format/checkpoint.md).
func (t *trial) checkpoints() []string {
	names, err := filepath.Glob(filepath.Join(t.cfg.Data(), "blobs", "*", "checkpoint", "[0-9a-f]*"))
	if err != nil {
		panic(err) // the pattern is wrong
	}
	return names
}

// killWhileStarting starts the broker a few times and kills it at once or when
// it is about to be ready.
func (t *trial) killWhileStarting(result *roundResult) error {
	for range t.rng.IntN(startKillsMax + 1) {
		p, err := t.execute()
		if err != nil {
			return err
		}
		sleep(t.ctx, below(t.rng, t.startTook*5/4+1))
		p.Kill()
		result.Kills++
	}
	return nil
}

// flows waits until every producer gets acknowledgements again.
func (t *trial) flows() error {
	var before []int64
	for _, s := range t.sources {
		before = append(before, s.acked.Load())
	}
	stalled := func(i int) bool { return t.sources[i].acked.Load() == before[i] }
	for limit := time.Now().Add(giveUpAfter); ; {
		i := 0
		for i < len(before) && !stalled(i) {
			i++
		}
		switch {
		case i == len(before):
			return nil
		case time.Now().After(limit):
			return fmt.Errorf("producer %d got nothing acknowledged for %v after the start", i, giveUpAfter)
		case !sleep(t.ctx, 2*time.Millisecond):
			return context.Cause(t.ctx)
		}
	}
}

// finish ends the load in order, kills the broker once more, and checks all
// from the beginning.
func (t *trial) finish() error {
	t.senders.finish()
	if err := t.caughtUp(); err != nil {
		return err
	}
	t.consumers.finish()
	t.broker.Kill()
	if err := t.start(); err != nil {
		return err
	}
	_, err := t.verify(t.ctx, make([]int64, t.opt.partitions))
	if err != nil {
		return err
	}
	for p, l := range t.ledgers {
		sent := make([]uint64, len(t.sources))
		for i, s := range t.sources {
			sent[i] = s.sent[p]
		}
		if err := l.complete(sent); err != nil {
			return err
		}
	}
	return nil
}

// caughtUp waits until the group has consumed and committed everything.
func (t *trial) caughtUp() error {
	ctx, cancel := context.WithTimeoutCause(t.ctx, giveUpAfter, fmt.Errorf("the group has not caught up within %v", giveUpAfter))
	defer cancel()
	cl, err := newClient(t.cfg.Kafka)
	if err != nil {
		return err
	}
	defer cl.Close()
	adm := kadm.NewClient(cl)
	ends, err := t.highWatermarks(ctx, adm)
	if err != nil {
		return err
	}
	for {
		offsets, err := t.commits[grouped].check(ctx, adm)
		if err != nil {
			return err
		}
		if reached(offsets, ends) {
			return nil
		}
		if !sleep(ctx, 20*time.Millisecond) {
			return fmt.Errorf("%w: %v of %d", context.Cause(ctx), offsets, ends)
		}
	}
}

func reached(offsets map[int32]int64, ends []int64) bool {
	for p, end := range ends {
		if end > 0 && offsets[int32(p)] != end {
			return false
		}
	}
	return true
}
