package flow

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestModel plays sagas against participants with a barrier, while commands and
// replies come late, twice and in any order, timers fire, participants fail and
// operators press buttons; and then lets each come to its end.
func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t, drawPlan(t))
		w.apply(Event{Kind: Start})
		t.Repeat(map[string]func(*rapid.T){
			"command":  w.deliverCommand,
			"reply":    w.deliverReply,
			"timer":    w.fireTimer,
			"operator": w.pressButton,
			"":         w.check,
		})
		w.finish()
	})
}

// drawPlan draws a plan of up to four stages, with a pivot or without.
func drawPlan(t *rapid.T) *Plan {
	p, pivot := &Plan{}, rapid.IntRange(0, 4).Draw(t, "pivot")
	for i := range rapid.IntRange(1, 4).Draw(t, "stages") {
		n := rapid.IntRange(1, 3).Draw(t, "steps")
		if i == pivot {
			n = 1
		}
		s := Stage{Pivot: i == pivot}
		for j := range n {
			s.Steps = append(s.Steps, Step{
				Name:        fmt.Sprintf("s%d%c", i, 'a'+j),
				Compensable: i < pivot && rapid.IntRange(0, 4).Draw(t, "compensable") > 0,
				Timeout:     time.Duration(rapid.IntRange(0, 1).Draw(t, "timeout")) * time.Second,
				Attempts:    rapid.IntRange(0, 3).Draw(t, "attempts"),
				BackoffMin:  time.Second, BackoffMax: 4 * time.Second,
			})
		}
		p.Stages = append(p.Stages, s)
	}
	return p
}

// world is a saga and its participants.
type world struct {
	t        *rapid.T
	plan     *Plan
	s        Saga
	timers   map[string]bool
	commands []Effect        // sent, any of which may come (again)
	replies  []Event         // the same
	inbox    map[string]bool // the commands that came before
	barrier  map[string]Outcome
	did      []string // effects, in order: +step, -step
	skipped  bool     // an operator skipped something
}

func newWorld(t *rapid.T, p *Plan) *world {
	return &world{t: t, plan: p, timers: map[string]bool{}, inbox: map[string]bool{}, barrier: map[string]Outcome{}}
}

// apply takes an event, as the engine does.
func (w *world) apply(e Event) {
	live := w.s.State().Live()
	next, effects, ignored := w.plan.Decide(w.s, e)
	if ignored != "" {
		if len(effects) > 0 {
			w.t.Fatal("an ignored event has effects")
		}
		return
	}
	if !live {
		w.t.Fatalf("a saga that has ended goes on by %+v", e)
	}
	w.s = next
	var broken []Event
	for _, e := range effects {
		switch e.Do {
		case Send:
			if rapid.IntRange(0, 30).Draw(w.t, "broken") == 0 {
				broken = append(broken, Event{Kind: Broken, Step: e.Step, Op: e.Op, Error: "broken"})
				continue
			}
			w.commands = append(w.commands, e)
		case Set:
			w.timers[e.Step] = true
		case Clear:
			delete(w.timers, e.Step)
		}
	}
	for _, e := range broken {
		w.apply(e)
	}
}

func (w *world) deliverCommand(t *rapid.T) {
	if len(w.commands) == 0 {
		return
	}
	outcome := rapid.SampledFrom([]Outcome{OK, OK, OK, Rejected, Failed}).Draw(t, "outcome")
	w.participate(rapid.SampledFrom(w.commands).Draw(t, "command"), outcome)
}

// participate is a participant with an inbox and a barrier, that would answer with
// outcome.
func (w *world) participate(c Effect, outcome Outcome) {
	id := fmt.Sprint(c.Step, c.Op, c.Attempt)
	if w.inbox[id] {
		return
	}
	w.inbox[id] = true
	action, own := "+"+c.Step, "+"+c.Step
	if c.Op == Compensation {
		own = "-" + c.Step
	}
	before, taken := w.barrier[own]
	switch {
	case taken && !(before == Rejected && c.Again):
		outcome = before
	case c.Op == Compensation && w.barrier[action] != OK:
		if w.barrier[action] == "" {
			w.barrier[action] = Barred
		}
		w.barrier[own], outcome = OK, OK
	case outcome == OK:
		w.did = append(w.did, own)
		w.barrier[own] = OK
	case outcome == Rejected && c.Op == Action:
		w.barrier[own] = Rejected
	}
	w.replies = append(w.replies, Event{Kind: Reply, Step: c.Step, Op: c.Op, Attempt: c.Attempt, Outcome: outcome, Error: string(outcome)})
}

func (w *world) deliverReply(t *rapid.T) {
	if len(w.replies) == 0 {
		return
	}
	e := rapid.SampledFrom(w.replies).Draw(t, "reply")
	if e.Outcome == OK && e.Op == Action && rapid.IntRange(0, 9).Draw(t, "unusable") == 0 {
		e.Outcome = Unusable
	}
	w.apply(e)
}

func (w *world) fireTimer(t *rapid.T) {
	if len(w.timers) == 0 {
		return
	}
	var names []string
	for n := range w.timers {
		names = append(names, n)
	}
	slices.Sort(names)
	w.apply(Event{Kind: Timer, Step: rapid.SampledFrom(names).Draw(t, "timer")})
}

func (w *world) pressButton(t *rapid.T) {
	if w.s.State() != Attention {
		return
	}
	if rapid.IntRange(0, 5).Draw(t, "skip") == 0 {
		w.skipped = true
		w.apply(Event{Kind: Skip})
		return
	}
	w.apply(Event{Kind: Retry})
}

// check is what holds at any time.
func (w *world) check(t *rapid.T) {
	seen := map[string]bool{}
	last := ""
	for _, d := range w.did {
		if seen[d] {
			t.Fatalf("%s happened twice: %v", d, w.did)
		}
		seen[d] = true
		if d[0] != '-' {
			continue
		}
		if !seen["+"+d[1:]] {
			t.Fatalf("%s was compensated before it happened: %v", d[1:], w.did)
		}
		if last != "" && d[1:] > last && !w.skipped { // the skipped one may come late
			t.Fatalf("%s was compensated after %s: %v", d[1:], last, w.did)
		}
		last = d[1:]
	}
	if last != "" && w.s.Stage > w.plan.pivot() {
		t.Fatalf("compensated after the pivot: %v", w.did)
	}
	w.checkOpen(t)
}

// checkOpen: a live saga waits for something, and in turn while it compensates.
func (w *world) checkOpen(t *rapid.T) {
	open, undoing := 0, 0
	for _, s := range w.s.Steps {
		switch s.Status {
		case Sent, Waiting, Stuck:
			open++
		case Undoing, UndoWaiting, UndoStuck:
			undoing++
		}
		if (s.Status == Waiting || s.Status == UndoWaiting) && !w.timers[s.Name] {
			t.Fatalf("%s waits for no timer", s.Name)
		}
	}
	switch w.s.State() {
	case Completed, Compensated:
		if open+undoing > 0 || len(w.timers) > 0 {
			t.Fatalf("it has ended with %+v, timers %v", w.s, w.timers)
		}
	default:
		if open+undoing == 0 || open > 0 && undoing > 0 || undoing > 1 {
			t.Fatalf("%d open, %d undoing: %+v", open, undoing, w.s)
		}
	}
}

// finish lets everything succeed, and checks how the saga ended.
func (w *world) finish() {
	for range 200 {
		if !w.s.State().Live() {
			break
		}
		w.apply(Event{Kind: Retry})
		for _, c := range w.commands {
			w.participate(c, OK)
		}
		for _, r := range w.replies {
			w.apply(r)
		}
		for _, s := range w.s.Steps {
			if w.timers[s.Name] && (s.Status == Waiting || s.Status == UndoWaiting) {
				w.apply(Event{Kind: Timer, Step: s.Name})
			}
		}
	}
	if w.s.State().Live() {
		w.t.Fatalf("it does not come to an end: %+v", w.s)
	}
	// What was sent and never came comes now.
	for _, c := range w.commands {
		w.participate(c, OK)
	}
	w.check(w.t)
	if !w.skipped {
		w.checkEnd()
	}
}

// checkEnd: it is fully done or fully undone.
func (w *world) checkEnd() {
	for _, s := range w.plan.steps() {
		did, undid := slices.Contains(w.did, "+"+s.Name), slices.Contains(w.did, "-"+s.Name)
		switch {
		case w.s.State() == Completed && (!did || undid):
			w.t.Fatalf("completed: %s: done %t, undone %t", s.Name, did, undid)
		case w.s.State() == Compensated && s.Compensable && did != undid:
			w.t.Fatalf("compensated: %s: done %t, undone %t", s.Name, did, undid)
		}
	}
	if p := w.plan.pivot(); w.s.State() == Compensated && p < len(w.plan.Stages) && slices.Contains(w.did, "+"+w.plan.Stages[p].Steps[0].Name) {
		w.t.Fatal("compensated although the pivot has happened")
	}
}
