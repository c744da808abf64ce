package flow

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
)

// TestTranscripts plays testdata/transcripts. Rewrite the answers with:
// go test -run TestTranscripts -rewrite
//
//	define            a stage per line: steps, each name or name! if it has no
//	                  compensation; a line that begins with "pivot" is the pivot
//	start
//	reply s op n outcome [error]
//	timer s | broken s op | retry | skip
func TestTranscripts(t *testing.T) {
	datadriven.Walk(t, "testdata/transcripts", func(t *testing.T, path string) {
		s := &script{}
		datadriven.RunTest(t, path, s.run)
	})
}

type script struct {
	plan Plan
	saga Saga
}

func (s *script) run(t *testing.T, d *datadriven.TestData) string {
	word := func(i int) string {
		if i < len(d.CmdArgs) {
			return d.CmdArgs[i].Key
		}
		return ""
	}
	switch d.Cmd {
	case "define":
		s.define(t, d)
		return ""
	case "start":
		return s.take(Event{Kind: Start})
	case "reply":
		e := Event{Kind: Reply, Step: word(0), Op: Op(word(1)), Outcome: Outcome(word(3)), Error: word(4)}
		if _, err := fmt.Sscan(word(2), &e.Attempt); err != nil {
			d.Fatalf(t, "%v", err)
		}
		return s.take(e)
	case "timer":
		return s.take(Event{Kind: Timer, Step: word(0)})
	case "broken":
		return s.take(Event{Kind: Broken, Step: word(0), Op: Op(word(1)), Error: "broken"})
	case "retry":
		return s.take(Event{Kind: Retry})
	case "skip":
		return s.take(Event{Kind: Skip})
	}
	d.Fatalf(t, "unknown command %s", d.Cmd)
	return ""
}

// define reads a plan; each step has 10 s for a reply and 2 attempts, 1 s apart.
func (s *script) define(t *testing.T, d *datadriven.TestData) {
	s.plan, s.saga = Plan{}, Saga{}
	for line := range strings.Lines(d.Input) {
		stage := Stage{}
		for _, name := range strings.Fields(line) {
			if name == "pivot" {
				stage.Pivot = true
				continue
			}
			name, bare := strings.CutSuffix(name, "!")
			stage.Steps = append(stage.Steps, Step{
				Name: name, Compensable: !bare && !stage.Pivot, Timeout: 10 * time.Second,
				Attempts: 2, BackoffMin: time.Second, BackoffMax: time.Second,
			})
		}
		s.plan.Stages = append(s.plan.Stages, stage)
	}
}

// take applies an event and tells effects and state.
func (s *script) take(e Event) string {
	next, effects, ignored := s.plan.Decide(s.saga, e)
	if ignored != "" {
		return "ignored: " + ignored + "\n"
	}
	s.saga = next
	var b strings.Builder
	for _, f := range effects {
		switch f.Do {
		case Send:
			fmt.Fprintf(&b, "send %s %s %d", f.Step, f.Op, f.Attempt)
			if f.Again {
				b.WriteString(" again")
			}
		case Accept:
			fmt.Fprintf(&b, "accept %s", f.Step)
		case Set:
			fmt.Fprintf(&b, "timer %s %v", f.Step, f.After)
		case Clear:
			fmt.Fprintf(&b, "no timer %s", f.Step)
		}
		b.WriteByte('\n')
	}
	fmt.Fprintf(&b, "= %s:", next.State())
	for _, st := range next.Steps {
		if st.Status != Idle {
			fmt.Fprintf(&b, " %s=%s", st.Name, st.Status)
		}
	}
	if next.Reason != "" {
		fmt.Fprintf(&b, " (%s)", next.Reason)
	}
	return b.String() + "\n"
}
