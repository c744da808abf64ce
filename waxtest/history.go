package waxtest

import (
	"fmt"
	"slices"
	"strings"
)

// A Cause is a fact that a transaction committed and that consumers are to act on:
// usually one row of the outbox.
type Cause struct {
	ID      string // of the event
	Key     string // what it is about
	Version int64  // its place among those of its key, in the order of the commits
}

// An Effect is what a consumer did, once, because of a cause. Write effects where
// nothing hides a second one: in a table without a unique key, such as Ledger's.
type Effect struct {
	Consumer string
	CauseID  string
	Key      string
	Version  int64
	Amount   int64 // money or stock that moved, for checks of conservation
}

// A Violation is what a check found.
type Violation struct {
	Check string // the check's name
	What  string // what is wrong, for people
}

func (v Violation) String() string { return v.Check + ": " + v.What }

// violations gathers what one check finds, up to a bound that fits a screen.
type violations struct {
	check string
	found []Violation
	more  int
}

func (v *violations) add(format string, args ...any) {
	if len(v.found) < 10 {
		v.found = append(v.found, Violation{v.check, fmt.Sprintf(format, args...)})
	} else {
		v.more++
	}
}

func (v *violations) all() []Violation {
	if v.more > 0 {
		return append(v.found, Violation{v.check, fmt.Sprintf("and %d more", v.more)})
	}
	return v.found
}

// once identifies the effect that one consumer may have of one cause.
type once struct{ consumer, cause string }

// EachEffectOnce is the first check: each cause has exactly one effect at each
// consumer, except those that a consumer put aside as dead letters, which have
// none. dead are their ids by consumer, nil if there are none.
func EachEffectOnce(causes []Cause, effects []Effect, consumers []string, dead map[string][]string) []Violation {
	v := violations{check: "each effect once"}
	count := map[once]int{}
	for _, e := range effects {
		count[once{e.Consumer, e.CauseID}]++
	}
	for _, consumer := range consumers {
		for _, c := range causes {
			want := 1
			if slices.Contains(dead[consumer], c.ID) {
				want = 0
			}
			if n := count[once{consumer, c.ID}]; n != want {
				v.add("%s has %d effects of %s (key %q, version %d), want %d", consumer, n, c.ID, c.Key, c.Version, want)
			}
		}
	}
	return v.all()
}

// NoEffectWithoutCause is the second check: nothing was done because of something
// that did not happen.
func NoEffectWithoutCause(causes []Cause, effects []Effect) []Violation {
	v := violations{check: "no effect without a cause"}
	known := map[string]bool{}
	for _, c := range causes {
		known[c.ID] = true
	}
	for _, e := range effects {
		if !known[e.CauseID] {
			v.add("%s acted on %s, which nobody committed", e.Consumer, e.CauseID)
		}
	}
	return v.all()
}

// OrderPerKey is the third check: each consumer acted on the causes of a key in
// the order of their versions. effects are in the order in which they were
// committed. A second effect of the same version is left to EachEffectOnce.
func OrderPerKey(effects []Effect) []Violation {
	v := violations{check: "order per key"}
	last := map[once]int64{}
	for _, e := range effects {
		at := once{e.Consumer, e.Key}
		before, seen := last[at]
		if seen && e.Version < before {
			v.add("%s acted on version %d of key %q after version %d", e.Consumer, e.Version, e.Key, before)
		}
		last[at] = max(before, e.Version)
	}
	return v.all()
}

// Conserved is the fourth check: nothing of a quantity, such as all money or all
// stock, was made or lost. parts are where it is now; they must add up to total.
func Conserved(name string, total int64, parts map[string]int64) []Violation {
	v := violations{check: "conservation"}
	var sum int64
	for _, n := range parts {
		sum += n
	}
	if sum != total {
		v.add("%s: %v add up to %d, want %d", name, parts, sum, total)
	}
	return v.all()
}

// A SagaRun is how an instance of a saga went.
type SagaRun struct {
	ID    string
	State string // at the end: "completed" or "compensated", if it went well
	// Steps are its steps in their order; those that ran in parallel have the same Group.
	Steps []SagaStep
	// Effects are the step's effects in the order of their commits, such as {"charge",
	// "action"} and {"charge", "compensation"}.
	Effects []SagaEffect
}

// A SagaStep is a step of a saga's definition.
type SagaStep struct {
	Name  string
	Group int
}

// A SagaEffect is what a participant did for a step.
type SagaEffect struct {
	Step string
	Op   string // "action" or "compensation"
}

// SagasEnded is the fifth check: each instance is fully done or fully compensated,
// nothing happened twice, and compensations went in reverse.
func SagasEnded(runs []SagaRun) []Violation {
	v := violations{check: "sagas end"}
	for i := range runs {
		sagaEnded(&v, &runs[i])
	}
	return v.all()
}

func sagaEnded(v *violations, r *SagaRun) {
	count := map[SagaEffect]int{}
	undone := -1 // group of the compensation before
	group := map[string]int{}
	for _, s := range r.Steps {
		group[s.Name] = s.Group
	}
	for _, e := range r.Effects {
		if count[e]++; count[e] > 1 {
			v.add("%s: %s of %s happened %d times", r.ID, e.Op, e.Step, count[e])
		}
		if e.Op != "compensation" {
			continue
		}
		if count[SagaEffect{e.Step, "action"}] == 0 {
			v.add("%s: %s was compensated before it was done", r.ID, e.Step)
		}
		if g := group[e.Step]; undone >= 0 && g > undone {
			v.add("%s: %s was compensated after a step before it", r.ID, e.Step)
		} else {
			undone = g
		}
	}
	for _, s := range r.Steps {
		did, undid := count[SagaEffect{s.Name, "action"}], count[SagaEffect{s.Name, "compensation"}]
		switch r.State {
		case "completed":
			if did != 1 || undid != 0 {
				v.add("%s is completed, and %s was done %d times, compensated %d times", r.ID, s.Name, did, undid)
			}
		case "compensated":
			if did != undid {
				v.add("%s is compensated, and %s was done %d times, compensated %d times", r.ID, s.Name, did, undid)
			}
		}
	}
	if r.State != "completed" && r.State != "compensated" {
		v.add("%s is %s", r.ID, r.State)
	}
}

// Accounts are the figures of the sixth check, of one consumer.
type Accounts struct {
	In          int // distinct messages that were meant for it
	Effects     int
	DeadLetters int
	InFlight    int // in the outbox, at the broker, parked
}

// AllAccounted is the sixth check: what came in is what had an effect, is a dead
// letter or is under way; and at rest, when the others have ended, nothing is.
func AllAccounted(consumer string, a Accounts) []Violation {
	v := violations{check: "all accounted for"}
	if a.In != a.Effects+a.DeadLetters+a.InFlight {
		v.add("%s: %d came in; %d effects, %d dead letters and %d in flight make %d", consumer, a.In, a.Effects, a.DeadLetters, a.InFlight, a.Effects+a.DeadLetters+a.InFlight)
	}
	if a.InFlight != 0 {
		v.add("%s: %d are still in flight", consumer, a.InFlight)
	}
	return v.all()
}

// NothingAdded is the seventh check: after everything was delivered once more,
// effects are what they were before.
func NothingAdded(before, after []Effect) []Violation {
	v := violations{check: "replay adds nothing"}
	had := map[Effect]int{}
	for _, e := range before {
		had[e]++
	}
	for _, e := range after {
		if had[e]--; had[e] < 0 {
			v.add("%s acted once more on %s", e.Consumer, e.CauseID)
		}
	}
	for e, n := range had {
		if n > 0 {
			v.add("the effect of %s at %s is gone", e.CauseID, e.Consumer)
		}
	}
	return v.all()
}

// A Fault is something bad that was to happen during a run.
type Fault struct {
	Name     string
	Fired    int // how often it happened
	InFlight int // how much was under way when it did
}

// FaultsFired is the eighth check: each fault really happened, with work under way.
// Without it, a run in which nothing went wrong would prove nothing.
func FaultsFired(faults []Fault) []Violation {
	v := violations{check: "faults fired"}
	if len(faults) == 0 {
		v.add("there were none")
	}
	for _, f := range faults {
		switch {
		case f.Fired == 0:
			v.add("%s never happened", f.Name)
		case f.InFlight == 0:
			v.add("%s happened while nothing was under way", f.Name)
		}
	}
	return v.all()
}

// Notices is the ninth check, of the checks themselves: a run from which a safeguard
// was removed must have violations.
func Notices(safeguard string, found []Violation) []Violation {
	v := violations{check: "checks notice"}
	if len(found) == 0 {
		v.add("nothing was noticed without the safeguard %q", safeguard)
	}
	return v.all()
}

// Report is all violations as text, a line each.
func Report(found []Violation) string {
	var b strings.Builder
	for _, v := range found {
		b.WriteString(v.String())
		b.WriteByte('\n')
	}
	return b.String()
}
