package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/waxwing-mq/waxwing/examples/orders/order"
)

// A client places orders over HTTP. It has an impatient kind of customers: who gets no
// answer sends the request again, with the same key, and some send it twice at once.
type client struct {
	fleet  *fleet
	placed atomic.Int64 // orders with an answer
	tries  atomic.Int64 // requests

	mu   sync.Mutex
	bad  []string
	byID map[string]*plannedOrder
}

// clients is how many requests are under way at once, besides those that come twice.
const clients = 4

// place places orders, at most so many a second and so many in all, until each has an
// answer.
func (c *client) place(ctx context.Context, all []*plannedOrder, rate float64, allowed func() int) {
	orders := make(chan *plannedOrder)
	var wg sync.WaitGroup
	for range clients {
		wg.Go(func() {
			for o := range orders {
				c.placeOne(ctx, o)
			}
		})
	}
	tick := time.NewTicker(time.Duration(float64(time.Second) / rate))
	defer tick.Stop()
	for next := 0; next < len(all) && ctx.Err() == nil; {
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
		if next < allowed() {
			orders <- all[next]
			next++
		}
	}
	close(orders)
	wg.Wait()
}

// placeOne sends a request until it has an answer.
func (c *client) placeOne(ctx context.Context, o *plannedOrder) {
	if o.twice {
		var second sync.WaitGroup
		second.Go(func() { c.insist(ctx, o) })
		defer second.Wait()
	}
	if c.insist(ctx, o) {
		c.placed.Add(1)
	}
}

func (c *client) insist(ctx context.Context, o *plannedOrder) bool {
	for pause := 50 * time.Millisecond; ctx.Err() == nil; pause = min(2*pause, time.Second) {
		if c.send(ctx, o) {
			return true
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
	return false
}

// requestTimeout is how long a customer waits for an answer.
const requestTimeout = 2 * time.Second

// send sends a request once, to where the order service is now.
func (c *client) send(ctx context.Context, o *plannedOrder) bool {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	body, err := json.Marshal(o.payment())
	if err != nil {
		return c.complain("%v", err)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+c.fleet.service("order").front+"/orders", bytes.NewReader(body))
	if err != nil {
		return c.complain("%v", err)
	}
	r.Header.Set("Idempotency-Key", `"`+o.key+`"`)
	c.tries.Add(1)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return false // nobody knows whether it was placed
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	switch {
	case err != nil || resp.StatusCode == http.StatusConflict || resp.StatusCode >= 500:
		return false
	case resp.StatusCode != http.StatusAccepted:
		return c.complain("order %s: %s %s", o.key, resp.Status, text)
	}
	var a order.Answer
	if err := json.Unmarshal(text, &a); err != nil {
		return c.complain("order %s: %v", o.key, err)
	}
	return c.note(o, a.ID)
}

// note keeps an order's id. It must be the same in each answer.
func (c *client) note(o *plannedOrder, id string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if o.id != "" && o.id != id {
		c.bad = append(c.bad, fmt.Sprintf("key %s has the orders %s and %s", o.key, o.id, id))
	}
	o.id = id
	c.byID[id] = o
	return true
}

// complain keeps an answer that nobody should get.
func (c *client) complain(format string, args ...any) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.bad = append(c.bad, fmt.Sprintf(format, args...))
	return true
}
