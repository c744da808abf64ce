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
	log    string // of the kill points
	out    *bytes.Buffer
	shape  *worker // to look at the database with
	deaths int
	flight int // the most that was under way when something happened
}

// carryOut plays a case to its end and returns what the checks say.
func carryOut(t *testing.T, c Case, plan Plan) []waxtest.Violation {
	t.Helper()
	dir := t.TempDir()
	plan.Sent, plan.Removed = filepath.Join(dir, "sent"), c.Removed
	r := &run{Case: c, plan: plan, log: filepath.Join(dir, "hits"), out: &bytes.Buffer{}}
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	var err error
	if r.shape, err = open(ctx, &plan); err != nil {
		t.Fatal(err)
	}
	defer r.shape.pool.Close()
	if err = prepare(ctx, r.shape.db, r.shape.pool); err == nil {
		err = r.play(ctx)
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, r.out)
	}
	found, err := r.check(ctx)
	if err != nil {
		t.Fatalf("%v\n%s", err, r.out)
	}
	if t.Failed() || len(found) > 0 && c.Removed == "" {
		t.Logf("the workers said:\n%s", r.out)
	}
	return found
}

// start starts a worker; armed says whether it is to fail.
func (r *run) start(ctx context.Context, armed int) (*exec.Cmd, error) {
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), r.plan.env(), "WAXWING_KILLPOINT_LOG="+r.log)
	if armed > 0 {
		cmd.Env = append(cmd.Env, fmt.Sprintf("WAXWING_KILLPOINTS=%s:%s:%d:%s", r.Point, r.Phase, armed, r.Mode))
	}
	cmd.Stdout, cmd.Stderr = r.out, r.out
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd, cmd.Start()
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
		cmd, err := r.start(ctx, armed)
		if err != nil {
			return err
		}
		err = cmd.Wait()
		if err == nil {
			return nil
		}
		if !killed(err) || n > r.Again {
			return fmt.Errorf("worker %d: %w", n, err)
		}
		r.died(ctx)
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

// died notes that a worker has failed, and what was under way.
func (r *run) died(ctx context.Context) {
	r.deaths++
	if s, err := r.shape.look(ctx); err == nil {
		r.flight = max(r.flight, s.inFlight())
	}
}

// playZombie has a second worker take over from one that is stopped, and then lets
// the first go on.
func (r *run) playZombie(ctx context.Context) error {
	zombie, err := r.start(ctx, r.Nth)
	if err != nil {
		return err
	}
	if err := r.fired(ctx, zombie); err != nil {
		return err
	}
	r.died(ctx)
	other, err := r.start(ctx, 0)
	if err != nil {
		return err
	}
	time.Sleep(2 * lease)
	if err := zombie.Process.Signal(syscall.SIGCONT); err != nil {
		return err
	}
	return errors.Join(other.Wait(), zombie.Wait())
}

// playHang kills a worker in which something hangs, after a while.
func (r *run) playHang(ctx context.Context) error {
	cmd, err := r.start(ctx, r.Nth)
	if err != nil {
		return err
	}
	if err := r.fired(ctx, cmd); err != nil {
		return err
	}
	r.died(ctx)
	time.Sleep(lease / 2)
	_ = cmd.Process.Kill()
	if err := cmd.Wait(); err != nil && !killed(err) {
		return err
	}
	if cmd, err = r.start(ctx, 0); err != nil {
		return err
	}
	return cmd.Wait()
}

// fired waits until the kill point has sprung.
func (r *run) fired(ctx context.Context, cmd *exec.Cmd) error {
	for ctx.Err() == nil {
		if r.hits() > 0 {
			return nil
		}
		if cmd.ProcessState != nil {
			return errors.New("the worker has ended without passing the point")
		}
		time.Sleep(5 * time.Millisecond)
	}
	return ctx.Err()
}

// hits is how often a kill point has sprung.
func (r *run) hits() int {
	b, _ := os.ReadFile(r.log)
	return bytes.Count(b, []byte("\n"))
}
