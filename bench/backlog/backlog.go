package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/waxwing-mq/waxwing/bench/kill/daemon"
)

// options are the flags.
type options struct {
	messages   int64
	partitions int // of all topics
	topics     int
	valueBytes int
	rate       int           // of the light load, per second
	settle     time.Duration // before memory is read
	steady     time.Duration // light load without deletions
	rewrite    time.Duration // at most, light load after the deletions
	heap       string        // files for heap profiles begin with this; "": none
	dir        string
	binary     string // "" builds the broker
	keep       bool
}

func (o *options) perTopic() int       { return o.partitions / o.topics }
func (o *options) perPartition() int64 { return o.messages / int64(o.partitions) }

func (o *options) check() error {
	switch {
	case o.topics < 2 || o.partitions < o.topics || o.partitions%o.topics != 0:
		return errors.New("-topics must be at least 2, and -partitions a multiple of it")
	case o.perPartition() < 1 || o.messages%int64(o.partitions) != 0:
		return errors.New("-messages must be a multiple of -partitions")
	case o.valueBytes < valueHeadBytes || o.rate < 1:
		return fmt.Errorf("-value must be at least %d, and -rate at least 1", valueHeadBytes)
	}
	return nil
}

const (
	startMax   = 2 * time.Minute
	idleMax    = 10 * time.Second // without a rewrite: they are done
	drains     = 5
	spareBytes = 2 << 30
)

// deleted is how many of the topics are deleted: so many that what is left of
// each file is worth rewriting.
func (o *options) deleted() int { return o.topics*6/10 + 1 }

// measurement is the broker under way.
type measurement struct {
	opt    options
	cfg    daemon.Config
	broker *daemon.Process
	conn   *daemon.Conn
	report func(any)
	res    result
}

// run goes through all steps and returns what it measured.
func run(ctx context.Context, opt options, report func(any)) (result, error) {
	free, err := daemon.FreeBytes(opt.dir)
	if err != nil {
		return result{}, err
	}
	if need := opt.messages*int64(opt.valueBytes+200)*2 + spareBytes; free < need {
		return result{}, fmt.Errorf("%s has %.1f GB left, %.1f GB are needed", opt.dir, gb(free), gb(need))
	}
	dir, err := os.MkdirTemp(opt.dir, "waxwing-backlog-*")
	if err != nil {
		return result{}, err
	}
	res, err := runIn(ctx, dir, opt, report)
	if opt.keep {
		report("kept in " + dir)
		return res, err
	}
	return res, errors.Join(err, os.RemoveAll(dir))
}

func runIn(ctx context.Context, dir string, opt options, report func(any)) (_ result, err error) {
	if opt.binary == "" {
		if opt.binary, err = daemon.Build(ctx, dir); err != nil {
			return result{}, err
		}
	}
	cfg, err := daemon.New(opt.binary, dir)
	if err != nil {
		return result{}, err
	}
	m := &measurement{opt: opt, cfg: cfg, report: report}
	defer m.end()
	for _, step := range []func(context.Context) error{m.idle, m.backlog, m.steady, m.restart, m.drainCold, m.rewrite} {
		if err := step(ctx); err != nil {
			return m.res, err
		}
	}
	return m.res, nil
}

func (m *measurement) end() {
	if m.conn != nil {
		m.conn.Close()
	}
	if m.broker != nil {
		m.broker.Kill()
	}
}

// start executes the broker, waits until it serves, and returns how long that
// took.
func (m *measurement) start(ctx context.Context) (took time.Duration, err error) {
	if m.broker, err = daemon.Start(m.cfg); err != nil {
		return 0, err
	}
	limited, cancel := context.WithTimeout(ctx, startMax)
	defer cancel()
	first, took, err := m.broker.Serving(limited)
	if err != nil {
		return 0, err
	}
	first.Close()
	m.conn, err = daemon.Dial(ctx, m.cfg.Kafka)
	return took, err
}

// scratch is a file beside the broker's data.
func (m *measurement) scratch() string { return filepath.Join(m.cfg.Dir, "device") }

func (m *measurement) diskBytes() (int64, error) { return daemon.DiskBytes(m.cfg.Data()) }

// idle measures the broker with nothing, and with empty partitions.
func (m *measurement) idle(ctx context.Context) (err error) {
	if _, err = m.start(ctx); err != nil {
		return err
	}
	time.Sleep(m.opt.settle)
	if m.res.Idle, err = m.memory(ctx); err != nil {
		return err
	}
	m.report(line("idle", m.res.Idle))
	if err := m.conn.CreateTopic(probeTopic, 1); err != nil {
		return err
	}
	for t := range m.opt.topics {
		if err := m.conn.CreateTopic(topicName(t), int32(m.opt.perTopic())); err != nil {
			return err
		}
	}
	m.res.Empty, err = m.memory(ctx)
	m.report(line(fmt.Sprintf("%d empty partitions", m.opt.partitions), m.res.Empty))
	return err
}

// backlog fills the partitions and measures what that costs.
func (m *measurement) backlog(ctx context.Context) (err error) {
	began := time.Now()
	if err := m.fill(ctx); err != nil {
		return err
	}
	m.res.FillSeconds = time.Since(began).Seconds()
	if m.res.Filled, err = m.memory(ctx); err != nil {
		return err
	}
	m.report(line(fmt.Sprintf("%d messages just written, %.0f/s", m.opt.messages, float64(m.opt.messages)/m.res.FillSeconds), m.res.Filled))
	time.Sleep(m.opt.settle)
	if m.res.Backlog, err = m.memory(ctx); err != nil {
		return err
	}
	m.report(line("with the backlog", m.res.Backlog))
	return m.saveProfile(ctx, "backlog")
}

func (m *measurement) saveProfile(ctx context.Context, name string) error {
	if m.opt.heap == "" {
		return nil
	}
	return m.profile(ctx, m.opt.heap+name+".pb.gz")
}

// steady measures a light load while nothing is deleted; checkpoints are made.
func (m *measurement) steady(ctx context.Context) error {
	l := m.newLight()
	defer l.watch.end()
	limit := time.Now().Add(m.opt.steady)
	if err := l.run(ctx, m.scratch(), func() bool { return time.Now().After(limit) }); err != nil {
		return err
	}
	m.res.Steady = l.summarise(func(s sample) bool { return !l.watch.nearCheckpoint(s.due) && s.work == quiet })
	m.res.Checkpoint = l.summarise(func(s sample) bool { return l.watch.nearCheckpoint(s.due) })
	m.report("produce, nothing else: " + m.res.Steady.String())
	m.report(fmt.Sprintf("produce, within %v before a checkpoint was complete: %v", checkpointBefore, m.res.Checkpoint))
	return nil
}

func (m *measurement) newLight() *light {
	return &light{conn: m.conn, every: time.Second / time.Duration(m.opt.rate), watch: startWatch(m.cfg.Data())}
}

// restart kills the broker, starts it, and checks that all messages are there.
func (m *measurement) restart(ctx context.Context) error {
	m.conn.Close()
	m.broker.Kill()
	took, err := m.start(ctx)
	if err != nil {
		return err
	}
	m.res.StartMillis = millis(took)
	if m.res.Restarted, err = m.memory(ctx); err != nil {
		return err
	}
	m.report(line(fmt.Sprintf("kill -9, serving again after %.0f ms", m.res.StartMillis), m.res.Restarted))
	for t := range m.opt.topics {
		ends, err := m.conn.HighWatermarks(topicName(t), m.opt.perTopic())
		if err != nil {
			return err
		}
		if p := slices.IndexFunc(ends, func(end int64) bool { return end != m.opt.perPartition() }); p >= 0 {
			return fmt.Errorf("partition %d of %s has %d messages, want %d", p, topicName(t), ends[p], m.opt.perPartition())
		}
	}
	time.Sleep(m.opt.settle)
	if m.res.Settled, err = m.memory(ctx); err != nil {
		return err
	}
	m.report(line("some seconds later", m.res.Settled))
	return m.saveProfile(ctx, "restarted")
}

// drainCold fetches all of a few partitions, from the device and then again.
func (m *measurement) drainCold(ctx context.Context) error {
	for range drains {
		if err := daemon.DropCache(m.cfg.Data()); err != nil {
			return err
		}
		t, p := rand.IntN(m.opt.topics), rand.IntN(m.opt.perTopic())
		cold, err := m.drain(m.conn, t, p)
		if err != nil {
			return err
		}
		warm, err := m.drain(m.conn, t, p)
		if err != nil {
			return err
		}
		m.res.DrainColdMillis = append(m.res.DrainColdMillis, millis(cold))
		m.res.DrainWarmMillis = append(m.res.DrainWarmMillis, millis(warm))
	}
	m.report(fmt.Sprintf("one partition drained, %d messages: cold %.0f ms, warm %.1f ms", m.opt.perPartition(), m.res.DrainColdMillis, m.res.DrainWarmMillis))
	return nil
}

// rewrite deletes topics and measures the light load until what is left has
// been rewritten.
func (m *measurement) rewrite(ctx context.Context) (err error) {
	l := m.newLight()
	defer l.watch.end()
	for t := range m.opt.deleted() {
		if err := m.conn.DeleteTopic(topicName(t)); err != nil {
			return err
		}
	}
	began := time.Now()
	err = l.run(ctx, m.scratch(), func() bool {
		n, idle := l.watch.rewritten()
		return time.Since(began) > m.opt.rewrite || n > 0 && idle > idleMax
	})
	if err != nil {
		return err
	}
	m.res.Rewrites, _ = l.watch.rewritten()
	m.res.Rewriting = l.summarise(func(s sample) bool { return s.work == rewriting })
	m.report(fmt.Sprintf("%d of %d topics deleted, %d rewrites in %.0f s; produce meanwhile: %v",
		m.opt.deleted(), m.opt.topics, m.res.Rewrites, time.Since(began).Seconds(), m.res.Rewriting))
	if m.res.Rewritten, err = m.memory(ctx); err != nil {
		return err
	}
	m.report(line("after the rewrites", m.res.Rewritten))
	_, err = m.drain(m.conn, m.opt.topics-1, 0)
	return err
}
