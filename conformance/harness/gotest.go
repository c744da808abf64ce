package harness

import (
	"bufio"
	"encoding/json"
	"io"
	"strings"
	"testing"
)

// FollowGoTest reads the events of `go test -json` until events ends, and logs
// what failed tests printed. The result has, for each test that began, "pass",
// "skip" or "fail"; a test that did not end has failed.
func FollowGoTest(t testing.TB, events io.Reader) map[string]string {
	results, printed := map[string]string{}, map[string]*strings.Builder{}
	lines := bufio.NewScanner(events)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var e struct{ Action, Test, Output string }
		if json.Unmarshal(lines.Bytes(), &e) != nil {
			t.Logf("%s", lines.Text()) // what the compiler says
			continue
		}
		switch e.Action {
		case "run":
			results[e.Test], printed[e.Test] = "fail", &strings.Builder{}
		case "output":
			if p := printed[e.Test]; p != nil && p.Len() < 4<<10 {
				p.WriteString(e.Output)
			}
		case "pass", "skip", "fail":
			if e.Test == "" {
				continue
			}
			if results[e.Test] = e.Action; e.Action == "fail" {
				t.Logf("%s", printed[e.Test])
			}
			delete(printed, e.Test)
		}
	}
	for name, p := range printed {
		t.Logf("%s did not end:\n%s", name, p)
	}
	return results
}
