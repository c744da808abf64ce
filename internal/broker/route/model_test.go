package route

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// TestMain makes rapid thorough unless the command line says otherwise.
func TestMain(m *testing.M) {
	flag.Parse()
	for name, value := range map[string]string{"rapid.checks": "100", "rapid.steps": "50"} {
		if f := flag.Lookup(name); f.Value.String() == f.DefValue {
			if err := f.Value.Set(value); err != nil {
				panic(err)
			}
		}
	}
	os.Exit(m.Run())
}

var words = rapid.SampledFrom([]string{"a", "a", "b", "", "*", "#"})

func dotted(t *rapid.T, label string, least, most int) string {
	return strings.Join(rapid.SliceOfN(words, least, most).Draw(t, label), ".")
}

// topicWith is a topic matcher with one queue for each pattern, which is the
// queue's name.
func topicWith(patterns ...string) (*topicMatcher, []*binding) {
	m := &topicMatcher{}
	var bs []*binding
	for _, p := range patterns {
		b := &binding{id: identity{to: Destination{ToQueue, p}, key: p}}
		m.add(b)
		bs = append(bs, b)
	}
	return m, bs
}

func topicMatches(m *topicMatcher, keys ...string) []string {
	r := &Result{message: Message{Keys: keys}}
	m.match(r)
	return unique(r.Queues)
}

// TestTopicAgainstNaive binds and unbinds random patterns and compares the
// trie with the definition.
func TestTopicAgainstNaive(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		patterns := map[string]bool{}
		for range rapid.IntRange(1, 30).Draw(t, "patterns") {
			patterns[dotted(t, "pattern", 0, 6)] = true
		}
		all := sortedKeys(patterns)
		m, bs := topicWith(all...)
		for i, b := range bs {
			if rapid.IntRange(0, 2).Draw(t, "remove") == 0 {
				m.remove(b)
				delete(patterns, all[i])
			}
		}
		for range 5 {
			key := dotted(t, "key", 0, 8)
			var want []string
			for _, p := range sortedKeys(patterns) {
				if naiveTopic(naiveWords(p), naiveWords(key)) {
					want = append(want, p)
				}
			}
			if got := topicMatches(m, key); !slices.Equal(got, want) {
				t.Fatalf("key %q matches %q, want %q of %q", key, got, want, sortedKeys(patterns))
			}
		}
		for i, b := range bs {
			if patterns[all[i]] {
				m.remove(b)
			}
		}
		if !m.root.empty() {
			t.Fatal("nodes are left in a trie without patterns")
		}
	})
}

func FuzzTopic(f *testing.F) {
	for _, s := range [][2]string{{"", ""}, {"#", ""}, {"*", ""}, {"a.*.b", "a..b"}, {"#.*.#.a", "b.a"}, {"*.#.", "..."}} {
		f.Add(s[0], s[1])
	}
	f.Fuzz(func(t *testing.T, pattern, key string) {
		if len(pattern) > 24 || len(key) > 24 {
			t.Skip("the naive matcher is slow")
		}
		m, bs := topicWith(pattern)
		if got, want := len(topicMatches(m, key)) == 1, naiveTopic(naiveWords(pattern), naiveWords(key)); got != want {
			t.Fatalf("pattern %q, key %q: %v, want %v", pattern, key, got, want)
		}
		m.remove(bs[0])
		if !m.root.empty() {
			t.Fatal("nodes are left")
		}
	})
}

// TestTopicTimeIsBounded has patterns with many # that nearly match: a matcher
// that tries all ways would not come back.
func TestTopicTimeIsBounded(t *testing.T) {
	var patterns []string
	for n := 1; n <= 60; n++ {
		patterns = append(patterns, strings.Repeat("#.a.", n)+"b")
	}
	m, _ := topicWith(patterns...)
	key := strings.Repeat("a.", 126) + "c"
	if got := topicMatches(m, key); len(got) != 0 {
		t.Fatalf("%q", got)
	}
	if got := topicMatches(m, key+".a.b", "b"); len(got) != 60 {
		t.Fatalf("%d of 60 patterns match", len(got))
	}
}

// TestTargetsAgainstMap has some destinations come and go until there are
// several chunks, and then all go.
func TestTargetsAgainstMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var ts targets
		want := map[string]int{}
		change := func(name string, by int) {
			if want[name] += by; by > 0 {
				ts.add(Destination{ToQueue, name})
			} else {
				ts.remove(Destination{ToQueue, name})
			}
			if want[name] == 0 {
				delete(want, name)
			}
		}
		compare := func() {
			if ts.count() != len(want) {
				t.Fatalf("%d targets, want %d", ts.count(), len(want))
			}
			for i, name := range sortedKeys(want) {
				if got := ts.nth(i); got.Name != name {
					t.Fatalf("target %d is %s, want %s", i, got.Name, name)
				}
			}
			for _, c := range ts.many {
				if len(c) == 0 || len(c) > chunkMax {
					t.Fatalf("a chunk of %d", len(c))
				}
			}
		}
		step := rapid.SampledFrom([]int{1, 7, 599}).Draw(t, "step")
		for i := range rapid.IntRange(0, 3*chunkMax).Draw(t, "targets") {
			change(fmt.Sprintf("%03d", i*step%600), 1)
		}
		compare()
		for range rapid.IntRange(0, 50).Draw(t, "changes") {
			name := fmt.Sprintf("%03d", rapid.IntRange(0, 600).Draw(t, "name"))
			if want[name] > 0 && rapid.Bool().Draw(t, "remove") {
				change(name, -1)
			} else {
				change(name, 1)
			}
		}
		compare()
		for _, name := range sortedKeys(want) {
			for want[name] > 0 {
				change(name, -1)
			}
		}
		if !ts.empty() {
			t.Fatal("chunks are left")
		}
	})
}

var headerNames = rapid.SampledFrom([]string{"a", "b", "x-a", "x-b", "x-match"})
var headerValues = rapid.SampledFrom([]Value{Int(1), Int(2), String("1"), Bool(true), Void})

func someHeaders(t *rapid.T, label string) []Argument {
	var out []Argument
	for range rapid.IntRange(0, 4).Draw(t, label) {
		out = append(out, Argument{headerNames.Draw(t, "name"), headerValues.Draw(t, "value")})
	}
	return canonical(out)
}

// someSpec is the arguments of a binding of a headers exchange.
func someSpec(t *rapid.T) []Argument {
	spec := slices.DeleteFunc(someHeaders(t, "arguments"), func(a Argument) bool { return a.Name == "x-match" })
	if match := rapid.SampledFrom([]string{"", "all", "any", "all-with-x", "any-with-x"}).Draw(t, "x-match"); match != "" {
		spec = append(spec, Argument{"x-match", String(match)})
	}
	return canonical(spec)
}

// TestHeadersAgainstNaive binds and unbinds random specifications.
func TestHeadersAgainstNaive(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newHeadersMatcher()
		bound := map[string]*binding{}
		for i := range rapid.IntRange(1, 20).Draw(t, "bindings") {
			name := fmt.Sprintf("%02d", i)
			b := &binding{id: identity{to: Destination{ToQueue, name}}, arguments: someSpec(t)}
			m.add(b)
			bound[name] = b
			if rapid.IntRange(0, 2).Draw(t, "remove") == 0 {
				gone := rapid.SampledFrom(sortedKeys(bound)).Draw(t, "which")
				m.remove(bound[gone])
				delete(bound, gone)
			}
		}
		f := fields{headers: someHeaders(t, "headers")}
		var want []string
		for _, name := range sortedKeys(bound) {
			if naiveHeaders(bound[name].arguments, f) {
				want = append(want, name)
			}
		}
		r := &Result{message: Message{Fields: f}}
		m.match(r)
		if got := unique(r.Queues); !slices.Equal(got, want) {
			t.Fatalf("%v match, want %v", got, want)
		}
		for _, b := range bound {
			m.remove(b)
		}
		if len(m.ids) != 0 || len(m.free) != len(m.names) {
			t.Fatal("names are left in a matcher without bindings")
		}
	})
}

// model is a world that random commands are thrown at.
type model struct {
	*world
	queues map[string]bool
}

var (
	exchangeNames = rapid.SampledFrom([]string{"a", "b", "c", "d", "e", "amq.topic", "amq.match", "amq.direct", "amq.fanout", "", "nobody"})
	queueNames    = rapid.SampledFrom([]string{"q1", "q2", "q3", "q4"})
	typeNamesDraw = rapid.SampledFrom(typeNames[1:])
)

func (w *model) declare(t *rapid.T) {
	c := Declare{
		VHost: "/", Name: exchangeNames.Draw(t, "exchange"), Type: typeNamesDraw.Draw(t, "type"),
		Durable: rapid.Bool().Draw(t, "durable"), AutoDelete: rapid.Bool().Draw(t, "auto-delete"),
		Internal: rapid.IntRange(0, 4).Draw(t, "internal") == 0,
		Raw:      []byte(rapid.SampledFrom([]string{"", "raw"}).Draw(t, "raw")),
	}
	if rapid.Bool().Draw(t, "alternate") {
		c.Arguments = append(c.Arguments, Argument{"alternate-exchange", String(exchangeNames.Filter(func(s string) bool { return s != "" }).Draw(t, "alternate exchange"))})
	}
	if c.Type == "x-delayed-message" {
		c.Arguments = append(c.Arguments, Argument{"x-delayed-type", String(typeNamesDraw.Draw(t, "delayed type"))})
	}
	before := w.d.Snapshot(nil)
	entries, err := w.d.DecideDeclare(c)
	w.decided(t, before, entries, err)
	if _, there := w.d.Exchange("/", c.Name); err == nil && !there {
		t.Fatal("declared, but not there")
	}
}

// decided checks that deciding changed nothing, applies, and checks that no
// auto-delete exchange outlived its last binding.
func (w *model) decided(t *rapid.T, before []byte, entries []Entry, err error) {
	if string(before) != string(w.d.Snapshot(nil)) {
		t.Fatal("deciding changed the state")
	}
	if err != nil && len(entries) > 0 {
		t.Fatal("entries and an error")
	}
	var bound []string // auto-delete exchanges that have bindings
	for name, x := range w.d.state.vhosts["/"].exchanges {
		if x.AutoDelete && len(x.from) > 0 {
			bound = append(bound, name)
		}
	}
	w.apply(t, entries)
	for _, name := range bound {
		if x := w.d.state.vhosts["/"].exchanges[name]; x != nil && len(x.from) == 0 {
			t.Fatalf("exchange %s lost its last binding and is there", name)
		}
	}
}

func (w *model) delete(t *rapid.T) {
	name := exchangeNames.Draw(t, "exchange")
	before := w.d.Snapshot(nil)
	entries, err := w.d.DecideDelete("/", name, rapid.Bool().Draw(t, "if-unused"))
	w.decided(t, before, entries, err)
	if _, there := w.d.Exchange("/", name); err == nil && there {
		t.Fatal("deleted, but there")
	}
}

func (w *model) someBind(t *rapid.T) Bind {
	c := Bind{VHost: "/", Source: exchangeNames.Draw(t, "source"), Key: dotted(t, "key", 0, 3)}
	if rapid.IntRange(0, 2).Draw(t, "to exchange") == 0 {
		c.Destination = Destination{ToExchange, exchangeNames.Draw(t, "destination")}
	} else {
		c.Destination = Destination{ToQueue, queueNames.Draw(t, "destination")}
	}
	c.QueueExists = w.queues[c.Destination.Name]
	x, _ := w.d.Exchange("/", c.Source)
	switch x.matchType() {
	case ConsistentHash:
		c.Key = rapid.SampledFrom([]string{"1", "2", "x"}).Draw(t, "weight")
	case Headers:
		c.Arguments = someSpec(t)
	}
	return c
}

func (w *model) bind(t *rapid.T) {
	c := w.someBind(t)
	before := w.d.Snapshot(nil)
	entries, err := w.d.DecideBind(c)
	w.decided(t, before, entries, err)
	if again, _ := w.d.DecideBind(c); err == nil && len(again) > 0 {
		t.Fatal("bound twice")
	}
}

func (w *model) unbind(t *rapid.T) {
	c := w.someBind(t)
	if bs := w.d.Bindings("/"); len(bs) > 0 && rapid.Bool().Draw(t, "existing") {
		b := rapid.SampledFrom(bs).Draw(t, "binding")
		c = Bind{VHost: "/", Source: b.Source, Destination: b.Destination, Key: b.Key, Arguments: b.Arguments}
	}
	before := w.d.Snapshot(nil)
	entries, err := w.d.DecideUnbind(c)
	w.decided(t, before, entries, err)
	for _, b := range w.d.Bindings("/") {
		if e := c.binding(); b.Source == e.Source && b.identity() == e.identity() {
			t.Fatal("unbound, but there")
		}
	}
}

func (w *model) queue(t *rapid.T) {
	name := queueNames.Draw(t, "queue")
	w.queues[name] = !w.queues[name]
	if w.queues[name] {
		return
	}
	before := w.d.Snapshot(nil)
	w.decided(t, before, w.d.DecideDestinationGone("/", name), nil)
	if bs := w.table.BindingsTo("/", Destination{ToQueue, name}); len(bs) > 0 {
		t.Fatalf("a queue that is gone is bound: %v", bs)
	}
}

// restart goes on with what a snapshot holds.
func (w *model) restart(t *rapid.T) {
	w.d = restored(t, w.d.Snapshot(nil))
	if err := w.table.Load(w.d); err != nil {
		t.Fatal(err)
	}
	before := w.d.Snapshot(nil)
	w.decided(t, before, w.d.DecideRestart(), nil)
	for _, x := range w.d.Exchanges("/") {
		if !x.Durable {
			t.Fatalf("exchange %s survived", x.Name)
		}
	}
}

// publish compares the table with the naive matcher, and with a table that is
// loaded from the state.
func (w *model) publish(t *rapid.T) {
	m := &Message{
		Keys:   []string{dotted(t, "key", 0, 3)},
		Fields: fields{headers: someHeaders(t, "headers")},
		Delay:  rapid.Bool().Draw(t, "delay"),
		Random: rapid.Uint64().Draw(t, "random"),
	}
	if rapid.Bool().Draw(t, "cc") {
		m.Keys = append(m.Keys, dotted(t, "key", 0, 3))
	}
	name := exchangeNames.Draw(t, "exchange")
	err := w.table.Match(&w.result, "/", name, m)
	x, there := w.d.Exchange("/", name)
	if (err != nil) != (!there || x.Internal) {
		t.Fatalf("exchange %q: %v", name, err)
	}
	if err != nil || name == "" {
		return
	}
	now, later, certain := naiveMatch(w.d, name, m)
	if certain && (!slices.Equal(w.result.Queues, now) || !slices.Equal(w.result.Delayed, later)) {
		t.Fatalf("%q by %q: %v and %v, want %v and %v", name, m.Keys, w.result.Queues, w.result.Delayed, now, later)
	}
	w.compareLoaded(t, name, m)
}

func (w *model) compareLoaded(t *rapid.T, name string, m *Message) {
	for _, x := range w.d.Exchanges("/") {
		if x.matchType() == Random {
			return // chooses by an order that is not part of the state
		}
	}
	loaded := NewTable()
	if err := loaded.Load(w.d); err != nil {
		t.Fatal(err)
	}
	var other Result
	if err := loaded.Match(&other, "/", name, m); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(other.Queues, w.result.Queues) || !slices.Equal(other.Delayed, w.result.Delayed) {
		t.Fatalf("a loaded table gives %v and %v, the live one %v and %v", other.Queues, other.Delayed, w.result.Queues, w.result.Delayed)
	}
}

// check is what always holds: both sides list the same, and every binding
// leads somewhere.
func (w *model) check(t *rapid.T) {
	want, got := w.d.Bindings("/"), w.table.Bindings("/")
	if fmt.Sprint(want) != fmt.Sprint(got) || fmt.Sprint(w.d.Exchanges("/")) != fmt.Sprint(w.table.Exchanges("/")) {
		t.Fatal("table and state list different things")
	}
	v := w.d.state.vhosts["/"]
	if v.bindings != len(want) {
		t.Fatalf("%d bindings are counted, there are %d", v.bindings, len(want))
	}
	for _, b := range want {
		if b.Destination.Kind == ToExchange && v.exchanges[b.Destination.Name] == nil {
			t.Fatalf("%v leads nowhere", b)
		}
	}
}

// TestModel throws random commands, messages and restarts at a state and its
// table.
func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := &model{newWorld(), map[string]bool{}}
		w.d.Limits.Bindings, w.d.Limits.Depth = 30, 3
		entries, err := w.d.DecideOpen("/")
		if err != nil {
			t.Fatal(err)
		}
		w.apply(t, entries)
		actions := map[string]func(*rapid.T){"": w.check}
		for name, a := range map[string]struct {
			weight int
			do     func(*rapid.T)
		}{
			"declare": {3, w.declare}, "delete": {1, w.delete}, "bind": {6, w.bind}, "unbind": {2, w.unbind},
			"queue": {2, w.queue}, "restart": {1, w.restart}, "publish": {6, w.publish},
		} {
			for i := range a.weight {
				actions[fmt.Sprint(name, " ", i)] = a.do
			}
		}
		t.Repeat(actions)
	})
}
