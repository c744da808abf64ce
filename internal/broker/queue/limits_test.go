package queue

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// ticks calls Tick as long as something is due, and fn with what comes of each.
func ticks(m *Machine, now time.Time, fn func(*Effects)) (n int) {
	for {
		if at := m.NextDeadline(); at.IsZero() || at.After(now) {
			return n
		}
		n++
		_, e := m.Tick(now)
		fn(e)
	}
}

// TestCallIsBounded checks that one call delivers so many messages and no more,
// though nobody acknowledges; the rest follows in order.
func TestCallIsBounded(t *testing.T) {
	m := emptyMachine()
	ids := []ID{declareQueue(t, m, "a", NoSettings()), declareQueue(t, m, "b", NoSettings())}
	const each = 3 * callMax
	fill(m, each, ids...)
	next := map[ID]int64{}
	count := func(e *Effects) {
		if n := len(e.Deliveries); n > callMax {
			t.Fatalf("%d deliveries in one call", n)
		}
		for _, d := range e.Deliveries {
			if d.Ref.Offset != next[d.Ref.Queue] {
				t.Fatalf("%v, want offset %d", d.Ref, next[d.Ref.Queue])
			}
			next[d.Ref.Queue]++
		}
	}
	for i, id := range ids {
		_, e, _ := m.Decide(start, &Subscribe{Connection: 1, Channel: 1, Consumer: ConsumerID(i + 1), Queue: id, NoAck: true})
		count(e)
	}
	if next[1] != callMax {
		t.Fatalf("the first call delivered %d", next[1])
	}
	_, e, _ := m.Decide(start, &Flow{Connection: 1, Channel: 1, Stopped: true})
	count(e)
	if n := ticks(m, start, count); n > 2 {
		t.Fatalf("%d ticks for nothing", n)
	}
	_, e, _ = m.Decide(start, &Flow{Connection: 1, Channel: 1})
	count(e)
	ticks(m, start, count)
	if next[1] != each || next[2] != each {
		t.Fatalf("delivered %v", next)
	}
}

// TestExpiryIsBounded checks the same of heads that expire; and that a get finds
// the message that lies behind them.
func TestExpiryIsBounded(t *testing.T) {
	m := emptyMachine()
	id := declareQueue(t, m, "q", NoSettings())
	const n = 3 * callMax
	for i := range n {
		p := newPublish(id)
		p.Message.ExpiresAfter = time.Duration(i+1) * time.Millisecond
		m.Decide(start, p)
	}
	m.Decide(start, newPublish(id))
	late := start.Add(time.Hour)
	_, e := m.Tick(late)
	if len(e.Dropped) != callMax {
		t.Fatalf("one tick dropped %d", len(e.Dropped))
	}
	_, _, reply := m.Decide(late, &Get{Connection: 1, Channel: 1, Queue: id})
	if r := reply.(*GetReply); !r.Found || r.Delivery.Ref.Offset != n {
		t.Fatalf("got %+v", r)
	}
}

// TestMovesAreBounded checks how many messages are asked for at a time, and how
// many are doomed that could as well wait where they are.
func TestMovesAreBounded(t *testing.T) {
	m := emptyMachine()
	settings := NoSettings()
	settings.TTL, settings.HasDeadLetter = time.Second, true
	id := declareQueue(t, m, "q", settings)
	const n = 3 * doomedMax
	fill(m, n, id)
	late := start.Add(time.Minute)
	fetched := map[Ref]bool{}
	var order []Ref
	take := func(e *Effects) {
		for _, f := range e.Fetches {
			if fetched[f.Ref] || f.Ref.Offset != int64(len(order)) {
				t.Fatalf("fetch %v after %d", f, len(order))
			}
			fetched[f.Ref] = true
			order = append(order, f.Ref)
		}
		info := m.queues[id].info()
		if len(order) > movesMax+n-int(info.Ready+info.Moving) || info.Moving > doomedMax {
			t.Fatalf("%d asked for, %+v", len(order), info)
		}
	}
	ticks(m, late, take)
	if len(order) != movesMax || m.queues[id].info().Moving != doomedMax {
		t.Fatalf("%d asked for, %+v", len(order), m.queues[id].info())
	}
	// Nobody gets what has expired, though it waits at the head.
	if _, _, reply := m.Decide(late, &Get{Connection: 1, Channel: 1, Queue: id}); reply.(*GetReply).Found {
		t.Fatal("an expired message was got")
	}
	for i := 0; i < len(order); i++ {
		_, e, reply := m.Decide(late, &Move{Ref: order[i]})
		if reply.(*MoveReply).Err != OK {
			t.Fatalf("move %v: %v", order[i], reply)
		}
		take(e)
		ticks(m, late, take)
	}
	if len(order) != n || m.queues[id].count != 0 {
		t.Fatalf("%d moved, %d left", len(order), m.queues[id].count)
	}
}

// TestInFlightIsBounded checks what a consumer without a limit may hold, and a
// channel that gets.
func TestInFlightIsBounded(t *testing.T) {
	m := emptyMachine()
	id := declareQueue(t, m, "q", NoSettings())
	fill(m, channelInFlightMax+InFlightMax+10, id)
	delivered := 0
	take := func(e *Effects) { delivered += len(e.Deliveries) }
	_, e, _ := m.Decide(start, &Subscribe{Connection: 1, Channel: 1, Consumer: 1, Queue: id})
	take(e)
	ticks(m, start, take)
	if delivered != InFlightMax {
		t.Fatalf("one consumer holds %d", delivered)
	}
	get := &Get{Connection: 1, Channel: 2, Queue: id}
	for i := range channelInFlightMax {
		if _, _, reply := m.Decide(start, get); !reply.(*GetReply).Found {
			t.Fatalf("get %d: %+v", i, reply)
		}
	}
	if _, _, reply := m.Decide(start, get); reply.(*GetReply).Err != LimitReached {
		t.Fatalf("%+v", reply)
	}
	// A channel that holds so much gets no deliveries either.
	if _, e, _ := m.Decide(start, &Subscribe{Connection: 1, Channel: 2, Consumer: 2, Queue: id}); len(e.Deliveries) != 0 {
		t.Fatalf("%d delivered", len(e.Deliveries))
	}
	_, e, _ = m.Decide(start, &Settle{Channel: 2, Refs: []Range{{id, 0, InFlightMax, InFlightMax + 1}}})
	if len(e.Deliveries) != 1 {
		t.Fatalf("%d delivered", len(e.Deliveries))
	}
}

func TestDeclareLimits(t *testing.T) {
	m := emptyMachine()
	full := Spec{VHost: "full", Settings: NoSettings()}
	m.durable.vhosts["full"] = queuesPerVHostMax
	for _, c := range []struct {
		what string
		spec Spec
		want Fault
	}{
		{"the longest name", Spec{Name: strings.Repeat("n", NameBytesMax)}, OK},
		{"a longer one", Spec{Name: strings.Repeat("n", NameBytesMax+1)}, BadName},
		{"a long vhost", Spec{VHost: strings.Repeat("n", NameBytesMax+1)}, BadName},
		{"large arguments", Spec{Arguments: make([]byte, argumentBytesMax+1)}, TooLarge},
		{"many arguments", Spec{Compared: []Argument{{"x", strings.Repeat("n", argumentBytesMax)}}}, TooLarge},
		{"too many queues of a vhost", full, LimitReached},
	} {
		_, _, reply := m.Decide(start, &Declare{Spec: c.spec})
		if r := reply.(*DeclareReply); r.Err != c.want {
			t.Errorf("%s: %v, want %v", c.what, r.Err, c.want)
		}
	}
	odd := Settings{TTL: -5, MaxLength: -5, MaxBytes: -5, DeliveryLimit: -5, DedupWindow: 1 << 30}
	_, _, reply := m.Decide(start, &Declare{Spec: Spec{Name: "odd", Settings: odd}})
	got := m.queues[reply.(*DeclareReply).Queue].spec.Settings
	want := NoSettings()
	want.DedupWindow = dedupWindowMax
	if got != want {
		t.Errorf("settings %+v, want %+v", got, want)
	}
}

func TestConsumerLimits(t *testing.T) {
	m := emptyMachine()
	id := declareQueue(t, m, "q", NoSettings())
	consumer := ConsumerID(0)
	subscribe := func(ch ChannelID) Fault {
		consumer++
		_, _, reply := m.Decide(start, &Subscribe{Connection: 1, Channel: ch, Consumer: consumer, Queue: id})
		return reply.(*SubscribeReply).Err
	}
	for i := range consumersQueueMax {
		if err := subscribe(ChannelID(1 + i/consumersChannelMax)); err != OK {
			t.Fatalf("consumer %d: %v", i, err)
		}
	}
	if err := subscribe(1000); err != LimitReached {
		t.Errorf("a queue takes one more: %v", err)
	}
	other := declareQueue(t, m, "other", NoSettings())
	id = other
	if err := subscribe(1); err != LimitReached {
		t.Errorf("a channel takes one more: %v", err)
	}
	if err := subscribe(1000); err != OK {
		t.Error(err)
	}
}

// TestFreeMemory checks that what a peak took is given back.
func TestFreeMemory(t *testing.T) {
	m := emptyMachine()
	id := declareQueue(t, m, "q", NoSettings())
	fill(m, 2*flightsKept, id)
	m.Decide(start, &Subscribe{Connection: 1, Channel: 1, Consumer: 1, Queue: id})
	l := m.queues[id].levels[0]
	if len(l.flights) != 2*flightsKept {
		t.Fatalf("%d in flight", len(l.flights))
	}
	m.Decide(start, &Settle{Channel: 1, Refs: []Range{{id, 0, 0, 2 * flightsKept}}})
	if l.flights != nil || m.freeCount != 2*flightsKept {
		t.Errorf("kept a map of flights; %d flights are free", m.freeCount)
	}
	m.Decide(start, &CloseConnection{Connection: 1})
	if n := len(m.connections) + len(m.channels) + len(m.consumers); n != 0 {
		t.Errorf("%d things are left of a connection", n)
	}
	if text := fmt.Sprint(m.queues[id].turns, m.queues[id].consumers); text != "[] []" {
		t.Errorf("the queue still knows %s", text)
	}
}

// TestRipeningIsBounded: when very many messages are due at once, over several
// queues, each call lines up so many and no more, and logs little. They come in
// the order in which they were due.
func TestRipeningIsBounded(t *testing.T) {
	m := emptyMachine()
	ids := []ID{declareQueue(t, m, "a", NoSettings()), declareQueue(t, m, "b", NoSettings())}
	const each = 3 * callMax
	for i := range each {
		p := newPublish(ids...)
		p.Message.NotBefore = start.Add(time.Duration(each-i) * time.Millisecond) // the last one first
		m.Decide(start, p)
	}
	late := start.Add(time.Hour)
	calls := 0
	for at := m.NextDeadline(); !at.IsZero() && !at.After(late); at = m.NextDeadline() {
		before := readyIn(m, ids)
		entry, _ := m.Tick(late)
		if n := readyIn(m, ids) - before; n > callMax {
			t.Fatalf("%d messages became ready in one call", n)
		}
		if len(entry) > 8*callMax {
			t.Fatalf("an entry of %d bytes", len(entry))
		}
		calls++
	}
	if n := readyIn(m, ids); n != 2*each || calls < 2*each/callMax || calls > 4*each/callMax {
		t.Fatalf("%d messages ready after %d calls", n, calls)
	}
	for i := range each {
		_, _, reply := m.Decide(late, &Get{Connection: 1, Channel: 1, Queue: ids[1]})
		if got := reply.(*GetReply); !got.Found || got.Delivery.Ref.Offset != int64(each-1-i) {
			t.Fatalf("got %+v as number %d", got, i)
		}
	}
}

func readyIn(m *Machine, ids []ID) (n int64) {
	for _, id := range ids {
		n += m.queues[id].readyCount()
	}
	return n
}
