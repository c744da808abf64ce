package amqpdiff

import (
	"flag"
	"fmt"
	"maps"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/waxwing-mq/waxwing/conformance/harness"
	"github.com/waxwing-mq/waxwing/internal/amqp/wire"
)

var (
	seed   = flag.Uint64("seed", 1, "the first script's seed; the others follow")
	number = flag.Int("scripts", 0, "number of scripts; 0: the sample, or with WAXWING_FULL=1 600")
	most   = flag.Int("most", 5, "differences after which to stop")
	pairs  = flag.Int("pairs", 0, "pairs of brokers that share the scripts; 0: one for each 250 scripts, 4 at most")
)

const shrinkTries = 60

// TestDifferential: Waxwing does what RabbitMQ does, but for the differences
// that are intended.
func TestDifferential(t *testing.T) {
	n := *number
	if n == 0 {
		n = harness.Pick(80, 600)
	}
	k := *pairs
	if k <= 0 {
		k = min(1+n/250, 4)
	}
	all := startPairs(t, k)
	p := all[0]
	t.Run("junk", func(t *testing.T) { allJunk(t, p) })
	t.Run("intended", func(t *testing.T) { intended(t, p) })
	t.Run("alike", func(t *testing.T) { alike(t, p) })
	t.Run("handover", func(t *testing.T) { handover(t, p) })
	t.Run("rare", func(t *testing.T) { rare(t, p) })
	t.Run("scripts", func(t *testing.T) { scripts(t, all, n) })
}

// scripts carries out n random ones. They wait for the brokers most of the time, so
// that several pairs are about as much faster.
func scripts(t *testing.T, all []*Pair, n int) {
	r := &run{t: t, known: map[string]int{}, shown: map[string]int{}}
	var workers sync.WaitGroup
	for _, p := range all {
		workers.Go(func() {
			for i := r.next.Add(1) - 1; i < int64(n) && !r.over.Load(); i = r.next.Add(1) - 1 {
				r.script(p, *seed+uint64(i))
			}
		})
	}
	workers.Wait()
	t.Logf("%d scripts, of which these ended in an intended difference: %v", n, r.known)
	t.Logf("scripts that showed: %v", r.shown)
	if r.over.Load() {
		return
	}
	for _, name := range missed(n, r.shown) {
		t.Errorf("%d scripts have not shown %s", n, name)
	}
}

// run is what several goroutines that carry out scripts share.
type run struct {
	t    *testing.T
	next atomic.Int64
	over atomic.Bool // there were enough differences, or a script that cannot be carried out

	mu           sync.Mutex
	known, shown map[string]int // scripts, by what they ended in and what they showed
	bad          int
}

// script carries out one script.
func (r *run) script(p *Pair, seed uint64) {
	before := maps.Clone(p.Seen)
	found, err := p.Confirm(Generate(seed))
	if err != nil {
		r.over.Store(true)
		r.t.Errorf("seed %d: %v", seed, err)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.over.Load() {
		return
	}
	for name, n := range p.Seen {
		if n > before[name] {
			r.shown[name]++
		}
	}
	switch {
	case found == nil:
	case found.Known != "":
		r.known[found.Known]++
	default:
		report(r.t, p, seed, found) // the others wait for the lock meanwhile: it is quieter so
		if r.bad++; r.bad >= *most {
			r.over.Store(true)
			r.t.Errorf("stopped at seed %d", seed)
		}
	}
}

// allJunk checks that what is no AMQP ends a connection as it does with RabbitMQ.
func allJunk(t *testing.T, p *Pair) {
	for i, raw := range junk("junk") {
		script := []Step{
			{Channel: 1, Method: &wire.QueueDeclare{Queue: "junk"}},
			{Channel: 1, Raw: raw},
		}
		found, err := p.Confirm(script)
		harness.Must(t, err)
		if found != nil && found.Known == "" {
			t.Errorf("%d: %x\n%s", i, raw, found)
		}
	}
}

// handover checks that a script can be carried out in which a queue was declared
// anew by another connection, to which it is exclusive, when its first one ends.
func handover(t *testing.T, p *Pair) {
	found, err := p.Run([]Step{
		declare("d"), on(&wire.QueueDelete{Queue: "d"}),
		{Conn: 1, Channel: 1, Method: &wire.QueueDeclare{Queue: "d", Exclusive: true, NoWait: true}},
		{Channel: 1, Leave: true},
	}, Steady)
	harness.Must(t, err)
	if found != nil {
		t.Errorf("step %d\n%s", found.Step, found)
	}
}

// report shrinks the script of a seed, which showed first, and says what it shows.
func report(t *testing.T, p *Pair, seed uint64, first *Found) {
	script, found, err := p.Shrink(Generate(seed), shrinkTries)
	if err != nil {
		t.Errorf("seed %d: %v", seed, err)
		return
	}
	if found == nil {
		t.Errorf("seed %d: a difference that comes and goes, at step %d:\n%v", seed, first.Step, first)
		return
	}
	var b strings.Builder
	for i, step := range script {
		fmt.Fprintf(&b, "  %2d %v\n", i, step)
	}
	t.Errorf("seed %d: make differential SEED=%d N=1: shortened, it differs at step %d:\n%s%v", seed, seed, found.Step, &b, found)
}
