package demo

import (
	"fmt"
	"maps"
	"slices"

	"github.com/waxwing-mq/waxwing/examples/orders/order"
	"github.com/waxwing-mq/waxwing/examples/orders/shipping"
	"github.com/waxwing-mq/waxwing/waxtest"
)

// A trial is what the checks look at.
type trial struct {
	plan          map[string]*plannedOrder // by id
	begin         endowment
	before, after *evidence // before and after everything was delivered once more
	left          standing  // what was still to be done when nothing changed any more
	faults        map[string]*waxtest.Fault
	chaos         bool
	senders       []*sender
	complaints    []string // of the client
	requests      int64
	onDisk        int // cards that the broker's files show

	batches int // that were sent again by another relay
}

// check does the nine checks, as far as they are of one run (the ninth is --break),
// and some more.
func (t *trial) check() (found []waxtest.Violation) {
	e := t.before
	found = append(found, t.answered()...)
	for _, consumer := range []string{order.Report, shipping.Letters} {
		causes, acted := e.causesOf(consumer), e.actedBy(consumer)
		found = append(found, waxtest.EachEffectOnce(causes, acted, []string{consumer}, nil)...)
		found = append(found, waxtest.NoEffectWithoutCause(causes, acted)...)
		found = append(found, waxtest.OrderPerKey(acted)...)
		found = append(found, waxtest.AllAccounted(consumer, waxtest.Accounts{In: len(causes), Effects: len(acted)})...)
	}
	for _, name := range serviceNames {
		found = append(found, waxtest.EachEffectOnce(t.causes(name), e.effects(), []string{name}, nil)...)
	}
	found = append(found, waxtest.NoEffectWithoutCause(t.causes(serviceNames...), e.effects())...)
	found = append(found, t.conserved()...)
	found = append(found, t.checkSealed()...)
	found = append(found, waxtest.SagasEnded(t.runs())...)
	found = append(found, t.outcomes()...)
	if !t.left.rest() {
		found = append(found, waxtest.Violation{Check: "all accounted for", What: t.left.String()})
	}
	found = append(found, waxtest.NothingAdded(t.before.everything(), t.after.everything())...)
	if t.chaos {
		found = append(found, waxtest.FaultsFired(t.allFaults())...)
	}
	return append(found, t.resentBounded()...)
}

// causes are the steps that services must do, which the orders' contents decide.
func (t *trial) causes(services ...string) (out []waxtest.Cause) {
	for _, id := range slices.Sorted(maps.Keys(t.plan)) {
		for _, s := range t.plan[id].steps {
			if slices.Contains(services, s.service) {
				out = append(out, waxtest.Cause{ID: stepID(id, s.step, s.op), Key: id})
			}
		}
	}
	return out
}

// answered checks that each request has one order, which is what was asked for.
func (t *trial) answered() (found []waxtest.Violation) {
	bad := func(format string, args ...any) {
		found = append(found, waxtest.Violation{Check: "one order for each key", What: fmt.Sprintf(format, args...)})
	}
	for _, c := range t.complaints {
		bad("%s", c)
	}
	for id, o := range t.plan {
		want := o.Order
		if want.ID = id; t.before.orders[id] != want {
			bad("order %s is %v, want %v", id, t.before.orders[id], want)
		}
	}
	if n := len(t.before.orders); n != len(t.plan) {
		bad("there are %d orders for %d keys", n, len(t.plan))
	}
	return found
}

// conserved checks money and stock.
func (t *trial) conserved() (found []waxtest.Violation) {
	e := t.before
	var paid, bought int64
	for _, o := range t.plan {
		if o.completed {
			paid += o.Amount
			bought += o.Quantity
		}
	}
	for _, c := range []struct {
		name  string
		total int64
		parts map[string]int64
	}{
		{"money", t.begin.money, map[string]int64{"customers": e.customers, "merchant": e.merchant}},
		{"stock", t.begin.pieces, map[string]int64{"available": e.available, "reserved": e.reserved, "gone": e.gone}},
		{"money for completed orders", paid, map[string]int64{"merchant": e.merchant}},
		{"pieces of completed orders", bought, map[string]int64{"gone": e.gone}},
		{"pieces in parcels", e.gone, map[string]int64{"sent": e.sent}},
		{"reported revenue", e.merchant, map[string]int64{"report": e.revenue}},
		{"reported pieces", e.sent, map[string]int64{"report": e.pieces}},
		{"reserved at the end", 0, map[string]int64{"reserved": e.reserved}},
	} {
		found = append(found, waxtest.Conserved(c.name, c.total, c.parts)...)
	}
	return found
}

// sagaSteps are the steps of the checkout.
var sagaSteps = []waxtest.SagaStep{{Name: "accept", Group: 0}, {Name: "reserve", Group: 1}, {Name: "charge", Group: 2}, {Name: "ship", Group: 3}, {Name: "confirm", Group: 4}, {Name: "complete", Group: 5}}

// runs are how the sagas went.
func (t *trial) runs() (out []waxtest.SagaRun) {
	effects := map[string][]waxtest.SagaEffect{}
	for _, s := range t.before.steps {
		effects[s.Order] = append(effects[s.Order], waxtest.SagaEffect{Step: s.Step, Op: s.Op})
	}
	for _, id := range slices.Sorted(maps.Keys(t.before.sagas)) {
		out = append(out, waxtest.SagaRun{ID: id, State: t.before.sagas[id], Steps: sagaSteps, Effects: effects[id]})
	}
	return out
}

// outcomes checks that what became of an order is what it says itself.
func (t *trial) outcomes() (found []waxtest.Violation) {
	for _, id := range slices.Sorted(maps.Keys(t.plan)) {
		want := "compensated"
		if t.plan[id].completed {
			want = "completed"
		}
		if got := t.before.sagas[id]; got != want && len(found) < 10 {
			found = append(found, waxtest.Violation{Check: "outcome by content", What: fmt.Sprintf("order %s is %s, want %s", id, got, want)})
		}
	}
	return found
}

// allFaults are all kinds, also those that did not happen.
func (t *trial) allFaults() (out []waxtest.Fault) {
	for _, name := range append(deck(""), sentTwice, sendAckLost, ackLost, replyLost) {
		f := waxtest.Fault{Name: name}
		if t.faults[name] != nil {
			f = *t.faults[name]
		}
		if !slices.ContainsFunc(out, func(have waxtest.Fault) bool { return have.Name == name }) {
			out = append(out, f)
		}
	}
	return out
}

// resentBounded checks that relays send again only what was under way when one took
// over from another: a batch, which goes to queues and to topics.
func (t *trial) resentBounded() (found []waxtest.Violation) {
	for _, name := range serviceNames {
		batches, bound := 0, 2*t.before.takeovers[name]
		for i, b := range t.senders {
			for _, a := range t.senders[:i] {
				if a.service == name && b.service == name {
					batches += a.again(b)
				}
			}
		}
		t.batches += batches
		if batches > bound {
			found = append(found, waxtest.Violation{Check: "re-sent is bounded",
				What: fmt.Sprintf("relays of %s have sent %d batches, or parts of them, that others had sent, which %d takeovers do not explain", name, batches, t.before.takeovers[name])})
		}
	}
	return found
}

// resent is how many times an event was sent once more than need be, not counting
// what was published twice on purpose.
func (t *trial) resent() (n int) {
	seen := map[string]bool{}
	for _, s := range t.senders {
		n += s.twice
		for id := range s.batch {
			if seen[id] {
				n++
			}
			seen[id] = true
		}
	}
	return n
}

// tally counts effects: all, those that happened again, also in the replay, and those
// that had not happened before it.
func (t *trial) tally() (all, doubled, lost int) {
	before, after := count(t.before.everything()), count(t.after.everything())
	expect := func(consumer, cause string) {
		one := consumer + "|" + cause
		doubled += max(after[one]-1, 0)
		if before[one] == 0 {
			lost++
		}
	}
	for consumer := range consumers {
		for _, c := range t.after.causesOf(consumer) {
			expect(consumer, c.ID)
		}
	}
	for _, name := range serviceNames {
		for _, c := range t.causes(name) {
			expect(name, c.ID)
		}
	}
	return len(t.after.everything()), doubled, lost
}

// count counts effects by consumer and cause.
func count(effects []waxtest.Effect) map[string]int {
	n := map[string]int{}
	for _, e := range effects {
		n[e.Consumer+"|"+e.CauseID]++
	}
	return n
}
