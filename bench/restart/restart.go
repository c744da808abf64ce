package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"time"

	"github.com/waxwing-mq/waxwing/bench/kill/daemon"
	"github.com/waxwing-mq/waxwing/internal/record"
)

// options are the flags.
type options struct {
	gb         float64 // of values, 10⁹ bytes each
	partitions int
	restarts   int
	cold       bool
	settle     time.Duration // before memory is read again
	dir        string
	binary     string // "" builds the broker
	keep       bool
}

const (
	probeTopic = "probe"
	// startMax is how long a start may take before it counts as failed.
	startMax = 2 * time.Minute
	// lookups is how many random records are fetched after each start.
	lookups = 200
	// spareBytes must be left on the device beyond what is written.
	spareBytes = 2 << 30
)

// run fills a broker, kills and starts it, and returns what it measured.
func run(ctx context.Context, opt options, progress func(string, ...any)) (result, error) {
	if err := checkSpace(opt); err != nil {
		return result{}, err
	}
	dir, err := os.MkdirTemp(opt.dir, "waxwing-restart-*")
	if err != nil {
		return result{}, err
	}
	res, err := runIn(ctx, dir, opt, progress)
	if opt.keep {
		progress("kept in %s", dir)
		return res, err
	}
	return res, errors.Join(err, os.RemoveAll(dir))
}

func checkSpace(opt options) error {
	free, err := daemon.FreeBytes(opt.dir)
	if err != nil {
		return err
	}
	if need := int64(opt.gb*1e9*1.1) + spareBytes; free < need {
		return fmt.Errorf("%s has %.1f GB left, %.1f GB are needed", opt.dir, gb(free), gb(need))
	}
	return nil
}

func runIn(ctx context.Context, dir string, opt options, progress func(string, ...any)) (res result, err error) {
	if opt.binary == "" {
		if opt.binary, err = daemon.Build(ctx, dir); err != nil {
			return res, err
		}
	}
	cfg, err := daemon.New(opt.binary, dir)
	if err != nil {
		return res, err
	}
	m := &measurement{opt: opt, cfg: cfg, filling: newFilling(cfg.Kafka, opt.partitions)}
	defer m.end()
	if res.Fill, err = m.fill(ctx); err != nil {
		return res, fmt.Errorf("fill: %w", err)
	}
	progress("%v", res.Fill)
	for i := range opt.restarts {
		s, err := m.restart(ctx, i == 0, opt.cold && i == opt.restarts-1)
		if err != nil {
			return res, fmt.Errorf("start %d: %w", i+1, err)
		}
		progress("%v", s)
		res.Starts = append(res.Starts, s)
	}
	return res, nil
}

// measurement is the broker under way.
type measurement struct {
	opt     options
	cfg     daemon.Config
	broker  *daemon.Process
	filling *filling
}

func (m *measurement) end() {
	if m.broker != nil {
		m.broker.Kill()
	}
}

// fill starts the broker, writes, and kills it while it is written to.
func (m *measurement) fill(ctx context.Context) (filled, error) {
	f := filled{Partitions: m.opt.partitions}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	c, _, err := m.start(ctx)
	if err != nil {
		return f, err
	}
	defer c.Close()
	if f.IdleResident, err = m.broker.ResidentBytes(); err != nil {
		return f, err
	}
	if err := errors.Join(c.CreateTopic(topicName, int32(m.opt.partitions)), c.CreateTopic(probeTopic, 1)); err != nil {
		return f, err
	}
	began := time.Now()
	m.filling.start(ctx)
	err = m.filling.until(ctx, int64(m.opt.gb*1e9))
	f.Seconds, f.Bytes = time.Since(began).Seconds(), m.filling.bytes()
	if err == nil {
		f.LoadedResident, err = m.broker.ResidentBytes()
	}
	m.broker.Kill()
	cancel()
	m.filling.done.Wait()
	if err == nil {
		f.DiskBytes, err = daemon.DiskBytes(m.cfg.Data())
	}
	return f, err
}

// start executes the broker and waits until it answers ApiVersions.
func (m *measurement) start(ctx context.Context) (*daemon.Conn, time.Duration, error) {
	p, err := daemon.Start(m.cfg)
	if err != nil {
		return nil, 0, err
	}
	m.broker = p
	return p.Serving(ctx)
}

// restart kills the broker if it runs, starts it, and measures.
func (m *measurement) restart(ctx context.Context, loaded, cold bool) (started, error) {
	s := started{UnderLoad: loaded, Cold: cold}
	ctx, cancel := context.WithTimeout(ctx, startMax)
	defer cancel()
	m.broker.Kill()
	if cold {
		if err := daemon.DropCache(m.cfg.Data()); err != nil {
			return s, err
		}
	}
	c, serving, err := m.start(ctx)
	if err != nil {
		return s, err
	}
	defer c.Close()
	s.ServingMillis = millis(serving)
	if err := m.firstCalls(c, &s); err != nil {
		return s, err
	}
	if s.Resident, err = m.broker.ResidentBytes(); err != nil {
		return s, err
	}
	if err := m.check(c); err != nil {
		return s, err
	}
	time.Sleep(m.opt.settle)
	s.SettledResident, err = m.broker.ResidentBytes()
	return s, err
}

// firstCalls measures until a produce is acknowledged and an old record is
// fetched.
func (m *measurement) firstCalls(c *daemon.Conn, s *started) error {
	one := record.Append(nil, record.BatchSpec{Records: []record.Record{{Timestamp: time.Now().UnixMilli(), Value: []byte("probe")}}})
	if _, err := c.Produce(probeTopic, []daemon.Batch{{Bytes: one}}); err != nil {
		return err
	}
	s.ProduceMillis = millis(time.Since(m.broker.Started))
	p := rand.IntN(m.opt.partitions)
	if err := find(c, int32(p), rand.Int64N(m.filling.acked[p].Load()/10+1)); err != nil {
		return err
	}
	s.FetchMillis = millis(time.Since(m.broker.Started))
	return nil
}

// check compares the high watermarks with what was acknowledged, and fetches
// records at random.
func (m *measurement) check(c *daemon.Conn) error {
	for p := range m.filling.acked {
		acked := m.filling.acked[p].Load()
		_, hw, err := c.Fetch(topicName, int32(p), acked-1, 1)
		if err != nil {
			return err
		}
		// One batch may have been under way.
		if hw < acked || hw > acked+batchCount {
			return fmt.Errorf("partition %d: the high watermark is %d, and %d records were acknowledged", p, hw, acked)
		}
	}
	for range lookups {
		p := rand.IntN(m.opt.partitions)
		if err := find(c, int32(p), rand.Int64N(m.filling.acked[p].Load())); err != nil {
			return err
		}
	}
	return nil
}
