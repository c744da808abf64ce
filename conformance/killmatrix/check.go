//go:build killpoints

package killmatrix

import (
	"context"
	"fmt"

	"github.com/waxwing-mq/waxwing/internal/killpoint"
	"github.com/waxwing-mq/waxwing/internal/sqltx"
	"github.com/waxwing-mq/waxwing/outbox"
	"github.com/waxwing-mq/waxwing/waxtest"
)

// check makes the checks on a case that has come to rest.
func (r *run) check(ctx context.Context) ([]waxtest.Violation, error) {
	s, err := r.shape.look(ctx)
	if err != nil {
		return nil, err
	}
	if r.Mode == killpoint.Error { // nobody died; it happened somewhere on the way
		r.flight = max(r.flight, 1)
	}
	billed := s.of("billing")
	found := waxtest.EachEffectOnce(s.Causes, billed, []string{"billing"}, nil)
	found = append(found, waxtest.NoEffectWithoutCause(s.Causes, billed)...)
	found = append(found, waxtest.OrderPerKey(billed)...)
	found = append(found, waxtest.Conserved("balances", total(), s.Balance)...)
	found = append(found, waxtest.SagasEnded(s.Runs)...)
	found = append(found, expected(s.Runs)...)
	found = append(found, waxtest.AllAccounted("billing", waxtest.Accounts{In: orders, Effects: len(billed), InFlight: s.Outbox + s.Parked})...)
	found = append(found, waxtest.FaultsFired([]waxtest.Fault{{Name: r.Case.String(), Fired: r.hits(), InFlight: r.flight}})...)
	resent, err := r.resent(ctx)
	if err != nil {
		return nil, err
	}
	found = append(found, resent...)
	if r.plan.Keys != nil {
		sealed, err := r.checkSealed(ctx, s)
		if err != nil {
			return nil, err
		}
		found = append(found, sealed...)
	}
	if len(found) > 0 {
		return found, nil
	}
	return r.checkReplay(ctx, s)
}

// total is what all orders move.
func total() (sum int64) {
	for i := range orders {
		sum += amount(i)
	}
	return sum
}

// expected checks that each saga ended as it was to.
func expected(runs []waxtest.SagaRun) (found []waxtest.Violation) {
	if len(runs) != sagas {
		found = append(found, waxtest.Violation{Check: "sagas end", What: fmt.Sprintf("there are %d, want %d", len(runs), sagas)})
	}
	for _, r := range runs {
		if !ends(r.ID, r.State) {
			found = append(found, waxtest.Violation{Check: "sagas end", What: fmt.Sprintf("%s is %s", r.ID, r.State)})
		}
	}
	return found
}

// resent checks that no more was published twice than a batch of a bucket whenever
// somebody took it over, or an error kept a relay from knowing what it had sent: a
// relay whose lease is another's stops.
func (r *run) resent(ctx context.Context) ([]waxtest.Violation, error) {
	msgs, err := recorded(r.plan.Sent)
	if err != nil {
		return nil, err
	}
	var taken int // each bucket's token counts who has had it
	if err := sqltx.One(ctx, r.shape.db.Conn(), "SELECT SUM(token) FROM waxwing_outbox_lease", nil, &taken); err != nil {
		return nil, err
	}
	most := (taken - outbox.Buckets) * batch
	if r.Mode == killpoint.Error {
		most += r.hits() * outbox.Buckets * batch
	}
	if n := len(msgs) - distinct(msgs); n > most {
		return []waxtest.Violation{{Check: "re-sent is bounded", What: fmt.Sprintf("%d of %d events were published again, at most %d may be", n, distinct(msgs), most)}}, nil
	}
	return nil, nil
}

// checkReplay delivers everything once more and checks that nothing is added.
func (r *run) checkReplay(ctx context.Context, before state) ([]waxtest.Violation, error) {
	plan := r.plan
	r.plan.Replay = true
	defer func() { r.plan = plan }()
	c, err := r.start(ctx, 0)
	if err != nil {
		return nil, err
	}
	if err := <-c.ended; err != nil {
		return nil, fmt.Errorf("replay: %w", err)
	}
	after, err := r.shape.look(ctx)
	if err != nil {
		return nil, err
	}
	var found []waxtest.Violation
	for _, consumer := range []string{"billing", "participant", "reader"} {
		found = append(found, waxtest.NothingAdded(before.of(consumer), after.of(consumer))...)
	}
	return found, nil
}
