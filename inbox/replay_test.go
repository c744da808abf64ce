package inbox_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/waxwing-mq/waxwing/bus"
	"github.com/waxwing-mq/waxwing/inbox"
	"github.com/waxwing-mq/waxwing/internal/sqltest"
)

// deadLetters makes n of them, without keys.
func (l *lab) deadLetters(n int) []int64 {
	l.t.Helper()
	in := l.inbox(func(*bus.Delivery) error { return inbox.DeadLetter(errBoom) })
	for m := range n {
		l.process(in, msg(fmt.Sprint("d", m), ""))
	}
	return l.ids(inbox.Filter{})
}

// ids are those of the dead letters that a filter chooses.
func (l *lab) ids(f inbox.Filter) (ids []int64) {
	l.t.Helper()
	all, err := inbox.ListDeadLetters(l.t.Context(), l.db, f)
	if err != nil {
		l.t.Fatal(err)
	}
	for _, d := range all {
		ids = append(ids, d.ID)
	}
	return ids
}

// replay replays.
func (l *lab) replay(f inbox.Filter, o inbox.ReplayOptions) inbox.Replay {
	l.t.Helper()
	r, err := inbox.ReplayDeadLetters(l.t.Context(), l.db, f, o)
	if err != nil {
		l.t.Fatal(err)
	}
	return r
}

// TestShow: a dead letter is as it came.
func TestShow(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, d sqltest.Database) {
		l := newLab(t, d)
		in := l.inbox(func(*bus.Delivery) error { return inbox.DeadLetter(errBoom) })
		m := seq("a", "k\x00", 1)
		m.Time, m.ContentType, m.Body = time.Unix(1_700_000_000, 5000).UTC(), "text/plain", []byte("\x00body")
		m.Position = &bus.Position{Topic: "orders", Partition: 2, Offset: 9}
		l.process(in, m, msg("b", "k\x00"))
		ids := l.ids(inbox.Filter{Key: "k\x00", Consumer: "billing", Topic: "orders"})
		if len(ids) != 1 {
			t.Fatal(ids)
		}
		got, err := inbox.ShowDeadLetter(t.Context(), l.db, ids[0])
		if err != nil {
			t.Fatal(err)
		}
		if fmt.Sprintf("%+v", got.Message) != fmt.Sprintf("%+v", m.Message) || *got.Position != *m.Position {
			t.Errorf("it is %+v, was %+v", got.Message, m.Message)
		}
		if got.Behind != 1 || got.Attempts != 1 || got.Size != 5 || got.State != "dead" || !got.FailedAt.Equal(l.clock()) {
			t.Errorf("%+v", got)
		}
		if _, err := inbox.ShowDeadLetter(t.Context(), l.db, 999); !errors.Is(err, inbox.ErrNotFound) {
			t.Error(err)
		}
		if none := l.ids(inbox.Filter{Consumer: "other"}); none != nil {
			t.Error(none)
		}
	})
}

// TestReplay: a dead letter that is replayed is handled once, also if it was seen
// before and later ones were; a dry run changes nothing.
func TestReplay(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, d sqltest.Database) {
		l := newLab(t, d)
		ill := true
		in := l.inbox(func(m *bus.Delivery) error {
			if ill && m.ID == "a" {
				return inbox.DeadLetter(errBoom)
			}
			return nil
		}, inbox.Unordered())
		l.process(in, seq("a", "k", 1), seq("b", "k", 2))
		l.want("b")
		ids := l.ids(inbox.Filter{})
		if r := l.replay(inbox.Filter{}, inbox.ReplayOptions{DryRun: true}); !slices.Equal(r.IDs, ids) || !r.Done {
			t.Fatal(r)
		}
		l.wantStates("a:dead")
		if r := l.replay(inbox.Filter{}, inbox.ReplayOptions{}); !slices.Equal(r.IDs, ids) || !r.Done || r.Resumed {
			t.Fatal(r)
		}
		l.wantStates("a:retry")
		ill = false
		l.retry(in)
		l.retry(in)
		l.process(in, seq("a", "k", 1))
		l.want("b", "a")
		l.wantStates()
		if r := l.replay(inbox.Filter{}, inbox.ReplayOptions{}); len(r.IDs) != 0 || !r.Done {
			t.Fatal(r)
		}
	})
}

// TestReplayGoesOn: a replay that was stopped goes on where it stopped, and does not
// take what has failed again meanwhile.
func TestReplayGoesOn(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, d sqltest.Database) {
		l := newLab(t, d)
		ids := l.deadLetters(5)
		f := inbox.Filter{Consumer: "billing", Limit: 2}
		if r := l.replay(f, inbox.ReplayOptions{}); !slices.Equal(r.IDs, ids[:2]) || r.Done {
			t.Fatal(r)
		}
		in := l.inbox(func(*bus.Delivery) error { return inbox.DeadLetter(errBoom) })
		l.retry(in) // they fail again
		l.process(in, msg("later", ""))
		if r := l.replay(f, inbox.ReplayOptions{}); !slices.Equal(r.IDs, ids[2:4]) || r.Done || !r.Resumed {
			t.Fatal(r)
		}
		f.Limit = 0
		if r := l.replay(f, inbox.ReplayOptions{}); !slices.Equal(r.IDs, ids[4:]) || !r.Done || !r.Resumed {
			t.Fatal(r)
		}
		if r := l.replay(f, inbox.ReplayOptions{DryRun: true}); len(r.IDs) != 3 || r.Resumed {
			t.Fatal(r)
		}
		f.Limit = 1
		l.replay(f, inbox.ReplayOptions{})
		f.Limit = 0
		l.retry(in)
		if r := l.replay(f, inbox.ReplayOptions{Restart: true, DryRun: true}); len(r.IDs) != 6 || r.Resumed {
			t.Fatal(r)
		}
	})
}

// TestReplayIsInterrupted: what was replayed before the interruption is not replayed
// again.
func TestReplayIsInterrupted(t *testing.T) {
	l := newLab(t, sqltest.New(t, "postgres"))
	ids := l.deadLetters(3)
	l.replay(inbox.Filter{Limit: 1}, inbox.ReplayOptions{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := inbox.ReplayDeadLetters(ctx, l.db, inbox.Filter{}, inbox.ReplayOptions{}); err == nil {
		t.Fatal("no error")
	}
	if r := l.replay(inbox.Filter{}, inbox.ReplayOptions{}); !slices.Equal(r.IDs, ids[1:]) || !r.Resumed {
		t.Fatal(r)
	}
}

// TestReplayLoop: what fails each time is not replayed for ever.
func TestReplayLoop(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, d sqltest.Database) {
		l := newLab(t, d)
		ids := l.deadLetters(1)
		in := l.inbox(func(*bus.Delivery) error { return inbox.DeadLetter(errBoom) })
		for n := range inbox.MaxReplays + 1 {
			r := l.replay(inbox.Filter{}, inbox.ReplayOptions{})
			if guarded := n == inbox.MaxReplays; guarded && !slices.Equal(r.Guarded, ids) || !guarded && !slices.Equal(r.IDs, ids) {
				t.Fatalf("replay %d: %+v", n+1, r)
			}
			l.retry(in)
		}
		if r := l.replay(inbox.Filter{IDs: ids}, inbox.ReplayOptions{Force: true}); !slices.Equal(r.IDs, ids) {
			t.Fatal(r)
		}
		l.wantStates("d0:retry")
	})
}

// TestDrop: what is dropped has no effect, also if it comes again.
func TestDrop(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, d sqltest.Database) {
		l := newLab(t, d)
		ids := l.deadLetters(3)
		if _, err := inbox.DropDeadLetters(t.Context(), l.db, inbox.Filter{}, false); err == nil {
			t.Fatal("everything is dropped")
		}
		for _, dry := range []bool{true, false} {
			got, err := inbox.DropDeadLetters(t.Context(), l.db, inbox.Filter{Consumer: "billing", Limit: 2}, dry)
			if err != nil || !slices.Equal(got, ids[:2]) {
				t.Fatal(got, err)
			}
		}
		l.process(l.inbox(nil), msg("d0", ""))
		l.want()
		l.wantStates("d2:dead")
	})
}
