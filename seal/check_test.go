package seal

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/waxwing-mq/waxwing/bus"
	"github.com/waxwing-mq/waxwing/internal/sqltx"
)

// TestCheckBesideOthers: what others seal, publish and end while the counter is compared is
// not taken for a database that was set back.
func TestCheckBesideOthers(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.identity("orders", 2)
		start := func() *endpoint {
			return w.bare("orders", CountedBy(w.dir), OnRestore(func(r Restore) { t.Errorf("%+v", r) }))
		}
		checker, a := start(), start()
		_, err := a.Check(t.Context())
		w.must(err)
		w.service("billing", OneTimeKeys(100))
		again := func(f func(ctx context.Context, tx *sql.Tx) error) {
			for {
				err := w.inTx(f)
				if err == nil {
					return
				}
				if !sqltx.Transient(err) && !errors.Is(err, ErrConflict) {
					t.Error(err)
					return
				}
			}
		}
		var all sync.WaitGroup
		for i := range 2 {
			all.Go(func() {
				relay := Counted(&broker{}, w.dir)
				for n := range 15 {
					m := w.message("things", fmt.Sprint(i), "text")
					var sealed bus.Message
					again(func(ctx context.Context, tx *sql.Tx) error {
						sealed = *m
						return a.Seal(ctx, tx, "billing", &sealed)
					})
					if err := relay.Publish(t.Context(), []bus.Message{sealed}); err != nil {
						t.Error(err)
					}
					if n%5 == 4 {
						again(func(ctx context.Context, tx *sql.Tx) error { return a.Forget(ctx, tx, "billing") })
					}
				}
			})
		}
		done := make(chan struct{})
		go func() { all.Wait(); close(done) }()
		for checks := 0; ; checks++ {
			if was, err := checker.Check(t.Context()); was || err != nil && !sqltx.Transient(err) {
				t.Errorf("after %d checks: %v, %v", checks, was, err)
			}
			select {
			case <-done:
				return
			default:
			}
		}
	})
}

// meanwhile is a connection on which something happens before a statement.
type meanwhile struct {
	sqltx.Conn
	before int // how many statements come first
	do     func()
}

func (m *meanwhile) next() {
	if m.before == 0 {
		m.do()
	}
	m.before--
}

func (m *meanwhile) Query(ctx context.Context, query string, args ...any) (sqltx.Rows, error) {
	m.next()
	return m.Conn.Query(ctx, query, args...)
}

func (m *meanwhile) Exec(ctx context.Context, query string, args ...any) (int64, error) {
	m.next()
	return m.Conn.Exec(ctx, query, args...)
}

// TestCheckWhileSessionsEnd: a session that is deleted between the statements of Check, or
// that begins between those of Forget, was not lost.
func TestCheckWhileSessionsEnd(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		a := w.service("orders")
		w.service("billing", OneTimeKeys(20))
		marks := map[uint32]uint64{}
		seal := func() {
			_, stream, seq, _ := parseSealed(w.seal(a, "billing", "text").Header(HeaderSealed))
			marks[stream] = max(marks[stream], seq)
		}
		forget := func() {
			w.change(func(ctx context.Context, tx *sql.Tx) error { return a.Forget(ctx, tx, "billing") })
		}
		for before := range 3 {
			seal()
			seal()
			behind, err := a.core.compare(t.Context(), &meanwhile{w.db.Conn(), before, forget}, marks)
			if err != nil || len(behind) > 0 || w.count("session", "local = 'orders'") > 0 {
				t.Errorf("before statement %d: %+v, %v", before, behind, err)
			}
		}
		for before := range 5 {
			forget()
			w.must(a.core.forget(t.Context(), &meanwhile{w.db.Conn(), before, seal}, "billing"))
			if behind, err := a.core.compare(t.Context(), w.db.Conn(), marks); err != nil || len(behind) > 0 {
				t.Errorf("before statement %d of Forget: %+v, %v", before, behind, err)
			}
		}
		if len(marks) != 1 || marks[0] != 11 {
			t.Errorf("%v", marks)
		}
	})
}
