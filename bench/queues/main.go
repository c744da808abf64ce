// Command queues measures what queues cost over AMQP with the real binary.
//
//	queues backlog   memory with -messages (10 M) small messages in -queues
//	                 (10,000) durable queues, the time to serve after kill -9,
//	                 and the time to take the first messages from a cold cache
//	queues head      disk behind one unacknowledged message, while -gb (10)
//	                 gigabytes pass through its queue
//
// It prints a line per step and a verdict, and exits with 1 when a goal is
// missed.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/waxwing-mq/waxwing/bench/kill/daemon"
)

// options are the flags.
type options struct {
	messages int64
	queues   int
	value    int // bytes
	gb       float64
	settle   time.Duration
	wait     time.Duration
	kind     string
	dir      string
	binary   string
	fileSize int64 // bytes; what the binary does by default
}

func main() {
	opt := options{fileSize: 128 << 20}
	flags := flag.NewFlagSet("queues", flag.ExitOnError)
	flags.Int64Var(&opt.messages, "messages", 10_000_000, "messages in all")
	flags.IntVar(&opt.queues, "queues", 10_000, "queues in all")
	flags.IntVar(&opt.value, "value", 100, "bytes of a message of the backlog")
	flags.Float64Var(&opt.gb, "gb", 10, "gigabytes that pass behind the unacknowledged message")
	flags.DurationVar(&opt.settle, "settle", 15*time.Second, "how long to wait before memory is read")
	flags.DurationVar(&opt.wait, "wait", 2*time.Minute, "how long to wait, at most, until the disk is given back")
	flags.StringVar(&opt.kind, "type", "classic", "classic or quorum")
	flags.StringVar(&opt.dir, "dir", os.TempDir(), "make the work folder here")
	flags.StringVar(&opt.binary, "binary", "", "the waxwing binary (default: build it)")
	steps := map[string]func(context.Context, options, func(string, ...any)) (bool, error){"backlog": backlog, "head": head}
	if len(os.Args) < 2 || steps[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "queues: say backlog or head, then flags")
		os.Exit(2)
	}
	_ = flags.Parse(os.Args[2:]) // exits
	if flags.NArg() > 0 || opt.queues < 1 || opt.messages < int64(opt.queues) || opt.gb <= 0 || opt.value < 1 {
		fmt.Fprintln(os.Stderr, "queues: numbers must be positive, -messages at least -queues, and nothing follows the flags")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	met, err := steps[os.Args[1]](ctx, opt, func(format string, args ...any) { fmt.Printf(format+"\n", args...) })
	if err != nil {
		fmt.Fprintln(os.Stderr, "queues:", err)
	}
	if err != nil || !met {
		os.Exit(1)
	}
}

// startMax is how long a start may take.
const startMax = 2 * time.Minute

// broker is the binary under measurement.
type broker struct {
	cfg  daemon.Config
	amqp string // host:port
	*daemon.Process
}

// withBroker runs measure with a broker on a new folder, and removes it all.
func withBroker(ctx context.Context, opt options, measure func(*broker) (bool, error)) (met bool, err error) {
	dir, err := os.MkdirTemp(opt.dir, "waxwing-queues-*")
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if opt.binary == "" {
		if opt.binary, err = daemon.Build(ctx, dir); err != nil {
			return false, err
		}
	}
	cfg, err := daemon.New(opt.binary, dir)
	if err != nil {
		return false, err
	}
	b := &broker{cfg: cfg, amqp: cfg.Pprof} // another free port
	b.cfg.Pprof = ""
	b.cfg.Args = append(b.cfg.Args, "--amqp", b.amqp, "--file-bytes", fmt.Sprint(opt.fileSize))
	if _, err := b.start(ctx); err != nil {
		return false, err
	}
	defer func() { b.Kill() }()
	return measure(b)
}

// start runs the binary and returns how long it took until AMQP was served.
func (b *broker) start(ctx context.Context) (took time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, startMax)
	defer cancel()
	if b.Process, err = daemon.Start(b.cfg); err != nil {
		return 0, err
	}
	for {
		c, err := dial(b.amqp)
		if err == nil {
			return time.Since(b.Started), c.Close()
		}
		select {
		case <-b.Done():
			return 0, b.Ended()
		case <-ctx.Done():
			return 0, fmt.Errorf("no answer to AMQP: %w", err)
		case <-time.After(time.Millisecond):
		}
	}
}

// memory is a text about what the process holds, and its resident bytes.
func (b *broker) memory(ctx context.Context) (string, int64, error) {
	resident, err := b.ResidentBytes()
	if err != nil {
		return "", 0, err
	}
	peak, err := b.PeakResidentBytes()
	if err != nil {
		return "", 0, err
	}
	metrics, err := b.Metrics(ctx)
	if err != nil {
		return "", 0, err
	}
	disk, err := b.disk()
	return fmt.Sprintf("resident %.0f MB (peak %.0f), Go heap in use %.0f MB; disk %.2f GB", float64(resident)/1e6, float64(peak)/1e6,
		metrics["go_memstats_heap_inuse_bytes"]/1e6, float64(disk)/1e9), resident, err
}

func (b *broker) disk() (int64, error) { return daemon.DiskBytes(filepath.Clean(b.cfg.Data())) }

func word(met bool) string {
	if met {
		return "met"
	}
	return "MISSED"
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
