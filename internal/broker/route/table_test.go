package route

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"sync"
	"testing"
)

type tester interface {
	Helper()
	Fatal(...any)
}

// tableWith is a table with vhost /, its exchanges, and one of each type,
// named as the type.
func tableWith(t tester) *Table {
	t.Helper()
	entries := []Entry{VHostOpened{"/"}}
	for _, x := range predeclared {
		entries = append(entries, ExchangeDeclared{"/", x})
	}
	for typ := Direct; typ < Delayed; typ++ {
		entries = append(entries, ExchangeDeclared{"/", Exchange{Name: typ.String(), Type: typ}})
	}
	table := NewTable()
	apply(t, table, entries...)
	return table
}

func apply(t tester, table *Table, entries ...Entry) {
	t.Helper()
	if err := table.Apply(entries...); err != nil {
		t.Fatal(err)
	}
}

func toQueue(source, queue, key string, arguments ...Argument) Entry {
	return Bound{"/", Binding{Source: source, Destination: Destination{ToQueue, queue}, Key: key, Arguments: arguments}}
}

// TestReadersSeeWholeApplies binds and unbinds pairs while others publish:
// each sees both of a pair or none.
func TestReadersSeeWholeApplies(t *testing.T) {
	for _, name := range []string{"direct", "fanout", "topic", "headers"} {
		t.Run(name, func(t *testing.T) {
			table := tableWith(t)
			stop := make(chan struct{})
			var wg sync.WaitGroup
			for range 4 {
				wg.Go(func() {
					var r Result
					m := Message{Keys: []string{"k"}}
					for {
						if err := table.Match(&r, "/", name, &m); err != nil || len(r.Queues)%2 != 0 {
							t.Errorf("%v, %v", r.Queues, err)
							return
						}
						if n := len(table.BindingsFrom("/", name)); n%2 != 0 {
							t.Errorf("%d bindings", n)
							return
						}
						select {
						case <-stop:
							return
						default:
						}
					}
				})
			}
			for range 300 {
				apply(t, table, toQueue(name, "a", "k"), toQueue(name, "b", "k"))
				apply(t, table, DestinationGone{"/", "a"}, DestinationGone{"/", "b"})
			}
			close(stop)
			wg.Wait()
		})
	}
}

// TestLongWays has more exchanges on the way, and more # at once, than are
// searched without a map, and uses the same Result again.
func TestLongWays(t *testing.T) {
	table := tableWith(t)
	const n = 100
	name := func(i int) string { return fmt.Sprintf("x%03d", i) }
	for i := range n {
		apply(t, table, ExchangeDeclared{"/", Exchange{Name: name(i), Type: Topic}}, toQueue(name(i), name(i), "k.#"))
	}
	for i := range n {
		for _, to := range []int{(i + 1) % n, (i + 7) % n, i} {
			apply(t, table, Bound{"/", Binding{Source: name(i), Destination: Destination{ToExchange, name(to)}, Key: "#"}})
		}
	}
	for i := range n {
		apply(t, table, toQueue("topic", name(i), "k."+name(i)+".#"), toQueue("topic", name(i), "#."+name(i)))
		apply(t, table, toQueue("topic", "all", "#.k."+name(i)))
	}
	var r Result
	for range 3 {
		if err := table.Match(&r, "/", name(5), &Message{Keys: []string{"k"}}); err != nil || len(r.Queues) != n {
			t.Fatalf("%d queues, %v", len(r.Queues), err)
		}
		if err := table.Match(&r, "/", "topic", &Message{Keys: []string{"k." + name(7)}}); err != nil || !slices.Equal(r.Queues, []string{"all", name(7)}) {
			t.Fatalf("%v, %v", r.Queues, err)
		}
	}
}

// TestManyHashes reaches more # nodes than are searched without a map, with
// the same scratch space again and again, and each of them once.
func TestManyHashes(t *testing.T) {
	const n = 2 * manyHashes
	var chain, twice []string
	chainKey, twiceKey := "a", ""
	for i := range n {
		chain = append(chain, chainKey+".#.end")
		chainKey += ".a" + strconv.Itoa(i%2)
		twice = append(twice, "#.w"+strconv.Itoa(i)+".#.end")
		twiceKey += "w" + strconv.Itoa(i) + "."
	}
	for key, patterns := range map[string][]string{chainKey + ".end": chain, twiceKey + twiceKey + "end": twice} {
		m, _ := topicWith(patterns...)
		r := &Result{message: Message{Keys: []string{key}}}
		for range 2 {
			r.Queues = r.Queues[:0]
			m.match(r)
			if len(r.Queues) != len(patterns) {
				t.Fatalf("%d of %d patterns match", len(r.Queues), len(patterns))
			}
		}
		r.topic.walk(&m.root, key)
		seen := map[*topicNode]bool{}
		for _, n := range r.topic.hashes {
			if seen[n] {
				t.Fatal("a # node is reached twice")
			}
			seen[n] = true
		}
	}
}

func queueOf(t tester, table *Table, exchange, key string) string {
	var r Result
	if err := table.Match(&r, "/", exchange, &Message{Keys: []string{key}}); err != nil {
		t.Fatal(err)
	}
	if len(r.Queues) != 1 {
		t.Fatal(exchange, " sends a message to ", r.Queues)
	}
	return r.Queues[0]
}

// TestConsistentHash checks the shares, and that only messages of the binding
// that goes move.
func TestConsistentHash(t *testing.T) {
	const keys = 20_000
	table := tableWith(t)
	weights := map[string]int{"q1": 1, "q2": 2, "q3": 3, "q4": 10}
	total := 0
	for _, q := range sortedKeys(weights) {
		apply(t, table, toQueue("x-consistent-hash", q, strconv.Itoa(weights[q])))
		total += weights[q]
	}
	got, at := map[string]int{}, map[string]string{}
	for i := range keys {
		key := "key-" + strconv.Itoa(i)
		q := queueOf(t, table, "x-consistent-hash", key)
		got[q]++
		at[key] = q
	}
	for q, w := range weights {
		want := float64(keys*w) / float64(total)
		if math.Abs(float64(got[q])-want) > 5*math.Sqrt(want) {
			t.Errorf("%s has %d of %d messages, want about %.0f", q, got[q], keys, want)
		}
	}
	apply(t, table, DestinationGone{"/", "q3"})
	for key, before := range at {
		if now := queueOf(t, table, "x-consistent-hash", key); now != before && before != "q3" {
			t.Fatalf("%s moved from %s to %s", key, before, now)
		}
	}
}

// TestHashNeverChanges pins the hash: with another one messages of a key would
// change their queue in an update.
func TestHashNeverChanges(t *testing.T) {
	for s, want := range map[string]uint64{"": 0xf52a15e9a9b5e89b, "a": 0x02c0bdbf481420f8, "order-17": 0xa2b13ff1a62e905e} {
		if got := hash64(hashSeed, s); got != want {
			t.Errorf("hash of %q is %#x, want %#x", s, got, want)
		}
	}
}

func TestMatchErrors(t *testing.T) {
	table := tableWith(t)
	for _, c := range []struct {
		vhost, exchange string
		want            ErrorKind
	}{{"none", "direct", NotFound}, {"/", "none", NotFound}, {"/", "amq.rabbitmq.trace", AccessRefused}} {
		r := Result{Queues: []string{"old"}, Delayed: []string{"old"}}
		var e *Error
		if err := table.Match(&r, c.vhost, c.exchange, &Message{Keys: []string{"k"}}); !errors.As(err, &e) || e.Kind != c.want {
			t.Errorf("%s %s: %v", c.vhost, c.exchange, err)
		}
		if !r.Unroutable() {
			t.Errorf("%s %s: the result is that of the match before", c.vhost, c.exchange)
		}
	}
}

// TestAnIdleResultKeepsNothing looks for exchanges and nodes in the scratch.
func TestAnIdleResultKeepsNothing(t *testing.T) {
	table := tableWith(t)
	for _, key := range []string{"#.k.*", "a.#", "*.k.z", "a.k.z", "a.*.z", "*.*.z"} {
		apply(t, table, toQueue("topic", "q", key))
	}
	apply(t, table, toQueue("headers", "q", "", Argument{"n", Int(1)}))
	var r Result
	if err := table.Match(&r, "/", "headers", &Message{Fields: fields{headers: []Argument{{"n", Int(1)}}}}); err != nil || len(r.Queues) != 1 {
		t.Fatal(r.Queues, err)
	}
	if r.headers[:1][0].value != "" {
		t.Error("a header is left")
	}
	if err := table.Match(&r, "/", "topic", &Message{Keys: []string{"a.k.b"}}); err != nil || len(r.Queues) != 1 {
		t.Fatal(r.Queues, err)
	}
	for _, n := range slices.Concat(r.topic.at[:cap(r.topic.at)], r.topic.next[:cap(r.topic.next)], r.topic.hashes[:cap(r.topic.hashes)]) {
		if n != nil {
			t.Error("a node is left")
		}
	}
	if r.vhost != nil || r.visits[:1][0].exchange != nil {
		t.Error("an exchange is left")
	}
}

func TestMatchAllocatesNothing(t *testing.T) {
	table := tableWith(t)
	for i := range 100 {
		q := "q" + strconv.Itoa(i)
		apply(t, table, toQueue("direct", q, "k"+strconv.Itoa(i%10)), toQueue("fanout", q, ""), toQueue("topic", q, "*."+strconv.Itoa(i)+".#"),
			toQueue("headers", q, "", Argument{"n", Int(int64(i % 10))}), toQueue("x-consistent-hash", q, "1"),
			toQueue("x-modulus-hash", q, ""), toQueue("x-random", q, ""))
	}
	apply(t, table, Bound{"/", Binding{Source: "direct", Destination: Destination{ToExchange, "topic"}, Key: "a.7.b"}})
	f := &fields{headers: []Argument{{"n", Int(3)}}}
	for _, name := range []string{"", "direct", "fanout", "topic", "headers", "x-consistent-hash", "x-modulus-hash", "x-random"} {
		for _, key := range []string{"k3", "a.7.b"} {
			var r Result
			keys := [...]string{key}
			allocs := testing.AllocsPerRun(100, func() {
				m := Message{Keys: keys[:], Fields: f, Random: 5}
				if err := table.Match(&r, "/", name, &m); err != nil {
					t.Fatal(err)
				}
			})
			if allocs != 0 {
				t.Errorf("%s by %s: %.0f allocations", name, key, allocs)
			}
		}
	}
}
