package route

import (
	"fmt"
	"strconv"
	"testing"
)

func benchMatch(b *testing.B, table *Table, exchange string, m Message) {
	b.Helper()
	var r Result
	b.ReportAllocs()
	for b.Loop() {
		if err := table.Match(&r, "/", exchange, &m); err != nil {
			b.Fatal(err)
		}
	}
	if r.Unroutable() {
		b.Fatal("nothing matched")
	}
}

var sizes = []int{10, 100_000}

// topicPattern is the i-th of many patterns of a few shapes.
func topicPattern(i int) string {
	n := strconv.Itoa(i)
	switch i % 4 {
	case 0:
		return "stock." + n + ".*"
	case 1:
		return "stock.*." + n
	case 2:
		return "stock." + n + ".#"
	default:
		return "news." + n + ".eu"
	}
}

func topicTable(b *testing.B, n int) *Table {
	table := tableWith(b)
	for i := range n {
		apply(b, table, toQueue("topic", "q"+strconv.Itoa(i%1000), topicPattern(i)))
	}
	return table
}

// BenchmarkTopic: a key that matches one of few or of very many bindings.
func BenchmarkTopic(b *testing.B) {
	for _, n := range sizes {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			benchMatch(b, topicTable(b, n), "topic", Message{Keys: []string{"stock.4.x"}})
		})
	}
}

// BenchmarkTopicSpread: the same, with another key each time.
func BenchmarkTopicSpread(b *testing.B) {
	for _, n := range sizes {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			table := topicTable(b, n)
			keys := make([]string, n)
			for i := range keys {
				keys[i] = "stock." + strconv.Itoa(i*7919%n) + ".x"
			}
			var r Result
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if err := table.Match(&r, "/", "topic", &Message{Keys: keys[i%n : i%n+1]}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkBind: one binding comes and goes among few or very many.
func BenchmarkBind(b *testing.B) {
	for _, typ := range []Type{Direct, Fanout, Topic, Headers, ConsistentHash, ModulusHash, Random} {
		for _, n := range sizes {
			b.Run(fmt.Sprint(typ, "/", n), func(b *testing.B) {
				table := tableWith(b)
				for i := range n {
					key := topicPattern(i)
					if typ == ConsistentHash {
						key = "1"
					}
					apply(b, table, toQueue(typ.String(), fmt.Sprintf("q%07d", i), key, Argument{"n", Int(int64(i))}))
				}
				one := Binding{Source: typ.String(), Destination: Destination{ToQueue, "q0000005x"}, Key: "stock.5.5"}
				b.ReportAllocs()
				for b.Loop() {
					apply(b, table, Bound{"/", one}, Unbound{"/", one})
				}
			})
		}
	}
}

func BenchmarkDirect(b *testing.B) {
	for _, n := range sizes {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			table := tableWith(b)
			for i := range n {
				apply(b, table, toQueue("direct", "q"+strconv.Itoa(i), "k"+strconv.Itoa(i)))
			}
			benchMatch(b, table, "direct", Message{Keys: []string{"k7"}})
		})
	}
}

func BenchmarkDefault(b *testing.B) {
	benchMatch(b, tableWith(b), "", Message{Keys: []string{"q"}})
}

func BenchmarkFanout1000(b *testing.B) {
	table := tableWith(b)
	for i := range 1000 {
		apply(b, table, toQueue("fanout", "q"+strconv.Itoa(i), ""))
	}
	benchMatch(b, table, "fanout", Message{Keys: []string{""}})
}

func BenchmarkHeaders1000(b *testing.B) {
	table := tableWith(b)
	for i := range 1000 {
		apply(b, table, toQueue("headers", "q"+strconv.Itoa(i), "", Argument{"n", Int(int64(i))}, Argument{"type", String("order")}))
	}
	f := &fields{headers: []Argument{{"type", String("order")}, {"n", Int(17)}}}
	benchMatch(b, table, "headers", Message{Keys: []string{""}, Fields: f})
}

func BenchmarkConsistentHash100(b *testing.B) {
	table := tableWith(b)
	for i := range 100 {
		apply(b, table, toQueue("x-consistent-hash", "q"+strconv.Itoa(i), "10"))
	}
	benchMatch(b, table, "x-consistent-hash", Message{Keys: []string{"order-17"}})
}

// BenchmarkParallelDirect has every processor publish at once.
func BenchmarkParallelDirect(b *testing.B) {
	table := tableWith(b)
	apply(b, table, toQueue("direct", "q", "k"))
	b.ReportAllocs()
	b.RunParallel(func(p *testing.PB) {
		var r Result
		m := Message{Keys: []string{"k"}}
		for p.Next() {
			if err := table.Match(&r, "/", "direct", &m); err != nil {
				b.Fatal(err)
			}
		}
	})
}
