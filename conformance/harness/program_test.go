package harness

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	const printed = `plan 3
ok produce/acks 0 12
a line of a library
not ok groups/two members: got 1: want 2
ok last 3
`
	var other bytes.Buffer
	var got []string
	planned, seen := parse(strings.NewReader(printed), &other, func(name, said string, ok bool) {
		got = append(got, fmt.Sprintf("%s|%s|%v", name, strings.TrimSpace(said), ok))
	})
	want := []string{"produce/acks 0|12 ms|true", "groups/two members|got 1: want 2|false", "last|3 ms|true"}
	if planned != 3 || seen != 3 || !slices.Equal(got, want) {
		t.Errorf("planned %d, seen %d, got %q, want %q", planned, seen, got, want)
	}
	if other.String() != "a line of a library\n" {
		t.Errorf("the rest is %q", other.String())
	}
}

func TestTailKeepsTheEnd(t *testing.T) {
	w := tail{limit: 10}
	for i := range 100 {
		fmt.Fprintf(&w, "%02d", i)
	}
	if got := w.String(); got != "9596979899" {
		t.Errorf("got %q", got)
	}
	fmt.Fprint(&w, strings.Repeat("x", 1000), "end")
	if got := w.String(); got != "xxxxxxxend" {
		t.Errorf("got %q", got)
	}
}
