package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	"github.com/waxwing-mq/waxwing/bench/kill/daemon"
)

type options struct {
	rounds, publishers int
	seed               uint64
	dir, binary        string
	keep               bool
}

// patience is how long the broker may take to start, and a queue to drain.
const patience = 2 * time.Minute

// run plays the rounds.
func run(ctx context.Context, opt options, out io.Writer) (err error) {
	if opt.seed == 0 {
		opt.seed = uint64(time.Now().UnixNano())
	}
	dir, err := os.MkdirTemp(opt.dir, "waxwing-killamqp-")
	if err != nil {
		return err
	}
	defer func() {
		if err == nil && !opt.keep {
			os.RemoveAll(dir)
			return
		}
		fmt.Fprintf(out, "seed %d; the broker's folder is %s\n", opt.seed, dir)
	}()
	if opt.binary == "" {
		opt.binary = filepath.Join(dir, "waxwing")
		build := exec.CommandContext(ctx, "go", "build", "-buildvcs=false", "-o", opt.binary, "github.com/waxwing-mq/waxwing/cmd/waxwing")
		build.Stderr = os.Stderr
		if err := build.Run(); err != nil {
			return fmt.Errorf("building waxwing: %w", err)
		}
	}
	addr, err := freeAddr()
	if err != nil {
		return err
	}
	cfg, err := daemon.New(opt.binary, dir, "--amqp", addr, "--file-bytes", "8MiB")
	if err != nil {
		return err
	}
	return play(ctx, opt, cfg, addr, out)
}

func freeAddr() (string, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer ln.Close()
	return ln.Addr().String(), nil
}

// play runs the clients beside a broker that is killed again and again, then
// drains the queues and settles the account.
func play(ctx context.Context, opt options, cfg daemon.Config, addr string, out io.Writer) error {
	l := newLedger(classicQueue, quorumQueue)
	rng := rand.New(rand.NewPCG(opt.seed, 1))
	p, err := start(ctx, cfg)
	if err != nil {
		return err
	}
	defer func() { p.Kill() }()
	working, stop := context.WithCancel(ctx)
	defer stop()
	var clients sync.WaitGroup
	for i := range opt.publishers {
		clients.Go(func() { publish(working, l, addr, uint32(i+1)) })
	}
	for _, q := range []string{classicQueue, quorumQueue} {
		clients.Go(func() { consume(working, l, addr, q, opt.seed) })
	}
	for round := 1; round <= opt.rounds; round++ {
		select {
		case <-time.After(time.Duration(20+rng.IntN(1200)) * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
		p.Kill()
		if err := l.failed(); err != nil {
			return err
		}
		began := time.Now()
		if p, err = start(ctx, cfg); err != nil {
			return fmt.Errorf("round %d: %w", round, err)
		}
		fmt.Fprintf(out, "round %d: ready after %v; %v\n", round, time.Since(began).Round(time.Millisecond), l)
	}
	time.Sleep(500 * time.Millisecond)
	stop()
	clients.Wait()
	return settleAll(ctx, l, addr, out)
}

func start(ctx context.Context, cfg daemon.Config) (*daemon.Process, error) {
	p, err := daemon.Start(cfg)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return p, p.Ready(ctx)
}

// settleAll drains the queues and looks for what never came.
func settleAll(ctx context.Context, l *ledger, addr string, out io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for _, q := range []string{classicQueue, quorumQueue} {
		if err := drain(ctx, l, addr, q); err != nil {
			return errors.Join(l.failed(), err)
		}
		if n, example := l.missing(q); n > 0 {
			return fmt.Errorf("%s: %d confirmed messages never came, such as %v", q, n, example)
		}
		if err := drainDead(ctx, l, addr, q); err != nil {
			return err
		}
	}
	if err := l.failed(); err != nil {
		return err
	}
	if len(l.confirmed) == 0 || l.queues[classicQueue].settled == 0 || l.queues[quorumQueue].letters == 0 {
		return errors.New("nothing was confirmed or settled: the run proves nothing")
	}
	fmt.Fprintf(out, "all promises kept: %v\n", l)
	return nil
}
