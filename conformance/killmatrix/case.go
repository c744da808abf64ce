//go:build killpoints

package killmatrix

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/waxwing-mq/waxwing/internal/killpoint"
	"github.com/waxwing-mq/waxwing/waxtest"
)

// A Case is what happens to a worker, once, and then again to those that take over.
type Case struct {
	Point   killpoint.Point
	Phase   killpoint.Phase
	Mode    killpoint.Mode
	Nth     int // at which passing
	Again   int // how many of its successors it happens to as well, while they recover
	Removed string
}

func (c Case) String() string {
	s := fmt.Sprintf("%s %s %s", c.Mode, c.Phase, c.Point)
	if c.Again > 0 {
		s += " twice"
	}
	if c.Removed != "" {
		s += " without " + c.Removed
	}
	return s
}

// A run is a case under way.
type run struct {
	Case
	plan   Plan
	log    string  // of the kill points
	out    string  // file of what the workers say
	shape  *worker // to look at the database with
	flight int     // the most that was under way when something happened
}

// carryOut plays a case to its end and returns what the checks say.
func carryOut(t *testing.T, c Case, plan Plan) []waxtest.Violation {
	t.Helper()
	dir := t.TempDir()
	plan.Sent, plan.Removed = filepath.Join(dir, "sent"), c.Removed
	r := &run{Case: c, plan: plan, log: filepath.Join(dir, "hits"), out: filepath.Join(dir, "out")}
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	var err error
	if r.shape, err = open(ctx, &plan); err != nil {
		t.Fatal(err)
	}
	defer r.shape.pool.Close()
	if err = prepare(ctx, r.shape.db, r.shape.pool); err == nil && plan.Directory != "" {
		r.plan.Keys, err = newKeys(ctx, r.shape.db, plan.Prefix, plan.Directory)
		r.shape.Keys = r.plan.Keys
	}
	if err == nil {
		err = r.play(ctx)
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, r.said())
	}
	found, err := r.check(ctx)
	if err != nil {
		t.Fatalf("%v\n%s", err, r.said())
	}
	if t.Failed() || len(found) > 0 && c.Removed == "" {
		t.Logf("the workers said:\n%s", r.said())
	}
	return found
}

// said is what the workers have said.
func (r *run) said() []byte {
	b, _ := os.ReadFile(r.out)
	return b
}

// A child is a worker that runs.
type child struct {
	*os.Process
	ended chan error // gets what Wait returns, once
}

// start starts a worker; armed says at which passing it is to fail, 0 if it is not.
func (r *run) start(ctx context.Context, armed int) (*child, error) {
	out, err := os.OpenFile(r.out, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), r.plan.env(), "WAXWING_KILLPOINT_LOG="+r.log)
	if armed > 0 {
		cmd.Env = append(cmd.Env, fmt.Sprintf("WAXWING_KILLPOINTS=%s:%s:%d:%s", r.Point, r.Phase, armed, r.Mode))
	}
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	c := &child{cmd.Process, make(chan error, 1)}
	go func() { c.ended <- cmd.Wait() }()
	return c, nil
}

// startHit starts a worker that is to fail, and returns it when it has.
func (r *run) startHit(ctx context.Context) (*child, error) {
	c, err := r.start(ctx, r.Nth)
	if err != nil {
		return nil, err
	}
	for r.hits() == 0 {
		select {
		case err := <-c.ended:
			return nil, fmt.Errorf("the worker has ended without passing the point: %w", errors.Join(err, ctx.Err()))
		case <-time.After(5 * time.Millisecond):
		}
	}
	r.look(ctx)
	return c, nil
}

// play starts workers until one has brought everything to rest.
func (r *run) play(ctx context.Context) error {
	switch r.Mode {
	case killpoint.Stop:
		return r.playZombie(ctx)
	case killpoint.Hang:
		return r.playHang(ctx)
	}
	armed := r.Nth
	for n := 0; ; n++ {
		c, err := r.start(ctx, armed)
		if err != nil {
			return err
		}
		err = <-c.ended
		if err == nil {
			return nil
		}
		if !killed(err) || n > r.Again {
			return fmt.Errorf("worker %d: %w", n, err)
		}
		r.look(ctx)
		if armed = 0; n < r.Again {
			armed = 1 // the first passing: while it recovers
		}
	}
}

// killed says whether a process ended by SIGKILL.
func killed(err error) bool {
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return false
	}
	status, ok := exit.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == syscall.SIGKILL
}

// look notes what is under way, now that something has failed.
func (r *run) look(ctx context.Context) {
	if s, err := r.shape.look(ctx); err == nil {
		r.flight = max(r.flight, s.inFlight())
	}
}

// playZombie has a second worker take over from one that is stopped, and then lets
// the first go on.
func (r *run) playZombie(ctx context.Context) error {
	zombie, err := r.startHit(ctx)
	if err != nil {
		return err
	}
	other, err := r.start(ctx, 0)
	if err != nil {
		return err
	}
	time.Sleep(2 * lease)
	if err := zombie.Signal(syscall.SIGCONT); err != nil {
		return err
	}
	return errors.Join(<-other.ended, <-zombie.ended)
}

// playHang kills a worker in which something hangs, after a while.
func (r *run) playHang(ctx context.Context) error {
	c, err := r.startHit(ctx)
	if err != nil {
		return err
	}
	time.Sleep(lease / 2)
	_ = c.Kill()
	if err := <-c.ended; err != nil && !killed(err) {
		return err
	}
	if c, err = r.start(ctx, 0); err != nil {
		return err
	}
	return <-c.ended
}

// hits is how often a kill point has sprung.
func (r *run) hits() int {
	b, _ := os.ReadFile(r.log)
	return bytes.Count(b, []byte("\n"))
}
