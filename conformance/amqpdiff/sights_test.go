package amqpdiff

import (
	"slices"
	"testing"

	"github.com/waxwing-mq/waxwing/conformance/harness"
	"github.com/waxwing-mq/waxwing/internal/amqp/wire"
)

// get gets a message of a queue, which is then the first that is not settled.
func get(queue string) Step { return on(&wire.BasicGet{Queue: queue}) }

// giveBack settles it by a method.
func giveBack(m wire.Method) Step { return Step{Channel: 1, Method: m, Settle: &Settle{}} }

// deadLettersTo declares a queue whose dead letters go to another.
func deadLettersTo(name, other string, args ...any) Step {
	return declare(name, append(args, "x-dead-letter-exchange", "", "x-dead-letter-routing-key", other)...)
}

// rareScripts show the sights that are too rare to be counted on.
var rareScripts = map[string][]Step{
	"a refused publish": {
		declare("d", "x-max-length", 0, "x-overflow", "reject-publish"), on(&wire.ConfirmSelect{}), publish("d", "m", 0, ""),
	},
	"a death by length": {deadLettersTo("d", "e", "x-max-length", 0), declare("e"), publish("d", "m", 0, "")},
	"a death by age":    {deadLettersTo("d", "e"), declare("e"), publish("d", "m", 0, "0")},
	"a death by deliveries": {
		deadLettersTo("d", "e", "x-queue-type", "quorum", "x-delivery-limit", 0), declare("e"),
		publish("d", "m", 0, ""), get("d"), giveBack(&wire.BasicReject{Requeue: true}),
	},
	"a second death": {
		deadLettersTo("d", "d"), publish("d", "m", 0, ""),
		get("d"), giveBack(&wire.BasicReject{}), get("d"), giveBack(&wire.BasicReject{}),
	},
	"two lines of x-death": {
		deadLettersTo("d", "e"), deadLettersTo("e", "f"), declare("f"), publish("d", "m", 0, ""),
		get("d"), giveBack(&wire.BasicReject{}), get("e"), giveBack(&wire.BasicReject{}),
	},
}

// rare checks that rareScripts show what they are for, and that both brokers do
// the same.
func rare(t *testing.T, p *Pair) {
	for name, script := range rareScripts {
		before := p.Seen[name]
		found, err := p.Run(script, Steady)
		harness.Must(t, err)
		if found != nil {
			t.Errorf("%s: it differs at step %d\n%v", name, found.Step, found)
		}
		if p.Seen[name] == before {
			t.Errorf("%s is not shown", name)
		}
	}
}

// TestMissed: a block of scripts has to show a sight if it is large enough for it,
// and what no block has to show has a script of its own.
func TestMissed(t *testing.T) {
	all := map[string]int{}
	for _, s := range sights {
		all[s.name] = 1
		if _, ok := rareScripts[s.name]; ok != (s.rare == 0) {
			t.Errorf("%s: one script in %d; a script of its own: %v", s.name, s.rare, ok)
		}
	}
	if names := missed(1_000_000, all); names != nil {
		t.Errorf("all were shown: %q", names)
	}
	common := sights[0]
	delete(all, common.name)
	n := sureTimes * common.rare
	if names := missed(n, all); !slices.Equal(names, []string{common.name}) {
		t.Errorf("%d scripts: %q", n, names)
	}
	if names := missed(n-1, all); names != nil {
		t.Errorf("%d scripts: %q", n-1, names)
	}
}
