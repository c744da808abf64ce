package amqp

import (
	"time"

	"github.com/waxwing-mq/waxwing/internal/amqp/wire"
	"github.com/waxwing-mq/waxwing/internal/broker"
	"github.com/waxwing-mq/waxwing/internal/broker/queue"
	"github.com/waxwing-mq/waxwing/internal/broker/route"
)

// Dead letters (RabbitMQ, "Dead Letter Exchanges"). A message that dies is
// published again to the queue's x-dead-letter-exchange, with
// x-dead-letter-routing-key or with the keys that it had. The header x-death
// tells its deaths, the newest first, one line for each queue and reason with a
// count; x-first-death-* and x-last-death-* repeat two of them. What a client
// itself writes into x-death counts for nothing (as in RabbitMQ 4). The
// property expiration goes, and stands in x-death as original-expiration.

// DeadLetter implements broker.Protocol.
func (s *Server) DeadLetter(l broker.Letter) (broker.Redirect, bool) {
	args, err := wire.ParseTable(l.Queue.Arguments)
	if err != nil {
		return broker.Redirect{}, false
	}
	v, _ := args.Get("x-dead-letter-exchange")
	exchange, ok := v.Text()
	if !ok {
		return broker.Redirect{}, false
	}
	properties, err := wire.ParseProperties(l.Message.Properties)
	if err != nil {
		return broker.Redirect{}, false
	}
	p := properties.Decode()
	keys := []string{l.Message.RoutingKey}
	cc, hasCC := textsOf(p.Headers, "CC")
	keys = append(keys, cc...)
	hidden := l.Message.HiddenKeys
	deaths := deathsOf(p.Headers, l.Message.DeadLettered)
	deaths = append([]death{{}}, without(deaths, l.Queue.Name, l.Reason.String())...)
	deaths[0] = nextDeath(deathsOf(p.Headers, l.Message.DeadLettered), l, keys, &p)
	p.Headers = deathHeaders(p.Headers, deaths, l)
	p.Flags.Set(wire.PropHeaders)
	p.Flags.Clear(wire.PropExpiration)
	if v, ok := args.Get("x-dead-letter-routing-key"); ok {
		key, _ := v.Text()
		keys, hidden = []string{key}, nil
		if hasCC {
			p.Headers = p.Headers.Without("CC")
		}
	}
	delay, delayed := delayOf(p.Headers)
	encoded := p.Encode()
	meta := queue.Message{Size: int64(len(l.Message.Body)), ExpiresAfter: queue.None, Transient: p.DeliveryMode != wire.Persistent, Priority: p.Priority}
	return broker.Redirect{
		Exchange: exchange,
		Route:    route.Message{Keys: append(keys, hidden...), Fields: &fields{properties: encoded, headers: p.Headers}, Delay: delayed},
		Due:      time.UnixMilli(l.Now).Add(delay),
		Meta:     meta,
		Message: broker.Message{
			Exchange: exchange, RoutingKey: keys[0], HiddenKeys: hidden, Properties: encoded.Bytes(), Body: l.Message.Body,
			Time: l.Now, DeadLettered: true,
		},
		Avoid: func(name string) bool { return isCycle(deaths, name) },
	}, true
}

// death is one line of x-death.
type death struct {
	queue, reason string
	table         wire.Table
}

// deathsOf reads x-death, if it is the broker's own.
func deathsOf(headers wire.Table, own bool) (out []death) {
	v, ok := headers.Get("x-death")
	lines, isArray := v.Array()
	if !own || !ok || !isArray {
		return nil
	}
	for line := range lines.All() {
		t, ok := line.Table()
		if !ok {
			continue
		}
		q, _ := t.Get("queue")
		r, _ := t.Get("reason")
		d := death{table: t}
		d.queue, _ = q.Text()
		d.reason, _ = r.Text()
		out = append(out, d)
	}
	return out
}

func without(deaths []death, queue, reason string) (out []death) {
	for _, d := range deaths {
		if d.queue != queue || d.reason != reason {
			out = append(out, d)
		}
	}
	return out
}

// nextDeath is the line of the death that is happening.
func nextDeath(before []death, l broker.Letter, keys []string, p *wire.Properties) death {
	d := death{queue: l.Queue.Name, reason: l.Reason.String()}
	now := wire.TimeValue(time.UnixMilli(l.Now))
	for _, old := range before {
		if old.queue == d.queue && old.reason == d.reason {
			n, _ := old.table.Get("count")
			count, _ := n.Int()
			d.table = old.table.With("count", wire.IntValue(count+1))
			return d
		}
	}
	texts := make([]wire.Value, len(keys))
	for i, k := range keys {
		texts[i] = wire.TextValue(k)
	}
	fields := []wire.Field{
		{Key: "count", Value: wire.IntValue(1)},
		{Key: "reason", Value: wire.TextValue(d.reason)},
		{Key: "queue", Value: wire.TextValue(d.queue)},
		{Key: "time", Value: now},
		{Key: "exchange", Value: wire.TextValue(l.Message.Exchange)},
		{Key: "routing-keys", Value: wire.ArrayValue(wire.MakeArray(texts...))},
	}
	if p.Flags.Has(wire.PropExpiration) {
		fields = append(fields, wire.Field{Key: "original-expiration", Value: wire.TextValue(p.Expiration)})
	}
	d.table = wire.MakeTable(fields...)
	return d
}

// deathHeaders writes the deaths into the headers.
func deathHeaders(h wire.Table, deaths []death, l broker.Letter) wire.Table {
	lines := make([]wire.Value, len(deaths))
	for i, d := range deaths {
		lines[i] = wire.TableValue(d.table)
	}
	h = h.With("x-death", wire.ArrayValue(wire.MakeArray(lines...)))
	last := deaths[0]
	if _, ok := h.Get("x-first-death-reason"); !ok || !l.Message.DeadLettered {
		h = deathFields(h, "x-first-death-", last, l.Message.Exchange)
	}
	return deathFields(h, "x-last-death-", last, l.Message.Exchange)
}

// deathFields says where a message died, and which exchange had brought it there
// this time: its line in x-death tells of the first.
func deathFields(h wire.Table, prefix string, d death, exchange string) wire.Table {
	return h.With(prefix+"reason", wire.TextValue(d.reason)).
		With(prefix+"queue", wire.TextValue(d.queue)).
		With(prefix+"exchange", wire.TextValue(exchange))
}

// isCycle says whether a letter that goes to the queue would go round in a
// circle on which no consumer has rejected it.
func isCycle(deaths []death, name string) bool {
	for _, d := range deaths {
		if d.reason == queue.Rejected.String() {
			return false
		}
		if d.queue == name {
			return true
		}
	}
	return false
}

// textsOf reads a header that is an array of strings.
func textsOf(h wire.Table, name string) (out []string, ok bool) {
	v, ok := h.Get(name)
	if !ok {
		return nil, false
	}
	a, _ := v.Array()
	for x := range a.All() {
		if text, ok := x.Text(); ok {
			out = append(out, text)
		}
	}
	return out, true
}
