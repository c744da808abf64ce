package demo

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/waxwing-mq/waxwing/examples/orders/contract"
	"github.com/waxwing-mq/waxwing/examples/orders/payment"
	"github.com/waxwing-mq/waxwing/examples/orders/service"
	"github.com/waxwing-mq/waxwing/waxtest"
)

// Evidence is what the services' databases say when all is over.
type evidence struct {
	orders map[string]contract.Order // by id
	sagas  map[string]string         // state, by order
	steps  []step                    // in the order in which they happened
	causes []waxtest.Cause           // all events
	acted  []waxtest.Effect          // what consumers did because of events

	takeovers map[string]int // by relays, by service

	paid []payment.Paid

	merchant, customers       int64 // cents
	available, reserved, gone int64 // pieces
	sent                      int64 // pieces in parcels
	revenue, pieces           int64 // as the report has them
}

// A step is something that a service did for an order.
type step struct {
	service string
	service.Did
}

// collect reads the databases.
func (s *shops) collect(ctx context.Context) (*evidence, error) {
	e := &evidence{takeovers: map[string]int{}}
	bases := map[string]*service.Base{"order": s.order.Base, "payment": s.payment.Base, "inventory": s.inventory.Base, "shipping": s.shipping.Base}
	var errs []error
	for _, name := range serviceNames {
		causes, err := bases[name].Ledger().Causes(ctx)
		acted, err2 := bases[name].Ledger().Effects(ctx)
		did, err3 := bases[name].Steps(ctx)
		takeovers, err4 := bases[name].Takeovers(ctx)
		errs = append(errs, err, err2, err3, err4)
		e.takeovers[name] = takeovers
		e.causes, e.acted = append(e.causes, causes...), append(e.acted, acted...)
		for _, d := range did {
			e.steps = append(e.steps, step{name, d})
		}
	}
	slices.SortStableFunc(e.steps, func(a, b step) int { return cmp.Compare(a.At, b.At) })
	return e, errors.Join(append(errs, s.sums(ctx, e), s.readOrders(ctx, e))...)
}

// sums reads money and stock, and how orders were paid.
func (s *shops) sums(ctx context.Context, e *evidence) (err error) {
	var errs [5]error
	e.merchant, e.customers, errs[0] = s.payment.Balances(ctx)
	e.available, e.reserved, e.gone, errs[1] = s.inventory.Stock(ctx)
	e.sent, errs[2] = s.shipping.Pieces(ctx)
	e.revenue, e.pieces, errs[3] = s.order.Lines(ctx)
	e.paid, errs[4] = s.payment.Paid(ctx)
	return errors.Join(errs[:]...)
}

// readOrders reads orders and sagas.
func (s *shops) readOrders(ctx context.Context, e *evidence) error {
	e.orders, e.sagas = map[string]contract.Order{}, map[string]string{}
	return s.order.DB.InTx(ctx, func(ctx context.Context, tx service.Tx) error {
		rows, err := tx.QueryContext(ctx, `SELECT o.id, o.customer, o.sku, o.quantity, o.amount, o.country, COALESCE(s.state, 'missing')
			FROM customer_order o LEFT JOIN waxwing_saga s ON s.id = o.id`)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var o contract.Order
			var state string
			if err := rows.Scan(&o.ID, &o.Customer, &o.SKU, &o.Quantity, &o.Amount, &o.Country, &state); err != nil {
				return err
			}
			e.orders[o.ID], e.sagas[o.ID] = o, state
		}
		return rows.Err()
	})
}

// causesOf are the events that a consumer is to act on.
func (e *evidence) causesOf(consumer string) (out []waxtest.Cause) {
	for _, c := range e.causes {
		topic, _, _ := strings.Cut(c.ID, "/")
		if slices.Contains(consumers[consumer], topic) {
			out = append(out, c)
		}
	}
	return out
}

// actedBy is what a consumer did.
func (e *evidence) actedBy(consumer string) (out []waxtest.Effect) {
	for _, a := range e.acted {
		if a.Consumer == consumer {
			out = append(out, a)
		}
	}
	return out
}

// effects are steps as effects, each of a cause that names order, step and operation.
func (e *evidence) effects() (out []waxtest.Effect) {
	for i := range e.steps {
		s := &e.steps[i]
		out = append(out, waxtest.Effect{Consumer: s.service, CauseID: stepID(s.Order, s.Step, s.Op), Key: s.Order})
	}
	return out
}

func stepID(order, step, op string) string { return order + " " + step + " " + op }

// everything is all that can be done twice, to compare before and after a replay.
func (e *evidence) everything() []waxtest.Effect { return append(e.effects(), e.acted...) }

// readFaults adds what processes did to themselves.
func readFaults(path string, into map[string]*waxtest.Fault) error {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(text)) {
		f := strings.SplitN(strings.TrimSuffix(line, "\n"), "\t", 3)
		if len(f) != 3 {
			continue
		}
		hit, _ := strconv.Atoi(f[1])
		if into[f[2]] == nil {
			into[f[2]] = &waxtest.Fault{Name: f[2]}
		}
		into[f[2]].Fired++
		into[f[2]].InFlight += hit
	}
	return nil
}

// A sender is what a process of a service has published.
type sender struct {
	name    string
	service string
	nth     int            // process of its service
	batch   map[string]int // events of which it was told that they are there, with the batch
	twice   int            // events of which it was told again
	plain   []string       // messages that showed a card
}

// readSenders reads what the processes have written down.
func readSenders(dir string) (all []*sender, err error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.sent"))
	if err != nil {
		return nil, err
	}
	for _, path := range files {
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		name := strings.TrimSuffix(filepath.Base(path), ".sent")
		s := &sender{name: name, batch: map[string]int{}}
		number := ""
		s.service, number, _ = strings.Cut(name, "-")
		if s.nth, err = strconv.Atoi(number); err != nil {
			return nil, err
		}
		s.read(text)
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b *sender) int {
		return cmp.Or(strings.Compare(a.service, b.service), cmp.Compare(a.nth, b.nth))
	})
	return all, nil
}

func (s *sender) read(text []byte) {
	lines := bufio.NewScanner(bytes.NewReader(text))
	lines.Buffer(nil, 16<<20)
	for number := 1; lines.Scan(); number++ {
		ids := strings.Split(lines.Text(), "\t")
		if ids[0] == "plain" {
			s.plain = append(s.plain, ids[1:]...)
		}
		if ids[0] != "ok" {
			continue
		}
		for _, id := range ids[1:] {
			if s.batch[id] != 0 {
				s.twice++
			}
			s.batch[id] = number
		}
	}
}

// again is of how many batches of s another process has sent something again.
func (s *sender) again(other *sender) int {
	batches := map[int]bool{}
	for id := range other.batch {
		if n := s.batch[id]; n != 0 {
			batches[n] = true
		}
	}
	return len(batches)
}
