// Package orders tests the services' handlers, each in a database of SQLite and of
// PostgreSQL, without a broker. What a saga's engine would send is handed to their
// inboxes.
package orders

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/waxwing-mq/waxwing/bus"
	"github.com/waxwing-mq/waxwing/examples/orders/contract"
	"github.com/waxwing-mq/waxwing/examples/orders/inventory"
	"github.com/waxwing-mq/waxwing/examples/orders/order"
	"github.com/waxwing-mq/waxwing/examples/orders/payment"
	"github.com/waxwing-mq/waxwing/examples/orders/service"
	"github.com/waxwing-mq/waxwing/examples/orders/shipping"
	"github.com/waxwing-mq/waxwing/internal/sealtest"
	"github.com/waxwing-mq/waxwing/internal/sqltest"
	"github.com/waxwing-mq/waxwing/outbox"
	"github.com/waxwing-mq/waxwing/saga"
	"github.com/waxwing-mq/waxwing/sqldb"
)

func TestMain(m *testing.M) { os.Exit(sqltest.Run(m)) }

// each runs a test in an empty database of each kind.
func each(t *testing.T, run func(t *testing.T, db *service.DB)) {
	for _, dialect := range []string{"sqlite", "postgres"} {
		t.Run(dialect, func(t *testing.T) {
			db, pool, err := sqldb.Open(sqltest.New(t, dialect).DSN)
			if err != nil {
				t.Fatal(err)
			}
			defer pool.Close()
			run(t, db)
		})
	}
}

func must[T any](t *testing.T) func(v T, err error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

var anOrder = contract.Order{ID: "o1", Customer: "ann", SKU: "book", Quantity: 3, Amount: 300, Country: "nz"}

// command hands a service a command, as the queue would, and returns the outcome that
// the service replies.
func command(t *testing.T, base *service.Base, queue, kind, step, op string, o contract.Order) string {
	t.Helper()
	body := must[[]byte](t)(json.Marshal(o))
	d := &bus.Delivery{Message: bus.Message{Topic: queue, Type: kind, Key: o.ID, Source: "test", ID: o.ID + step + op, Body: body}}
	for name, value := range map[string]string{
		saga.HeaderSaga: o.ID, saga.HeaderName: "checkout", saga.HeaderStep: step, saga.HeaderOp: op,
		saga.HeaderAttempt: "1", saga.HeaderReplyTo: contract.CheckoutReplies,
	} {
		d.SetHeader(name, []byte(value))
	}
	once := &deliver{d: d}
	if err := base.Commands.Run(t.Context(), once); err != nil {
		t.Fatal(err)
	}
	for _, m := range must[[]bus.Message](t)(waiting(base)) {
		is := func(header, value string) bool { return string(m.Header(header)) == value }
		if m.Type == saga.ReplyType && is(saga.HeaderSaga, o.ID) && is(saga.HeaderStep, step) && is(saga.HeaderOp, op) {
			return string(m.Header(saga.HeaderOutcome))
		}
	}
	return "no reply"
}

// deliver is a subscription that delivers one message twice and ends.
type deliver struct{ d *bus.Delivery }

func (s *deliver) System() string { return "test" }

func (s *deliver) Subscribe(ctx context.Context, _ bus.Subscription, h bus.Handler) error {
	for range 2 {
		d := *s.d
		if _, err := h(ctx, []*bus.Delivery{&d}); err != nil {
			return err
		}
	}
	return nil
}

// waiting are the messages in a service's outbox.
func waiting(base *service.Base) (out []bus.Message, err error) {
	entries, err := base.Outbox.List(context.Background(), 100)
	for _, e := range entries {
		out = append(out, e.Message)
	}
	return out, err
}

// published says whether a service has published an event.
func published(t *testing.T, base *service.Base, kind string) (n int) {
	t.Helper()
	for _, m := range must[[]bus.Message](t)(waiting(base)) {
		if m.Type == kind {
			n++
		}
	}
	return n
}

// TestPayment: money goes to the merchant and back, once each, or nowhere.
func TestPayment(t *testing.T) { each(t, testPayment) }

func testPayment(t *testing.T, db *service.DB) {
	s := must[*payment.Service](t)(payment.New(t.Context(), db, nil))
	if err := s.Open(t.Context(), "ann", 500); err != nil {
		t.Fatal(err)
	}
	want := func(outcome, got string, merchant, customers int64) {
		t.Helper()
		m, c, err := s.Balances(t.Context())
		if err != nil || got != outcome || m != merchant || c != customers {
			t.Fatalf("%s: merchant %d, customers %d, %v", got, m, c, err)
		}
	}
	charge := func(o contract.Order) string {
		return command(t, s.Base, contract.PaymentCommands, contract.ChargeCard, "charge", "action", o)
	}
	refund := func(o contract.Order) string {
		return command(t, s.Base, contract.PaymentCommands, contract.RefundCard, "charge", "compensate", o)
	}
	want("ok", charge(anOrder), 300, 200)
	dear := anOrder
	dear.ID = "o2"
	want("rejected", charge(dear), 300, 200)
	want("ok", refund(dear), 300, 200) // it never happened
	want("ok", refund(anOrder), 0, 500)
	if published(t, s.Base, contract.PaymentCharged) != 1 || published(t, s.Base, contract.PaymentRefunded) != 1 {
		t.Error("not one event of each")
	}
}

// TestSealed: payment opens what order has sealed, once, and takes nothing else; nobody
// can read it, or the reply, on the way.
func TestSealed(t *testing.T) { each(t, testSealed) }

func testSealed(t *testing.T, db *service.DB) {
	company := sealtest.New(t, time.Now)
	keys := func(name string) *service.Keys {
		return &service.Keys{Identity: company.Identity(name, 2), Storage: company.Keys, Root: company.Root.Public(), Directory: company.Dir}
	}
	from := must[*order.Service](t)(order.New(t.Context(), db, keys("order")))
	to := must[*payment.Service](t)(payment.New(t.Context(), db, keys("payment")))
	if err := errors.Join(to.Open(t.Context(), "ann", 500), to.Publish(t.Context()), from.Publish(t.Context())); err != nil {
		t.Fatal(err)
	}
	var headers []bus.Header
	for name, value := range map[string]string{
		saga.HeaderSaga: "o1", saga.HeaderName: "checkout", saga.HeaderStep: "charge", saga.HeaderOp: "action",
		saga.HeaderAttempt: "1", saga.HeaderReplyTo: contract.CheckoutReplies,
	} {
		headers = append(headers, bus.Header{Name: name, Value: []byte(value)})
	}
	e := outbox.Event{Topic: contract.PaymentCommands, Type: contract.ChargeCard, Key: "o1", ID: "c1", Headers: headers, Data: contract.Payment{Order: anOrder, Card: "4111"}}
	plain := bus.Message{Topic: e.Topic, Type: e.Type, Key: "o2", Source: "order", ID: "c2", Headers: headers, Body: must[[]byte](t)(json.Marshal(e.Data))}
	err := from.Outbox.InTx(t.Context(), func(ctx context.Context, tx service.Tx) error { return from.Outbox.Publish(ctx, tx, e) })
	if err != nil {
		t.Fatal(err)
	}
	deliveries := append(must[[]bus.Message](t)(waiting(from.Base)), plain)
	for _, m := range deliveries {
		if err := to.Commands.Run(t.Context(), &deliver{d: &bus.Delivery{Message: m}}); err != nil {
			t.Fatal(err)
		}
	}
	if got := must[[]payment.Paid](t)(to.Paid(t.Context())); !slices.Equal(got, []payment.Paid{{Order: "o1", Card: "4111", SealedBy: "order"}}) {
		t.Errorf("paid %v", got)
	}
	if s := must[service.Status](t)(to.Status(t.Context())); s.Parked != 1 {
		t.Errorf("the message that was not sealed: %+v", s)
	}
	replies := 0
	for _, m := range must[[]bus.Message](t)(waiting(to.Base)) {
		if bytes.Contains(m.Body, []byte("4111")) || m.Header(saga.HeaderSaga) != nil {
			t.Errorf("anybody can read %+v", m)
		}
		if m.Type == saga.ReplyType {
			replies++
		}
	}
	if replies != 1 || len(deliveries) != 2 {
		t.Errorf("%d replies to %d commands", replies, len(deliveries))
	}
}

// TestInventory: pieces are reserved, released, confirmed.
func TestInventory(t *testing.T) { each(t, testInventory) }

func testInventory(t *testing.T, db *service.DB) {
	s := must[*inventory.Service](t)(inventory.New(t.Context(), db))
	if err := s.Put(t.Context(), "book", 5); err != nil {
		t.Fatal(err)
	}
	want := func(outcome, got string, available, reserved, gone int64) {
		t.Helper()
		a, r, g, err := s.Stock(t.Context())
		if err != nil || got != outcome || a != available || r != reserved || g != gone {
			t.Fatalf("%s: available %d, reserved %d, gone %d, %v", got, a, r, g, err)
		}
	}
	do := func(kind, step, op string, o contract.Order) string {
		return command(t, s.Base, contract.InventoryCommands, kind, step, op, o)
	}
	second := anOrder
	second.ID = "o2"
	want("ok", do(contract.ReserveStock, "reserve", "action", anOrder), 2, 3, 0)
	want("rejected", do(contract.ReserveStock, "reserve", "action", second), 2, 3, 0)
	want("ok", do(contract.ReleaseStock, "reserve", "compensate", anOrder), 5, 0, 0)
	second.ID = "o3"
	want("ok", do(contract.ReserveStock, "reserve", "action", second), 2, 3, 0)
	want("ok", do(contract.ConfirmStock, "confirm", "action", second), 2, 0, 3)
}

// TestShipping: a parcel goes to where a carrier goes.
func TestShipping(t *testing.T) { each(t, testShipping) }

func testShipping(t *testing.T, db *service.DB) {
	s := must[*shipping.Service](t)(shipping.New(t.Context(), db))
	send := func(o contract.Order) string {
		return command(t, s.Base, contract.ShippingCommands, contract.SendParcel, "ship", "action", o)
	}
	if got := send(anOrder); got != "rejected" {
		t.Fatal(got)
	}
	if err := s.Reach(t.Context(), "nz"); err != nil {
		t.Fatal(err)
	}
	second := anOrder
	second.ID = "o2"
	if got := send(second); got != "ok" || must[int64](t)(s.Pieces(t.Context())) != 3 || published(t, s.Base, contract.ShipmentSent) != 1 {
		t.Fatal(got)
	}
}

// TestOrder: a request places one order, whose checkout begins, however often it
// comes.
func TestOrder(t *testing.T) { each(t, testOrder) }

func testOrder(t *testing.T, db *service.DB) {
	s := must[*order.Service](t)(order.New(t.Context(), db, nil))
	front := s.Handler()
	post := func(key, body string) *httptest.ResponseRecorder {
		r := httptest.NewRequest("POST", "/orders", strings.NewReader(body))
		r.Header.Set("Idempotency-Key", key)
		w := httptest.NewRecorder()
		front.ServeHTTP(w, r)
		return w
	}
	const body = `{"customer":"ann","sku":"book","quantity":3,"amount":300,"country":"nz","card":"4111"}`
	first, again := post(`"k"`, body), post(`"k"`, body)
	if first.Code != http.StatusAccepted || again.Code != http.StatusAccepted || first.Body.String() != again.Body.String() {
		t.Fatalf("%d %s, then %d %s", first.Code, first.Body, again.Code, again.Body)
	}
	if published(t, s.Base, contract.OrderPlaced) != 1 || published(t, s.Base, contract.AcceptOrder) != 1 {
		t.Error("not one event, or not one command")
	}
	if bad := post(`"l"`, `{"customer":"ann"}`); bad.Code != http.StatusUnprocessableEntity {
		t.Errorf("%d %s", bad.Code, bad.Body)
	}
	w := httptest.NewRecorder()
	front.ServeHTTP(w, httptest.NewRequest("GET", first.Header().Get("Location"), nil))
	var a order.Answer
	if err := json.Unmarshal(w.Body.Bytes(), &a); err != nil || a.State != order.Placed || a.Quantity != 3 {
		t.Errorf("%v, %+v", err, a)
	}
	status := must[service.Status](t)(s.Status(t.Context()))
	if status.Sagas != 1 || status.Outbox != 2 {
		t.Errorf("%+v", status)
	}
}
