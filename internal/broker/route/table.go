package route

import (
	"slices"
	"sync"
)

// Table is the view of a shard's exchanges and bindings: what is durable. Any
// number of goroutines match and list while one applies entries; each sees
// all entries of an Apply or none.
type Table struct {
	mu    sync.RWMutex
	state state
}

// NewTable returns an empty table.
func NewTable() *Table { return &Table{state: state{matching: true}} }

// Load replaces what the table holds by the state of d, which must not change
// meanwhile. It shares d's slices.
func (t *Table) Load(d *Durable) error {
	loaded := state{matching: true}
	for e := range d.state.entries {
		if err := loaded.apply(e); err != nil {
			return err
		}
	}
	t.mu.Lock()
	t.state = loaded
	t.mu.Unlock()
	return nil
}

// Apply takes in facts and their slices, all at once for those who read. An
// error means that an entry does not fit what the table holds; it and those
// after it were not taken in.
func (t *Table) Apply(entries ...Entry) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, e := range entries {
		if err := t.state.apply(e); err != nil {
			return err
		}
	}
	return nil
}

// Exchange returns an exchange.
func (t *Table) Exchange(vhost, name string) (Exchange, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.state.exchange(vhost, name)
}

// Exchanges lists the exchanges of a vhost by name.
func (t *Table) Exchanges(vhost string) []Exchange {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.state.exchanges(vhost)
}

// Bindings lists the bindings of a vhost as Durable.Bindings does.
func (t *Table) Bindings(vhost string) []Binding {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.state.bindings(vhost)
}

// BindingsFrom lists the bindings that lead from an exchange, by destination,
// key and arguments.
func (t *Table) BindingsFrom(vhost, exchange string) []Binding {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.state.bindingsFrom(vhost, exchange)
}

// BindingsTo lists the bindings that lead to d, by source, key and arguments.
func (t *Table) BindingsTo(vhost string, d Destination) []Binding {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.state.bindingsTo(vhost, d)
}

// Bound says whether a binding is there.
func (t *Table) Bound(b Bind) bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	x, err := t.find(b.VHost, b.Source)
	if err != nil {
		return false
	}
	e := b.binding()
	return x.from[e.identity()] != nil
}

// Message is what exchanges match on.
type Message struct {
	Keys   []string // the routing key, then those of CC and BCC; at least one
	Fields Fields   // nil: none
	Random uint64   // by which an x-random exchange chooses
	Delay  bool     // asks an x-delayed-message exchange to be held back
}

// Fields gives what a message says of itself. Names are those of RabbitMQ.
type Fields interface {
	Header(name string) (Value, bool)
	Property(name string) (Value, bool)
}

// Result is where a message goes. The zero value is ready; using it again
// saves allocations. It is for one goroutine at a time.
type Result struct {
	// Queues get the message now, Delayed when its delay is over. Each has
	// every queue once, ascending, and holds strings of the table and of
	// Message.Keys; both are valid until the next Match. Without
	// Message.Delay all are in Queues. A queue may be deleted meanwhile,
	// and what the default exchange was asked for may never have been one.
	Queues  []string
	Delayed []string

	message Message // a copy, so that the caller's can stay on its stack
	vhost   *vhost
	visits  []visit
	seen    map[visit]struct{} // of visits, if there are many
	delayed bool               // of the visit under way
	topic   topicScratch
	headers []headerValue
}

// Unroutable says that nothing matched, in any exchange that the message came
// to.
func (r *Result) Unroutable() bool { return len(r.Queues)+len(r.Delayed) == 0 }

// visit is an exchange that the message comes to.
type visit struct {
	exchange *exchange
	delayed  bool // on the way, or here, it was held back
}

// Match finds the queues of a message that is published to an exchange: through
// bindings between exchanges, and where nothing matches through alternate
// exchanges; each exchange is passed once. It fails with an *Error: NotFound,
// or AccessRefused for an internal exchange. It keeps no reference to m.
func (t *Table) Match(dst *Result, vhost, exchange string, m *Message) error {
	dst.Queues, dst.Delayed = dst.Queues[:0], dst.Delayed[:0]
	t.mu.RLock()
	defer t.mu.RUnlock()
	v := t.state.vhosts[vhost]
	if v == nil {
		return noVHost(vhost)
	}
	x := v.exchanges[exchange]
	if x == nil {
		return noExchange(vhost, exchange)
	}
	if x.Internal {
		return refuse(AccessRefused, "cannot publish to internal exchange '%s' in vhost '%s'", exchange, vhost)
	}
	dst.message, dst.vhost = *m, v
	dst.walk(x)
	dst.message, dst.vhost = Message{}, nil
	return nil
}

func (r *Result) walk(from *exchange) {
	r.delayed = false
	r.visit(from)
	for i := 0; i < len(r.visits); i++ {
		x := r.visits[i].exchange
		r.delayed = r.visits[i].delayed
		matched := x.matcher.match(r)
		if !matched && x.HasAlternate {
			if alternate := r.vhost.exchanges[x.Alternate]; alternate != nil {
				r.visit(alternate)
			}
		}
	}
	r.Queues, r.Delayed = unique(r.Queues), unique(r.Delayed)
	clear(r.visits) // a Result that lies idle keeps no exchange alive
	clear(r.seen)
	r.visits = r.visits[:0]
}

// manyVisits is how many visits are searched without a map.
const manyVisits = 16

// visit adds an exchange to the way, unless the message comes there already.
func (r *Result) visit(x *exchange) {
	n := visit{x, r.delayed || r.message.Delay && x.Type == Delayed}
	if len(r.visits) <= manyVisits {
		if slices.Contains(r.visits, n) {
			return
		}
	} else {
		if len(r.seen) == 0 {
			r.fillSeen()
		}
		if _, ok := r.seen[n]; ok {
			return
		}
		r.seen[n] = struct{}{}
	}
	r.visits = append(r.visits, n)
}

func (r *Result) fillSeen() {
	if r.seen == nil {
		r.seen = map[visit]struct{}{}
	}
	for _, n := range r.visits {
		r.seen[n] = struct{}{}
	}
}

// take sends the message to one destination.
func (r *Result) take(d Destination) {
	switch {
	case d.Kind == ToExchange:
		r.visit(r.vhost.exchanges[d.Name])
	case r.delayed:
		r.Delayed = append(r.Delayed, d.Name)
	default:
		r.Queues = append(r.Queues, d.Name)
	}
}

// takeAll sends the message to every one of ts, and says whether there is any.
func (r *Result) takeAll(ts *targets) bool {
	for i := range ts.few {
		r.take(ts.few[i].Destination)
	}
	for _, c := range ts.many {
		for i := range c {
			r.take(c[i].Destination)
		}
	}
	return !ts.empty()
}

// unique sorts names and drops repeats.
func unique(names []string) []string {
	if len(names) < 2 {
		return names
	}
	if !slices.IsSorted(names) {
		slices.Sort(names)
	}
	return slices.Compact(names)
}
