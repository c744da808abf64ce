package queue

import (
	"runtime"
	"strconv"
	"testing"
)

// declareQueue makes a durable queue of that name and returns its id.
func declareQueue(t testing.TB, m *Machine, name string, settings Settings) ID {
	_, _, reply := m.Decide(start, &Declare{Spec: Spec{VHost: "/", Name: name, Durable: true, Settings: settings}})
	r := reply.(*DeclareReply)
	if r.Err != OK {
		t.Fatal(r.Err)
	}
	return r.Queue
}

func emptyMachine() *Machine { return NewMachine(NewDurable(), start, firstLog) }

// newPublish publishes one plain message of 1 KiB.
func newPublish(targets ...ID) *Publish {
	return &Publish{Targets: targets, Message: Message{Size: 1024, ExpiresAfter: None}}
}

// fill publishes n messages to each target.
func fill(m *Machine, n int, targets ...ID) {
	for _, id := range targets {
		p := newPublish(id)
		for range n {
			m.Decide(start, p)
		}
	}
}

// loop publishes to queues in turn and acknowledges what is delivered.
func loop(b *testing.B, m *Machine, queues []ID) {
	p, s := newPublish(0), &Settle{Channel: 1, Refs: make([]Range, 1)}
	for i := 0; b.Loop(); i++ {
		p.Targets[0] = queues[i%len(queues)]
		_, e, _ := m.Decide(start, p)
		r := e.Deliveries[0].Ref
		s.Refs[0] = Range{r.Queue, r.Level, r.Offset, r.Offset + 1}
		if _, _, reply := m.Decide(start, s); reply.(*SettleReply).Unknown != 0 {
			b.Fatal("unknown")
		}
	}
}

// consumedQueues are n queues with a consumer each.
func consumedQueues(b *testing.B, m *Machine, n int) []ID {
	ids := make([]ID, n)
	for i := range ids {
		ids[i] = declareQueue(b, m, strconv.Itoa(i), NoSettings())
		m.Decide(start, &Subscribe{Connection: 1, Channel: ChannelID(1 + i/consumersChannelMax), Consumer: ConsumerID(i + 1), Queue: ids[i]})
	}
	b.ReportAllocs()
	return ids
}

func BenchmarkPublishAck(b *testing.B) {
	m := emptyMachine()
	loop(b, m, consumedQueues(b, m, 1))
}

// BenchmarkPublishAckBacklog is the same behind a million messages: what is
// acknowledged is replaced.
func BenchmarkPublishAckBacklog(b *testing.B) {
	m := emptyMachine()
	ids := []ID{declareQueue(b, m, "q", NoSettings())}
	fill(m, 1_000_000, ids...)
	m.Decide(start, &Subscribe{Connection: 1, Channel: 1, Consumer: 1, Queue: ids[0], Prefetch: 100})
	b.ReportAllocs()
	p, s := newPublish(ids...), &Settle{Channel: 1, Refs: make([]Range, 1)}
	for o := int64(0); b.Loop(); o++ {
		m.Decide(start, p)
		s.Refs[0] = Range{ids[0], 0, o, o + 1}
		if _, e, _ := m.Decide(start, s); len(e.Deliveries) != 1 {
			b.Fatal("nothing delivered")
		}
	}
}

func BenchmarkPublishAck4096Queues(b *testing.B) {
	m := emptyMachine()
	loop(b, m, consumedQueues(b, m, consumersChannelMax))
}

func BenchmarkPublish10000Queues(b *testing.B) {
	m := emptyMachine()
	ids := make([]ID, 10_000)
	for i := range ids {
		ids[i] = declareQueue(b, m, strconv.Itoa(i), NoSettings())
	}
	b.ReportAllocs()
	p := newPublish(0)
	for i := 0; b.Loop(); i++ {
		p.Targets[0] = ids[i%len(ids)]
		m.Decide(start, p)
	}
}

// BenchmarkAckMultiple acknowledges 10,000 messages at once; the time is of all
// of them, with their publishing.
func BenchmarkAckMultiple(b *testing.B) {
	m := emptyMachine()
	ids := consumedQueues(b, m, 1)
	s := &Settle{Channel: 1, Refs: make([]Range, 1)}
	for o := int64(0); b.Loop(); o += 10_000 {
		fill(m, 10_000, ids...)
		s.Refs[0] = Range{ids[0], 0, o, o + 10_000}
		if _, e, _ := m.Decide(start, s); len(e.Settled) != 1 {
			b.Fatal("not one range")
		}
	}
}

// BenchmarkAckOutOfOrder has two consumers of which one is always a thousand
// messages behind.
func BenchmarkAckOutOfOrder(b *testing.B) {
	m := emptyMachine()
	id := declareQueue(b, m, "q", NoSettings())
	for i := range 2 {
		m.Decide(start, &Subscribe{Connection: 1, Channel: 1, Consumer: ConsumerID(i + 1), Queue: id})
	}
	b.ReportAllocs()
	p, s := newPublish(id), &Settle{Channel: 1, Refs: make([]Range, 2)}
	for o := int64(0); b.Loop(); o += 2 {
		m.Decide(start, p)
		m.Decide(start, p)
		s.Refs[0] = Range{id, 0, o, o + 1}
		if s.Refs[1] = s.Refs[0]; o > 2000 {
			s.Refs[1] = Range{id, 0, o - 1999, o - 1998}
		}
		m.Decide(start, s)
	}
}

func BenchmarkFanOut100(b *testing.B) {
	m := emptyMachine()
	ids := consumedQueues(b, m, 100)
	p, s := newPublish(ids...), &Settle{Channel: 1}
	for b.Loop() {
		_, e, _ := m.Decide(start, p)
		s.Refs = s.Refs[:0]
		for _, d := range e.Deliveries {
			s.Refs = append(s.Refs, Range{d.Ref.Queue, 0, d.Ref.Offset, d.Ref.Offset + 1})
		}
		m.Decide(start, s)
	}
}

// TestCheapPath checks that a message that comes and goes takes no memory.
func TestCheapPath(t *testing.T) {
	m := emptyMachine()
	id := declareQueue(t, m, "q", NoSettings())
	m.Decide(start, &Subscribe{Connection: 1, Channel: 1, Consumer: 1, Queue: id, Prefetch: 10})
	p, s := newPublish(id), &Settle{Channel: 1, Refs: make([]Range, 1)}
	o := int64(0)
	if n := testing.AllocsPerRun(5000, func() {
		m.Decide(start, p)
		s.Refs[0] = Range{id, 0, o, o + 1}
		m.Decide(start, s)
		o++
	}); n > 0 {
		t.Errorf("%v allocations per message", n)
	}
}

// TestBacklogMemory checks what 10 M ready messages in 10,000 queues take.
func TestBacklogMemory(t *testing.T) {
	const queues, messages = 10_000, 1000
	heap := func() uint64 {
		var s runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&s)
		return s.HeapAlloc
	}
	before := heap()
	m := emptyMachine()
	for i := range queues {
		id := declareQueue(t, m, "queue-"+strconv.Itoa(i), NoSettings())
		m.Decide(start, newPublish(id))
		// The rest as replay would, which is quicker.
		for o := int64(1); o < messages; o++ {
			q := m.durable.byID[id]
			q.append(q.levels[0], &appended{offset: o})
		}
	}
	used := heap() - before
	t.Logf("%d bytes per queue", used/queues)
	if used > 20<<20 {
		t.Errorf("%d MB for %d queues with %d messages", used>>20, queues, messages)
	}
	_, _, reply := m.Decide(start, &Inspect{Queue: 1})
	if r := reply.(*InspectReply); r.Info.Ready != messages {
		t.Errorf("%d ready", r.Info.Ready)
	}
}
