//go:build killpoints

package killpoint

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

// Armed says whether this build has kill points.
const Armed = true

// ErrHit is what At returns where an error is armed.
var ErrHit = errors.New("killpoint: armed to fail here")

// A trap is what is armed at one side of a point.
type trap struct {
	skip int // how often the point is passed before it springs
	mode Mode
}

type place struct {
	point Point
	phase Phase
}

var (
	mu    sync.Mutex
	traps = map[place]trap{}
	hits  = map[place]int{}
	log   string // file that each trap that springs is written to
)

func init() {
	log = os.Getenv("WAXWING_KILLPOINT_LOG")
	if err := ArmAll(os.Getenv("WAXWING_KILLPOINTS")); err != nil {
		panic(err)
	}
}

// ArmAll arms what a text such as "outbox-send:after:3:kill,ack:before:1:error" says:
// point, phase, at which passing (from 1), what.
func ArmAll(text string) error {
	for one := range strings.SplitSeq(text, ",") {
		if one == "" {
			continue
		}
		f := strings.Split(one, ":")
		if len(f) != 4 {
			return fmt.Errorf("killpoint: %q is not point:phase:nth:mode", one)
		}
		nth, err := strconv.Atoi(f[2])
		if err != nil || nth < 1 {
			return fmt.Errorf("killpoint: %q: the third part is no number from 1", one)
		}
		Arm(Point(f[0]), Phase(f[1]), nth, Mode(f[3]))
	}
	return nil
}

// Arm has the nth passing from now (the next is 1) of a point do what mode says,
// once.
func Arm(p Point, ph Phase, nth int, m Mode) {
	mu.Lock()
	defer mu.Unlock()
	traps[place{p, ph}] = trap{nth - 1, m}
}

// Disarm disarms everything.
func Disarm() {
	mu.Lock()
	defer mu.Unlock()
	clear(traps)
}

// Hits is how often a point was passed.
func Hits(p Point, ph Phase) int {
	mu.Lock()
	defer mu.Unlock()
	return hits[place{p, ph}]
}

// At is called at a point. It returns nil unless an error or a hang is armed.
func At(ctx context.Context, p Point, ph Phase) error {
	m, sprung := pass(place{p, ph})
	if !sprung {
		return nil
	}
	record(p, ph, m)
	switch m {
	case Kill:
		die()
	case Stop:
		return syscall.Kill(os.Getpid(), syscall.SIGSTOP)
	case Hang:
		<-ctx.Done()
		return ctx.Err()
	}
	return fmt.Errorf("%w: %s %s", ErrHit, ph, p)
}

// pass counts a passing and says what springs at it.
func pass(at place) (Mode, bool) {
	mu.Lock()
	defer mu.Unlock()
	hits[at]++
	t, ok := traps[at]
	if !ok {
		return "", false
	}
	if t.skip > 0 {
		t.skip--
		traps[at] = t
		return "", false
	}
	delete(traps, at)
	return t.mode, true
}

// die ends the process. The signal needs a moment, in which nothing more may
// happen here.
func die() {
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {}
}

// record writes to the log, as a line, that a trap sprang.
func record(p Point, ph Phase, m Mode) {
	if log == "" {
		return
	}
	f, err := os.OpenFile(log, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		panic(err)
	}
	defer f.Close()
	fmt.Fprintf(f, "%d %s %s %s\n", os.Getpid(), p, ph, m)
}
