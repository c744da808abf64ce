//go:build killpoints

package killmatrix

import (
	"context"
	"time"

	"github.com/waxwing-mq/waxwing/inbox"
	"github.com/waxwing-mq/waxwing/internal/sqltx"
	"github.com/waxwing-mq/waxwing/waxtest"
)

// A state is how far a case has come.
type state struct {
	Causes  []waxtest.Cause
	Effects []waxtest.Effect // of all consumers
	Outbox  int              // events not published
	Parked  int              // messages put aside, dead letters too
	Dead    map[string][]string
	Runs    []waxtest.SagaRun
	Balance map[string]int64
	Unread  int // orders that the group has not read, if messages are sealed
}

// look reads the state from the database.
func (w *worker) look(ctx context.Context) (s state, err error) {
	if s.Causes, err = w.ledger.Causes(ctx); err != nil {
		return s, err
	}
	if s.Effects, err = w.ledger.Effects(ctx); err != nil {
		return s, err
	}
	if err := sqltx.One(ctx, w.db.Conn(), "SELECT COUNT(*) FROM waxwing_outbox", nil, &s.Outbox); err != nil {
		return s, err
	}
	parked, err := inbox.ListDeadLetters(ctx, w.db, inbox.Filter{All: true, Limit: 10000})
	if err != nil {
		return s, err
	}
	s.Parked = len(parked)
	if s.Runs, err = w.runs(ctx, s.Effects); err != nil {
		return s, err
	}
	if w.Keys != nil {
		s.Unread = orders - min(orders, len(s.of("reader")))
	}
	s.Balance = map[string]int64{}
	return s, sqltx.Each(ctx, w.db.Conn(), "SELECT k, balance FROM account", nil, func(read func(...any) error) error {
		var k string
		var n int64
		err := read(&k, &n)
		s.Balance[k] = n
		return err
	})
}

// of are the effects of one consumer.
func (s *state) of(consumer string) (out []waxtest.Effect) {
	for _, e := range s.Effects {
		if e.Consumer == consumer && e.Key != "last" {
			out = append(out, e)
		}
	}
	return out
}

// live is how many sagas have not ended.
func (s *state) live() int {
	n := sagas - len(s.Runs)
	for _, r := range s.Runs {
		if r.State != "completed" && r.State != "compensated" {
			n++
		}
	}
	return n
}

// inFlight is how much is under way.
func (s *state) inFlight() int {
	return orders - min(orders, len(s.of("billing"))) + s.Outbox + s.Parked + s.live() + s.Unread
}

// standstill is after what time without any change the worker gives up, since
// something was lost.
const standstill = 6 * time.Second

// rest waits until everything has happened, or nothing happens any more.
func (w *worker) rest(ctx context.Context) error {
	var last [5]int
	changed, settled := time.Now(), time.Time{}
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
		s, err := w.look(ctx)
		if err != nil {
			continue
		}
		now := [5]int{len(s.Causes), len(s.Effects), s.Outbox, s.Parked, s.live()}
		if now != last {
			last, changed, settled = now, time.Now(), time.Time{}
		}
		if s.inFlight() == 0 && len(s.Causes) == orders && w.produced.Load() == writer+1 {
			if settled.IsZero() {
				settled = time.Now()
			}
			if time.Since(settled) > slow { // what is late, or comes twice, comes by then
				return nil
			}
		}
		if time.Since(changed) > standstill {
			return nil
		}
	}
}
