package amqpdiff

import (
	"flag"
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/waxwing-mq/waxwing/conformance/harness"
	"github.com/waxwing-mq/waxwing/internal/amqp/wire"
)

var (
	seed   = flag.Uint64("seed", 1, "the first script's seed; the others follow")
	number = flag.Int("n", 0, "number of scripts; 0: the sample, or with WAXWING_FULL=1 3,000")
	most   = flag.Int("most", 5, "differences after which to stop")
)

const shrinkTries = 60

// TestDifferential: Waxwing does what RabbitMQ does, but for the differences
// that are intended.
func TestDifferential(t *testing.T) {
	p, err := NewPair(startWaxwing(t), startRabbitMQ(t))
	harness.Must(t, err)
	defer p.Close()
	t.Run("junk", func(t *testing.T) { allJunk(t, p) })
	t.Run("intended", func(t *testing.T) { intended(t, p) })
	t.Run("handover", func(t *testing.T) { handover(t, p) })
	t.Run("rare", func(t *testing.T) { rare(t, p) })
	t.Run("scripts", func(t *testing.T) { scripts(t, p) })
}

// scripts carries out random ones.
func scripts(t *testing.T, p *Pair) {
	n := *number
	if n == 0 {
		n = harness.Pick(150, 3000)
	}
	known, shown := map[string]int{}, map[string]int{}
	bad := 0
	for i := range n {
		s := *seed + uint64(i)
		before := maps.Clone(p.Seen)
		found, err := p.Confirm(Generate(s))
		if err != nil {
			t.Fatalf("seed %d: %v", s, err)
		}
		for name, n := range p.Seen {
			if n > before[name] {
				shown[name]++
			}
		}
		switch {
		case found == nil:
		case found.Known != "":
			known[found.Known]++
		default:
			report(t, p, s)
			if bad++; bad >= *most {
				t.Fatalf("stopped at seed %d", s)
			}
		}
	}
	t.Logf("%d scripts, of which these ended in an intended difference: %v", n, known)
	t.Logf("scripts that showed: %v", shown)
	for _, name := range missed(n, shown) {
		t.Errorf("%d scripts have not shown %s", n, name)
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

// report shrinks a script and says what it shows.
func report(t *testing.T, p *Pair, seed uint64) {
	script, found, err := p.Shrink(Generate(seed), shrinkTries)
	if err != nil {
		t.Errorf("seed %d: %v", seed, err)
		return
	}
	if found == nil {
		t.Errorf("seed %d: a difference that comes and goes", seed)
		return
	}
	var b strings.Builder
	for i, step := range script {
		fmt.Fprintf(&b, "  %2d %v\n", i, step)
	}
	t.Errorf("seed %d: make differential SEED=%d N=1: shortened, it differs at step %d:\n%s%v", seed, seed, found.Step, &b, found)
}
