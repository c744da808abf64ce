package demo

import (
	"fmt"
	"math/rand/v2"

	"github.com/waxwing-mq/waxwing/examples/orders/contract"
)

// What can be ordered, by whom and to where. Whether an order succeeds is decided by
// what it says alone: one article is never in stock, one customer has no money and one
// country cannot be reached.
const (
	articles    = 8
	customers   = 20
	countries   = 5
	maxQuantity = 5
	maxPrice    = 10_000 // cents for a piece

	noArticle = "unicorn"
	noMoney   = "customer-broke"
	noCarrier = "atlantis"
)

// A plannedOrder is an order with what becomes of it.
type plannedOrder struct {
	contract.Order // as the request has it, without an id
	card           string
	key            string
	twice          bool   // its request is sent twice at once
	id             string // that the service has given
	steps          []plannedStep
	completed      bool
}

// A plannedStep is an effect that an order has, in their order.
type plannedStep struct{ service, step, op string }

// plan makes orders up.
func plan(seed uint64, n int) []*plannedOrder {
	r := rand.New(rand.NewPCG(seed, 1))
	all := make([]*plannedOrder, n)
	for i := range all {
		o := &plannedOrder{key: fmt.Sprintf("demo-%d-%d", seed, i), twice: r.IntN(10) == 0}
		o.card = cardMarker + o.key
		o.Customer = fmt.Sprintf("customer-%02d", r.IntN(customers))
		o.SKU = fmt.Sprintf("article-%d", r.IntN(articles))
		o.Country = fmt.Sprintf("country-%d", r.IntN(countries))
		o.Quantity = 1 + r.Int64N(maxQuantity)
		o.Amount = o.Quantity * (100 + r.Int64N(maxPrice-100))
		switch r.IntN(20) {
		case 0, 1:
			o.SKU = noArticle
		case 2, 3:
			o.Customer = noMoney
		case 4:
			o.Country = noCarrier
		}
		o.decide()
		all[i] = o
	}
	return all
}

// decide says what becomes of an order.
func (o *plannedOrder) decide() {
	did := func(service, step string) { o.steps = append(o.steps, plannedStep{service, step, "action"}) }
	undid := func(service, step string) { o.steps = append(o.steps, plannedStep{service, step, "compensation"}) }
	did("order", "accept")
	if o.SKU == noArticle {
		undid("order", "accept")
		return
	}
	did("inventory", "reserve")
	if o.Customer == noMoney {
		undid("inventory", "reserve")
		undid("order", "accept")
		return
	}
	did("payment", "charge")
	if o.Country == noCarrier {
		undid("payment", "charge")
		undid("inventory", "reserve")
		undid("order", "accept")
		return
	}
	did("shipping", "ship")
	did("inventory", "confirm")
	did("order", "complete")
	o.completed = true
}
