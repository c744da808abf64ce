package docs

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/waxwing-mq/waxwing/conformance/harness"
)

// TestEntriesAreDrawn: each type of entry that the broker writes has a heading
// "## NUMBER Name" with its body below, in one of the pages of docs/format,
// and a line in the table of types.
func TestEntriesAreDrawn(t *testing.T) {
	types := regexp.MustCompile(`(?m)^\ttype[A-Z]\w* += (\d+)`).FindAllStringSubmatch(read(t, "internal", "broker", "state.go"), -1)
	if len(types) < 16 {
		t.Fatalf("internal/broker/state.go has %d types of entries", len(types))
	}
	pages := formatPages(t)
	table := read(t, "docs", "format", "entries.md")
	for _, x := range types {
		if n := len(regexp.MustCompile(`(?m)^## `+x[1]+` [A-Z]`).FindAllString(pages, -1)); n != 1 {
			t.Errorf("%q: docs/format draws entry %s %d times", strings.TrimSpace(x[0]), x[1], n)
		}
		if !strings.Contains(table, "\n| "+x[1]+" | ") {
			t.Errorf("%q: the table of docs/format/entries.md has no type %s", strings.TrimSpace(x[0]), x[1])
		}
	}
}

// TestInnerEntriesAreDrawn: the same for the entries inside entries 48 and 53, whose
// numbers count up from 1.
func TestInnerEntriesAreDrawn(t *testing.T) {
	for outer, pkg := range map[string]string{"48 Group": "group", "53 Prekeys": "prekey"} {
		_, block, found := strings.Cut(read(t, "internal", "broker", pkg, "entry.go"), " byte = iota + 1\n")
		if !found {
			t.Fatalf("internal/broker/%s/entry.go has no types of entries", pkg)
		}
		first, _, _ := strings.Cut(read(t, "internal", "broker", pkg, "entry.go"), " byte = iota + 1\n")
		block, _, _ = strings.Cut(block, "\n)")
		names := append([]string{first[strings.LastIndex(first, "\t")+1:]}, regexp.MustCompile(`\btype(\w+)`).FindAllString(block, -1)...)
		names = slices.DeleteFunc(names, func(n string) bool { return n == "typeEnd" }) // counts them
		_, section, _ := strings.Cut(read(t, "docs", "format", "entries.md"), "\n## "+outer+"\n")
		section, _, _ = strings.Cut(section, "\n## ")
		drawn := regexp.MustCompile(`(?m)^    (\d+) ([A-Z]\w+)`).FindAllStringSubmatch(section, -1)
		if len(drawn) != len(names) {
			t.Errorf("docs/format/entries.md draws %d entries in %s, there are %d", len(drawn), outer, len(names))
			continue
		}
		for i, name := range names {
			if got, want := drawn[i][1]+" "+drawn[i][2], string(rune('1'+i))+" "+strings.TrimPrefix(name, "type"); got != want {
				t.Errorf("docs/format/entries.md draws %q, want %q", got, want)
			}
		}
	}
}

// TestStateIsDrawn: the parts that durable.Snapshot writes are the fields that
// docs/format/state.md lists, in the same order, and each has a heading.
func TestStateIsDrawn(t *testing.T) {
	_, snapshot, _ := strings.Cut(read(t, "internal", "broker", "state.go"), "func (d *durable) Snapshot(")
	snapshot, _, _ = strings.Cut(snapshot, "\n}")
	named := map[string]string{
		"now": "time of the last entry", "logs": "logs", "catalog": "catalogue", "files": "files", "groups": "groups",
		"queues": "queues", "routes": "exchanges", "access": "users", "snapshotPulls": "cursors", "prekeys": "prekeys",
	}
	var want []string
	for _, x := range regexp.MustCompile(`\bd\.(\w+)`).FindAllStringSubmatch(snapshot, -1) {
		if named[x[1]] == "" {
			t.Errorf("durable.Snapshot writes d.%s, which this test has no name for", x[1])
		}
		want = append(want, named[x[1]])
	}
	if len(want) < 9 {
		t.Fatalf("durable.Snapshot has %d parts: %q", len(want), want)
	}
	page := read(t, "docs", "format", "state.md")
	intro, rest, _ := strings.Cut(page, "\n## ")
	var got []string
	for _, x := range regexp.MustCompile(`(?m)^    (?:[us]  )?(.+)$`).FindAllStringSubmatch(intro, -1) {
		if !strings.HasPrefix(x[1], "length of ") {
			got = append(got, x[1])
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("docs/format/state.md lists %q, durable.Snapshot writes %q", got, want)
	}
	headings := strings.ToLower(strings.Join(regexp.MustCompile(`(?m)^## .+$`).FindAllString("## "+rest, -1), "\n"))
	for _, part := range want[1:] {
		if !strings.Contains(headings, part) {
			t.Errorf("docs/format/state.md has no heading for the %s", part)
		}
	}
}

// formatPages are all pages of docs/format.
func formatPages(t *testing.T) string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(root(t), "docs", "format", "*.md"))
	harness.Must(t, err)
	var all strings.Builder
	for _, path := range paths {
		text, err := os.ReadFile(path)
		harness.Must(t, err)
		all.Write(text)
	}
	return all.String()
}
