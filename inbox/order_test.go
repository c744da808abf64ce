package inbox_test

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/waxwing-mq/waxwing/bus"
	"github.com/waxwing-mq/waxwing/inbox"
	"github.com/waxwing-mq/waxwing/internal/sqltest"
)

// TestArrivesWhileTheLastIsTried: a message that arrives while the last one of its key
// that was put aside is being tried does not overtake it, and is not forgotten.
func TestArrivesWhileTheLastIsTried(t *testing.T) {
	for _, ends := range []error{nil, errBoom} {
		t.Run(fmt.Sprint(ends), func(t *testing.T) {
			sqltest.Each(t, func(t *testing.T, d sqltest.Database) {
				l := newLab(t, d)
				inside, leave := make(chan struct{}), make(chan struct{})
				calls := 0
				in := l.inbox(func(m *bus.Delivery) error {
					if m.ID != "a1" {
						return nil
					}
					switch calls++; calls {
					case 1:
						return errBoom
					case 2:
						close(inside)
						<-leave
						return ends
					}
					return nil
				})
				l.process(in, msg("a1", "a"))
				l.pass(time.Second)
				done := make(chan struct{}, 2)
				go func() { l.retry(in); done <- struct{}{} }()
				<-inside
				go func() { l.process(in, msg("a2", "a"), msg("a3", "a")); done <- struct{}{} }()
				if d.Dialect == "sqlite" { // where it waits
					time.Sleep(50 * time.Millisecond)
				} else {
					<-done // a lane does not wait for it
				}
				l.want()
				close(leave)
				<-done
				if d.Dialect == "sqlite" {
					<-done
				}
				l.retry(in) // who arrived in the meantime may find it its turn
				l.pass(time.Minute)
				l.retry(in)
				l.want("a1", "a2", "a3")
				l.wantStates()
			})
		})
	}
}

// TestOrderUnderFire: a lane and two processes that try again, with handlers that fail
// at random: each message has one effect, in order per key.
func TestOrderUnderFire(t *testing.T) {
	const keys, perKey = 4, 40
	sqltest.Each(t, func(t *testing.T, d sqltest.Database) {
		l := newLab(t, d)
		var mu sync.Mutex
		random := rand.New(rand.NewPCG(1, 2))
		fail := func(*bus.Delivery) error {
			mu.Lock()
			defer mu.Unlock()
			if random.IntN(3) == 0 {
				return errBoom
			}
			return nil
		}
		opts := []inbox.Option{inbox.Clock(time.Now), inbox.Backoff(time.Millisecond, 3*time.Millisecond), inbox.MaxAttempts(1000), inbox.Lanes(2)}
		in := []*inbox.Inbox[*sql.Tx]{l.inbox(fail, opts...), l.inbox(fail, opts...)}
		var lanes, workers sync.WaitGroup
		stop := make(chan struct{})
		for _, one := range in {
			workers.Go(func() {
				for {
					l.retry(one)
					select {
					case <-stop:
						return
					case <-time.After(time.Millisecond):
					}
				}
			})
		}
		for k := range keys {
			lanes.Go(func() {
				for n := range perKey {
					for range 1 + n%2 { // and each second one comes twice
						l.process(in[k%2], seq(fmt.Sprintf("%d/%d", k, n), fmt.Sprint(k), n+1))
					}
				}
			})
		}
		lanes.Wait()
		for end := time.Now().Add(30 * time.Second); len(l.states()) > 0 && time.Now().Before(end); {
			time.Sleep(5 * time.Millisecond)
		}
		close(stop)
		workers.Wait()
		l.wantStates()
		next := map[string]int{}
		for _, id := range l.ledger() {
			k, _, _ := strings.Cut(id, "/")
			if want := fmt.Sprintf("%s/%d", k, next[k]); id != want {
				t.Fatalf("effect %s, want %s", id, want)
			}
			next[k]++
		}
		for k := range keys {
			if next[fmt.Sprint(k)] != perKey {
				t.Errorf("key %d has %d effects", k, next[fmt.Sprint(k)])
			}
		}
	})
}

// TestBehindADeadLetter: a key waits behind its dead letter; messages without a key,
// and those of an Unordered inbox, do not.
func TestBehindADeadLetter(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, d sqltest.Database) {
		l := newLab(t, d)
		fail := func(m *bus.Delivery) error {
			if strings.HasPrefix(m.ID, "ill") {
				return inbox.DeadLetter(errBoom)
			}
			return nil
		}
		in := l.inbox(fail)
		l.process(in, msg("ill1", ""), msg("b", ""), msg("ill2", "k"), msg("c", "k"))
		l.want("b")
		l.wantStates("ill1:dead", "ill2:dead", "c:waiting")
		if _, err := inbox.DropDeadLetters(t.Context(), l.db, inbox.Filter{Consumer: "billing"}, false); err != nil {
			t.Fatal(err)
		}
		l.retry(in)
		l.want("b", "c")
		un := l.inbox(fail, inbox.Unordered())
		l.process(un, msg("ill3", "k"), msg("d", "k"))
		l.want("b", "c", "d")
	})
}

// TestUnorderedLater: in an Unordered inbox the key goes on when a message that is
// tried again becomes a dead letter.
func TestUnorderedLater(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, d sqltest.Database) {
		l := newLab(t, d)
		in := l.inbox(func(m *bus.Delivery) error {
			if m.ID == "a" {
				return errBoom
			}
			return nil
		}, inbox.Unordered(), inbox.MaxAttempts(2))
		l.process(in, msg("a", "k"), msg("b", "k"), msg("c", "k"))
		l.want()
		l.pass(time.Second)
		l.retry(in)
		l.want("b", "c")
		l.wantStates("a:dead")
	})
}

// TestTurns: while one process tries a key, another leaves it alone.
func TestTurns(t *testing.T) {
	for _, dialect := range []string{"postgres", "mysql"} {
		t.Run(dialect, func(t *testing.T) {
			l := newLab(t, sqltest.New(t, dialect))
			inside, leave := make(chan struct{}), make(chan struct{})
			calls := 0
			first := l.inbox(func(m *bus.Delivery) error {
				if calls++; calls == 1 {
					return errBoom
				}
				if m.ID == "a" {
					close(inside)
					<-leave
				}
				return nil
			})
			l.process(first, msg("a", "k"), msg("b", "k"))
			l.pass(time.Second)
			var wg sync.WaitGroup
			wg.Go(func() { l.retry(first) })
			<-inside
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			if n, err := l.inbox(nil).RetryDue(ctx); n != 0 || err != nil {
				t.Error(n, err)
			}
			close(leave)
			wg.Wait()
			l.want("a", "b")
		})
	}
}
