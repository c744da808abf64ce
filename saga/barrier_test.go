package saga_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/waxwing-mq/waxwing/bus"
	"github.com/waxwing-mq/waxwing/internal/sqltest"
	"github.com/waxwing-mq/waxwing/saga"
)

// shop is a participant, with a ledger that has no unique key.
type shop struct {
	t *testing.T
	*service
	p   *saga.Participant[*sql.Tx]
	mu  sync.Mutex
	err error // what its handlers return after their writes
	n   int
}

func newShop(t *testing.T, d sqltest.Database) *shop {
	s := &shop{t: t, service: newService(t, d, "shop")}
	if _, err := s.pool.Exec("CREATE TABLE ledger (saga VARCHAR(100), amount INTEGER)"); err != nil {
		t.Fatal(err)
	}
	s.p = saga.NewParticipant(s.db, s.ib, s.ob)
	saga.Serve(s.p, "shop", "sell", s.act(1))
	saga.ServeCompensation(s.p, "shop", "unsell", s.act(-1))
	return s
}

func (s *shop) act(amount int) saga.Act[order, *sql.Tx] {
	return func(_ context.Context, tx *sql.Tx, o order, _ *bus.Delivery) (any, error) {
		if _, err := tx.Exec(fmt.Sprintf("INSERT INTO ledger VALUES ('%s', %d)", o.ID, amount)); err != nil {
			return nil, err
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.n++
		return s.n, s.err
	}
}

// command is a command as the engine sends it.
func command(id, op string, attempt int, again bool) *bus.Delivery {
	m := bus.Message{Topic: "shop", Key: id, ID: fmt.Sprint(id, op, attempt), Type: "sell", Body: []byte(`{"ID":"` + id + `"}`)}
	if op == "compensate" {
		m.Type = "unsell"
	}
	for name, value := range map[string]string{
		saga.HeaderSaga: id, saga.HeaderName: "checkout", saga.HeaderStep: "sell", saga.HeaderOp: op,
		saga.HeaderAttempt: strconv.Itoa(attempt), saga.HeaderReplyTo: "replies",
	} {
		m.SetHeader(name, []byte(value))
	}
	if again {
		m.SetHeader(saga.HeaderAgain, []byte("1"))
	}
	return &bus.Delivery{Message: m}
}

// ask has a command carried out and returns the reply as "outcome body".
func (s *shop) ask(d *bus.Delivery) string {
	s.t.Helper()
	if err := s.ib.Process(s.t.Context(), d); err != nil {
		s.t.Fatal(err)
	}
	out := s.take(s.t)
	if len(out) != 1 {
		s.t.Fatalf("%d replies", len(out))
	}
	r := out[0]
	if r.Topic != "replies" || r.Key != "" || r.Type != saga.ReplyType || string(r.Header(saga.HeaderStep)) != "sell" ||
		!slices.Equal(r.Header(saga.HeaderAttempt), d.Header(saga.HeaderAttempt)) || !slices.Equal(r.Header(saga.HeaderOp), d.Header(saga.HeaderOp)) {
		s.t.Fatalf("%+v", r)
	}
	text := string(r.Header(saga.HeaderOutcome)) + " " + string(r.Body)
	if e := r.Header(saga.HeaderError); e != nil {
		text += string(e)
	}
	return text
}

// sum is what a saga's effects add up to, and how many they are.
func (s *shop) sum(id string) (sum, n int) {
	if err := s.pool.QueryRow("SELECT COALESCE(SUM(amount), 0), COUNT(*) FROM ledger WHERE saga = '"+id+"'").Scan(&sum, &n); err != nil {
		s.t.Fatal(err)
	}
	return sum, n
}

// TestBarrier: one effect, and the same answer, for an action however often it is
// sent; none after its compensation; none of a compensation without an action.
func TestBarrier(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, d sqltest.Database) {
		s := newShop(t, d)
		expect := func(id, op string, attempt int, again bool, want string, effects int) {
			t.Helper()
			if got := s.ask(command(id, op, attempt, again)); got != want {
				t.Fatalf("%s %s %d: %q, want %q", id, op, attempt, got, want)
			}
			if _, n := s.sum(id); n != effects {
				t.Fatalf("%s %s %d: %d effects, want %d", id, op, attempt, n, effects)
			}
		}
		expect("a", "action", 1, false, "ok 1", 1)
		expect("a", "action", 2, false, "ok 1", 1)
		expect("a", "compensate", 1, false, "ok 2", 2)
		expect("a", "compensate", 2, false, "ok 2", 2)
		expect("a", "action", 3, false, "ok 1", 2) // ignored by the engine

		expect("b", "compensate", 1, false, "ok ", 0)
		expect("b", "action", 1, false, "barred ", 0)
		expect("b", "compensate", 2, false, "ok ", 0)

		s.err = saga.Rejected(errors.New("sold out"))
		expect("c", "action", 1, false, "rejected sold out", 0)
		s.err = nil
		expect("c", "action", 2, false, "rejected sold out", 0)
		expect("c", "compensate", 1, false, "ok ", 0)

		s.err = saga.Rejected(errors.New("no\x00 \xff" + strings.Repeat("ü", 600)))
		if got := s.ask(command("g", "action", 1, false)); !strings.HasPrefix(got, "rejected no ?üü") || !strings.HasSuffix(got, "ü?") {
			t.Fatalf("%q", got)
		}
		s.err = saga.Rejected(errors.New("closed"))
		expect("d", "action", 1, true, "rejected closed", 0)
		s.err = saga.Failed(errors.New("busy"))
		expect("d", "action", 2, true, "failed busy", 0)
		s.err = nil
		expect("d", "action", 3, true, "ok 7", 1)
		expect("d", "action", 4, true, "ok 7", 1)

		s.err = saga.Failed(errors.New("busy"))
		expect("f", "action", 1, true, "failed busy", 0)
		s.err = nil
		expect("f", "action", 2, true, "ok 9", 1)

		s.err = saga.Failed(nil)
		expect("e", "action", 1, false, "failed failed", 0)
		s.err = nil
		expect("e", "action", 2, false, "ok 11", 1)
		s.err = saga.Rejected(errors.New("no"))
		expect("e", "compensate", 1, false, "rejected no", 1)
		s.err = nil
		expect("e", "compensate", 2, false, "ok 13", 2)
	})
}

// TestBarrierAtOnce: action and compensation at the same time leave both effects or
// none.
func TestBarrierAtOnce(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, d sqltest.Database) {
		s := newShop(t, d)
		const sagas = 30
		var wg sync.WaitGroup
		for i := range sagas {
			id := fmt.Sprint("s", i)
			for _, c := range []*bus.Delivery{command(id, "action", 1, false), command(id, "compensate", 1, false), command(id, "action", 2, false), command(id, "compensate", 2, false)} {
				wg.Go(func() {
					if err := s.ib.Process(t.Context(), c); err != nil {
						t.Error(err)
					}
				})
			}
			if i%5 == 4 {
				wg.Wait()
			}
		}
		wg.Wait()
		if out := s.take(t); len(out) != 4*sagas {
			t.Fatalf("%d replies", len(out))
		}
		for i := range sagas {
			if sum, n := s.sum(fmt.Sprint("s", i)); sum != 0 || n > 2 {
				t.Fatalf("saga %d: %d effects, which add up to %d", i, n, sum)
			}
		}
	})
}

// TestBadCommand: what is no command of a saga, or one of the wrong kind, has no
// effect and no reply, and is kept for an operator.
func TestBadCommand(t *testing.T) {
	s := newShop(t, sqltest.New(t, "sqlite"))
	mixed := command("a", "compensate", 1, false)
	mixed.Type = "sell"
	bare := command("b", "action", 1, false)
	bare.Headers = nil
	lost := command("c", "action", 1, false)
	lost.SetHeader(saga.HeaderReplyTo, nil)
	for _, d := range []*bus.Delivery{mixed, bare, lost} {
		if err := s.ib.Process(t.Context(), d); err != nil {
			t.Fatal(err)
		}
	}
	if out := s.take(t); len(out) != 0 || s.n != 0 {
		t.Fatal(out, s.n)
	}
	var n int
	if err := s.pool.QueryRow("SELECT COUNT(*) FROM waxwing_parked").Scan(&n); err != nil || n != 3 {
		t.Fatal(n, err)
	}
}

// TestPrune removes old rows only.
func TestPrune(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, d sqltest.Database) {
		s := newShop(t, d)
		s.ask(command("a", "action", 1, false))
		s.ask(command("b", "compensate", 1, false))
		if n, err := s.p.Prune(t.Context(), time.Hour); n != 0 || err != nil {
			t.Fatal(n, err)
		}
		if n, err := s.p.Prune(t.Context(), -time.Hour); n != 3 || err != nil {
			t.Fatal(n, err)
		}
	})
}
