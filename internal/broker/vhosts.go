package broker

import (
	"context"
	"slices"
	"strings"

	"github.com/waxwing-mq/waxwing/internal/broker/queue"
	"github.com/waxwing-mq/waxwing/internal/broker/route"
	"github.com/waxwing-mq/waxwing/internal/engine"
)

// VHost is a virtual host: a name space of exchanges and queues, all of which
// live in one shard.
type VHost struct {
	b     *Broker
	shard *shard
	name  string
}

// QueueInfo is what the view shows of a queue. It is never changed.
type QueueInfo struct {
	ID          queue.ID
	VHost, Name string
	Kind        queue.Kind
	Exclusive   queue.ConnectionID // the only session that may use it; 0: any
	Arguments   []byte             // as declared; opaque
}

// Name is the vhost's name.
func (v *VHost) Name() string { return v.name }

// Queue returns the queue of that name.
func (v *VHost) Queue(name string) (*QueueInfo, bool) {
	w := v.b.view
	w.mu.RLock()
	defer w.mu.RUnlock()
	q, ok := w.queues[queueKey{v.name, name}]
	return q, ok
}

// Queues returns the queues of the vhost, sorted by name.
func (v *VHost) Queues() []*QueueInfo {
	w := v.b.view
	w.mu.RLock()
	var out []*QueueInfo
	for key, q := range w.queues {
		if key.vhost == v.name {
			out = append(out, q)
		}
	}
	w.mu.RUnlock()
	slices.SortFunc(out, func(a, b *QueueInfo) int { return strings.Compare(a.Name, b.Name) })
	return out
}

type queueKey struct{ vhost, name string }

// queueAt names a queue among all: ids are those of a shard.
type queueAt struct {
	shard engine.ShardID
	id    queue.ID
}

// showQueue puts a queue of the shard into the view.
func (s *shard) showQueue(q *QueueInfo) {
	w := s.b.view
	w.mu.Lock()
	defer w.mu.Unlock()
	w.queues[queueKey{q.VHost, q.Name}] = q
	w.queueByID[queueAt{s.id, q.ID}] = q
}

// hideQueue takes a queue of the shard out of the view.
func (s *shard) hideQueue(vhost, name string, id queue.ID) {
	w := s.b.view
	w.mu.Lock()
	defer w.mu.Unlock()
	at, key := queueAt{s.id, id}, queueKey{vhost, name}
	if q := w.queues[key]; q != nil && q == w.queueByID[at] {
		delete(w.queues, key)
	}
	delete(w.queueByID, at)
}

// Match finds the queues of a message; see route.Table.
func (v *VHost) Match(dst *route.Result, exchange string, m *route.Message) error {
	return v.shard.routes.Match(dst, v.name, exchange, m)
}

// Exchange returns an exchange.
func (v *VHost) Exchange(name string) (route.Exchange, bool) {
	return v.shard.routes.Exchange(v.name, name)
}

// Exchanges lists the exchanges by name, with the pre-declared ones.
func (v *VHost) Exchanges() []route.Exchange { return v.shard.routes.Exchanges(v.name) }

// Bindings lists the bindings, those of the default exchange left out.
func (v *VHost) Bindings() []route.Binding { return v.shard.routes.Bindings(v.name) }

// Bound says whether a binding is there. VHost is filled in.
func (v *VHost) Bound(b route.Bind) bool {
	b.VHost = v.name
	return v.shard.routes.Bound(b)
}

// CheckExchange says whether there is an exchange of that name, as a passive
// declaration asks. The error is a *route.Error.
func (v *VHost) CheckExchange(name string) error {
	if name == "" {
		return &route.Error{Kind: route.AccessRefused, Text: "operation not permitted on the default exchange"}
	}
	if _, ok := v.shard.routes.Exchange(v.name, name); !ok {
		return &route.Error{Kind: route.NotFound, Text: "no exchange '" + name + "' in vhost '" + v.name + "'"}
	}
	return nil
}

// routed has the shard decide something about exchanges.
func (v *VHost) routed(ctx context.Context, n need, decide func(d *route.Durable) ([]route.Entry, error)) error {
	s := v.shard
	_, err := call(ctx, s, func(int64) (struct{}, error) {
		if err := s.room(n, 0); err != nil {
			return struct{}{}, err
		}
		entries, err := decide(s.d.routes)
		s.logRoutes(entries)
		if n == toFree && len(entries) > 0 {
			s.endPulls()
		}
		return struct{}{}, err
	})
	return err
}

// DeclareExchange declares an exchange. VHost is filled in.
func (v *VHost) DeclareExchange(ctx context.Context, c route.Declare) error {
	c.VHost = v.name
	return v.routed(ctx, toCommit, func(d *route.Durable) ([]route.Entry, error) { return d.DecideDeclare(c) })
}

// DeleteExchange deletes an exchange, unless it is in use and ifUnused is set.
func (v *VHost) DeleteExchange(ctx context.Context, name string, ifUnused bool) error {
	return v.routed(ctx, toFree, func(d *route.Durable) ([]route.Entry, error) { return d.DecideDelete(v.name, name, ifUnused) })
}

// Bind binds an exchange. VHost and QueueExists are filled in.
func (v *VHost) Bind(ctx context.Context, c route.Bind) error {
	c.VHost = v.name
	return v.routed(ctx, toCommit, func(d *route.Durable) ([]route.Entry, error) {
		_, stream := v.Stream(c.Destination.Name)
		c.QueueExists = stream || v.shard.d.queues.Find(v.name, c.Destination.Name) != 0
		entries, err := d.DecideBind(c)
		if err == nil {
			v.shard.beginPulls(v.name, &c)
		}
		return entries, err
	})
}

// Unbind ends a binding. VHost is filled in.
func (v *VHost) Unbind(ctx context.Context, c route.Bind) error {
	c.VHost = v.name
	return v.routed(ctx, toFree, func(d *route.Durable) ([]route.Entry, error) { return d.DecideUnbind(c) })
}
