package waxtest_test

import (
	"strings"
	"testing"

	"github.com/waxwing-mq/waxwing/waxtest"
)

// TestChecks: each check accepts what is right, and says what is wrong.
func TestChecks(t *testing.T) {
	causes := []waxtest.Cause{{ID: "a", Key: "k", Version: 1}, {ID: "b", Key: "k", Version: 2}}
	a := waxtest.Effect{Consumer: "c", CauseID: "a", Key: "k", Version: 1}
	b := waxtest.Effect{Consumer: "c", CauseID: "b", Key: "k", Version: 2}
	effects := func(e ...waxtest.Effect) []waxtest.Effect { return e }
	saga := func(state string, effects ...waxtest.SagaEffect) []waxtest.Violation {
		return waxtest.SagasEnded([]waxtest.SagaRun{{ID: "s", State: state, Effects: effects, Steps: []waxtest.SagaStep{{"one", 0}, {"two", 1}, {"three", 1}, {"four", 2}}}})
	}
	do := func(step string) waxtest.SagaEffect { return waxtest.SagaEffect{Step: step, Op: "action"} }
	undo := func(step string) waxtest.SagaEffect { return waxtest.SagaEffect{Step: step, Op: "compensation"} }
	once := func(dead map[string][]string, e ...waxtest.Effect) []waxtest.Violation {
		return waxtest.EachEffectOnce(causes, e, []string{"c"}, dead)
	}
	for name, c := range map[string]struct {
		found []waxtest.Violation
		want  string // part of what is said; empty if nothing
	}{
		"once":                      {once(nil, a, b), ""},
		"twice":                     {once(nil, a, b, b), "2 effects of b"},
		"lost":                      {once(nil, b), "0 effects of a"},
		"dead":                      {once(map[string][]string{"c": {"a"}}, b), ""},
		"dead and yet done":         {once(map[string][]string{"c": {"a"}}, a, b), "1 effects of a"},
		"caused":                    {waxtest.NoEffectWithoutCause(causes, effects(a, b)), ""},
		"invented":                  {waxtest.NoEffectWithoutCause(causes[:1], effects(a, b)), "acted on b"},
		"ordered":                   {waxtest.OrderPerKey(effects(a, b)), ""},
		"reordered":                 {waxtest.OrderPerKey(effects(b, a)), "version 1 of key \"k\" after version 2"},
		"reordered, hidden between": {waxtest.OrderPerKey(effects(a, b, a, b)), "version 1"},
		"two consumers":             {waxtest.OrderPerKey(effects(b, waxtest.Effect{Consumer: "d", CauseID: "a", Key: "k", Version: 1})), ""},
		"conserved":                 {waxtest.Conserved("money", 10, map[string]int64{"a": 12, "b": -2}), ""},
		"made":                      {waxtest.Conserved("money", 10, map[string]int64{"a": 12, "b": -1}), "add up to 11, want 10"},
		"accounted":                 {waxtest.AllAccounted("c", waxtest.Accounts{In: 3, Effects: 2, DeadLetters: 1}), ""},
		"not accounted":             {waxtest.AllAccounted("c", waxtest.Accounts{In: 3, Effects: 2}), "3 came in"},
		"in flight":                 {waxtest.AllAccounted("c", waxtest.Accounts{In: 3, Effects: 2, InFlight: 1}), "still in flight"},
		"same":                      {waxtest.NothingAdded(effects(a, b), effects(b, a)), ""},
		"added":                     {waxtest.NothingAdded(effects(a), effects(a, a)), "acted once more on a"},
		"taken":                     {waxtest.NothingAdded(effects(a, b), effects(a)), "b at c is gone"},
		"fired":                     {waxtest.FaultsFired([]waxtest.Fault{{"f", 1, 1}}), ""},
		"no faults":                 {waxtest.FaultsFired(nil), "there were none"},
		"not fired":                 {waxtest.FaultsFired([]waxtest.Fault{{"f", 0, 1}}), "never happened"},
		"idle":                      {waxtest.FaultsFired([]waxtest.Fault{{"f", 1, 0}}), "nothing was under way"},
		"noticed":                   {waxtest.Notices("x", []waxtest.Violation{{}}), ""},
		"not noticed":               {waxtest.Notices("x", nil), "without the safeguard \"x\""},
		"done":                      {saga("completed", do("one"), do("three"), do("two"), do("four")), ""},
		"half done":                 {saga("completed", do("one"), do("three"), do("two")), "four was done 0 times"},
		"undone":                    {saga("compensated", do("one"), do("two"), undo("two"), undo("one")), ""},
		"half undone":               {saga("compensated", do("one"), do("two"), undo("two")), "one was done 1 times, compensated 0"},
		"undone forward":            {saga("compensated", do("one"), do("two"), undo("one"), undo("two")), "two was compensated after a step before it"},
		"undone before done":        {saga("compensated", undo("one"), do("one")), "one was compensated before it was done"},
		"undone in parallel":        {saga("compensated", do("one"), do("two"), do("three"), undo("two"), undo("three"), undo("one")), ""},
		"done twice":                {saga("completed", do("one"), do("one"), do("two"), do("three"), do("four")), "action of one happened 2 times"},
		"stuck":                     {saga("running", do("one")), "s is running"},
	} {
		got := waxtest.Report(c.found)
		if c.want == "" && got != "" || !strings.Contains(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}
