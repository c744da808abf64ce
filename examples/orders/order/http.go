package order

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/waxwing-mq/waxwing/examples/orders/contract"
	"github.com/waxwing-mq/waxwing/examples/orders/service"
	"github.com/waxwing-mq/waxwing/idempotency"
)

// Handler is the service's front:
//
//	POST /orders       places an order (a contract.Payment without an id); needs Idempotency-Key
//	GET  /orders/{id}  an order and its state
func (s *Service) Handler() http.Handler {
	keys := idempotency.New(s.DB)
	post := keys.Handler(s.post)
	mux := http.NewServeMux()
	mux.HandleFunc("POST /orders", func(w http.ResponseWriter, r *http.Request) {
		post.ServeHTTP(w, r)
		s.Outbox.Wake() // what was placed is committed by now
	})
	mux.HandleFunc("GET /orders/{id}", s.get)
	return mux
}

// An Answer is what the front says of an order.
type Answer struct {
	contract.Order
	State string `json:"state"`
}

// post places an order. Its id is made of the request's key, so that a request which
// comes again speaks of the same one.
func (s *Service) post(ctx context.Context, tx service.Tx, w http.ResponseWriter, r *http.Request) error {
	var o contract.Payment
	if err := json.NewDecoder(r.Body).Decode(&o); err != nil || o.Customer == "" || o.SKU == "" || o.Quantity < 1 || o.Amount < 0 || o.Card == "" {
		w.WriteHeader(http.StatusUnprocessableEntity)
		return nil
	}
	o.ID = idempotency.EventID(ctx, "order")
	if err := s.place(ctx, tx, o); err != nil {
		return err
	}
	w.Header().Set("Location", "/orders/"+o.ID)
	return respond(w, http.StatusAccepted, Answer{o.Order, Placed})
}

func (s *Service) get(w http.ResponseWriter, r *http.Request) {
	a := Answer{Order: contract.Order{ID: r.PathValue("id")}}
	err := s.DB.InTx(r.Context(), func(ctx context.Context, tx service.Tx) error {
		return tx.QueryRowContext(ctx, "SELECT state, customer, sku, quantity, amount, country FROM customer_order WHERE id = $1", a.ID).
			Scan(&a.State, &a.Customer, &a.SKU, &a.Quantity, &a.Amount, &a.Country)
	})
	switch {
	case errors.Is(err, sql.ErrNoRows):
		http.NotFound(w, r)
	case err != nil:
		http.Error(w, err.Error(), http.StatusInternalServerError)
	default:
		_ = respond(w, http.StatusOK, a)
	}
}

func respond(w http.ResponseWriter, status int, v any) error {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	return json.NewEncoder(w).Encode(v)
}
