package saga_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/waxwing-mq/waxwing/internal/sqltest"
	"github.com/waxwing-mq/waxwing/saga"
)

// TestVersions: an instance stays with the version that it began with, and an
// engine that does not know it refuses to start.
func TestVersions(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, d sqltest.Database) {
		ctx := t.Context()
		k, v1 := newDesk(t, d), checkout(1)
		v2 := saga.Define[order]("checkout", 2).Step("all", build("stock", "all"), nil)
		register(t, k, v1, v2)
		if err := start(k, v1, "old", order{}); err != nil {
			t.Fatal(err)
		}
		if err := start(k, v2, "new", order{}); err != nil {
			t.Fatal(err)
		}
		k.look("new all action 1", "old reserve action 1")
		k.answer("new all action 1", "ok", nil)
		k.answer("old reserve action 1", "ok", nil)
		k.look("old charge action 1")
		k.is("new", "completed")
		k.is("old", "running")

		k.engine()
		register(t, k, saga.Define[order]("checkout", 2).Step("all", build("stock", "all"), nil))
		for _, run := range []func() error{func() error { return k.eng.Check(ctx) }, func() error { return k.eng.RunTimers(ctx) }, func() error { return k.eng.Run(ctx, nil) }} {
			if err := run(); !errors.Is(err, saga.ErrUnregistered) || !strings.Contains(err.Error(), "checkout v1 (1 under way)") {
				t.Fatalf("without version 1: %v", err)
			}
		}
		k.clock.now = k.clock.now.Add(time.Hour)
		if _, err := k.eng.FireTimers(ctx); !errors.Is(err, saga.ErrUnregistered) {
			t.Fatalf("a timer without version 1: %v", err)
		}

		k.engine()
		register(t, k, saga.Define[order]("checkout", 1).Step("something else", build("stock", "all"), nil))
		if err := k.eng.Check(ctx); !errors.Is(err, saga.ErrUnregistered) || !strings.Contains(err.Error(), "needs a new version") {
			t.Fatalf("with other steps: %v", err)
		}
		k.engine()
		register(t, k, checkout(1))
		if err := k.eng.Check(ctx); err != nil {
			t.Fatal(err)
		}
		k.pass(0) // the timer that was missed
		k.is("old", "running", "reserve done", "charge waiting", "ship ")
	})
}

// TestStart: what Start refuses leaves nothing.
func TestStart(t *testing.T) {
	k, def := newDesk(t, sqltest.New(t, "sqlite")), checkout(1)
	other := saga.Define[order]("other", 1).Step("s", build("stock", "s"), nil)
	broken := saga.Define[order]("broken", 1).Step("s", func(order) (saga.Command, error) { panic("no") }, nil)
	if err := start(k, def, "a", order{}); !errors.Is(err, saga.ErrUnregistered) {
		t.Fatal(err)
	}
	register(t, k, def, other, broken)
	if err := start(k, def, "a", order{}); err != nil {
		t.Fatal(err)
	}
	if err := start(k, other, "a", order{}); !errors.Is(err, saga.ErrExists) {
		t.Fatal(err)
	}
	if err := start(k, broken, "b", order{}); err == nil || !strings.Contains(err.Error(), "panic: no") {
		t.Fatal(err)
	}
	for _, id := range []string{"", strings.Repeat("x", 201)} {
		if err := start(k, def, id, order{}); err == nil {
			t.Fatalf("%q is no id", id)
		}
	}
	k.look("a reserve action 1")
	all, err := saga.List(t.Context(), k.db, saga.Filter{})
	if err != nil || len(all) != 1 {
		t.Fatal(all, err)
	}
}

// TestRegister: what is wrong with definitions is told, all of it.
func TestRegister(t *testing.T) {
	k := newDesk(t, sqltest.New(t, "sqlite"))
	b := build("stock", "x")
	for want, d := range map[string]saga.AnyDefinition{
		"has no step":            saga.Define[order]("a", 1),
		"version 0":              saga.Define[order]("a", 0).Step("s", b, nil),
		"its name must":          saga.Define[order]("", 1).Step("s", b, nil),
		"two steps s":            saga.Define[order]("a", 1).Step("s", b, nil).Step("s", b, nil),
		"second pivot":           saga.Define[order]("a", 1).Pivot("s", b).Pivot("t", b),
		"has no action":          saga.Define[order]("a", 1).Step("s", nil, nil),
		"never be sent":          saga.Define[order]("a", 1).Pivot("s", b).Step("t", b, b),
		"a stage without a step": saga.Define[order]("a", 1).Parallel(),
		"OnReply is for":         saga.Define[order]("a", 1).Step("s", b, nil, saga.OnReply(func(*trip, string) error { return nil })),
	} {
		if err := k.eng.Register(d); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v; want %q", err, want)
		}
	}
	register(t, k, checkout(1))
	if err := k.eng.Register(checkout(1)); err == nil {
		t.Error("a version can be registered twice")
	}
}

// TestTexts: ids and names that a database takes for others, or a participant's barrier
// together for others, are refused.
func TestTexts(t *testing.T) {
	k := newDesk(t, sqltest.New(t, "sqlite"))
	d := checkout(1)
	register(t, k, d)
	for _, text := range []string{"", "a ", "a\x00b", "a\xff"} {
		if err := start(k, d, text, order{}); err == nil {
			t.Errorf("the id %q is taken", text)
		}
		if err := k.eng.Register(saga.Define[order](text, 1).Step("s", build("stock", "all"), nil)); err == nil {
			t.Errorf("the name %q is taken", text)
		}
		if err := k.eng.Register(saga.Define[order]("x", 1).Step(text, build("stock", "all"), nil)); err == nil {
			t.Errorf("the step %q is taken", text)
		}
	}
	if err := k.eng.Register(saga.Define[order]("a/b", 1).Step("s", build("stock", "all"), nil)); err == nil {
		t.Error("a name with a slash is taken")
	}
	if err := start(k, d, " a/b ä", order{}); err != nil {
		t.Error(err)
	}
}
