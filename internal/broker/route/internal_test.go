package route

import (
	"testing"

	"pgregory.net/rapid"
)

// TestTopicMatchesAsTheTable: the rule for one pattern is that of the trie.
func TestTopicMatchesAsTheTable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		word := rapid.SampledFrom([]string{"a", "b", "", "*", "#"})
		join := func(label string, w *rapid.Generator[string]) string {
			s := ""
			for i, x := range rapid.SliceOfN(w, 0, 5).Draw(t, label) {
				if i > 0 {
					s += "."
				}
				s += x
			}
			return s
		}
		pattern := join("pattern", word)
		key := join("key", rapid.SampledFrom([]string{"a", "b", "", "c"}))
		table := NewTable()
		err := table.Apply(VHostOpened{"v"},
			ExchangeDeclared{"v", Exchange{Name: "x", Type: Topic, Internal: true}},
			Bound{"v", Binding{Source: "x", Destination: Destination{ToQueue, "q"}, Key: pattern}})
		if err != nil {
			t.Fatal(err)
		}
		if got, want := TopicMatches(pattern, key), table.Reaches("v", "x", key); got != want {
			t.Fatalf("pattern %q, key %q: %v, the table says %v", pattern, key, got, want)
		}
		var r Result
		if err := table.MatchInternal(&r, "v", "x", &Message{Keys: []string{key}}); err != nil || (len(r.Queues) > 0) != TopicMatches(pattern, key) {
			t.Fatalf("pattern %q, key %q: queues %v, %v", pattern, key, r.Queues, err)
		}
	})
}
