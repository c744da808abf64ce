package main

import (
	"bytes"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/waxwing-mq/waxwing/seal"
)

// privateFile says whether only the owner may read a file: private FILE.
func privateFile(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: private FILE")
	}
	info, err := os.Stat(ts.MkAbs(args[0]))
	ts.Check(err)
	if runtime.GOOS != "windows" && info.Mode() != 0o600 {
		ts.Fatalf("%s has the mode %v", args[0], info.Mode())
	}
}

// TestSealPageCommands: the script seal_docs runs the commands of docs/seal/README.md, in
// its order.
func TestSealPageCommands(t *testing.T) {
	page, err := os.ReadFile("../../docs/seal/README.md")
	if err != nil {
		t.Fatal(err)
	}
	script, err := os.ReadFile("testdata/script/seal_docs.txtar")
	if err != nil {
		t.Fatal(err)
	}
	var shown, run []string
	for line := range strings.Lines(string(page)) {
		if line, ok := strings.CutPrefix(line, "    waxwing "); ok {
			if _, last, ok := strings.Cut(line, "| waxwing "); ok {
				line = last
			}
			line, _, _ = strings.Cut(line, " > ")
			shown = append(shown, strings.TrimSpace(line))
		}
	}
	for line := range strings.Lines(string(script)) {
		if line, ok := strings.CutPrefix(line, "exec waxwing "); ok {
			run = append(run, strings.TrimSpace(line))
		}
	}
	if !slices.Equal(shown, run) {
		t.Errorf("the page has\n%s\nand the script\n%s", strings.Join(shown, "\n"), strings.Join(run, "\n"))
	}
}

func TestDays(t *testing.T) {
	for text, want := range map[string]time.Duration{"365d": 365 * day, "0d": 0, "90m": 90 * time.Minute, "24h": day} {
		var v daysValue
		if err := v.Set(text); err != nil || time.Duration(v) != want {
			t.Errorf("%q is %v, %v; want %v", text, time.Duration(v), err, want)
		}
		again := v
		if err := again.Set(v.String()); err != nil || again != v {
			t.Errorf("%v is written %q: %v, %v", time.Duration(v), v.String(), again, err)
		}
	}
	for _, text := range []string{"", "d", "-1d", "1.5d", "-1h", "forever", "99999999d"} {
		var v daysValue
		if err := v.Set(text); err == nil {
			t.Errorf("%q is %v", text, time.Duration(v))
		}
	}
}

// TestSealStorageKeyIDs: keys that are made at once have different ids.
func TestSealStorageKeyIDs(t *testing.T) {
	ids := map[uint32]bool{}
	for range 8 {
		ids[randomKeyID()] = true
	}
	if len(ids) < 8 || ids[0] { // two of eight are the same once in 10^8 runs
		t.Errorf("ids: %v", ids)
	}
}

// hasControls says whether a terminal would do more than show a text.
func hasControls(text string) bool {
	return strings.ContainsFunc(text, func(r rune) bool { return unicode.IsControl(r) && r != '\n' || r == unicode.ReplacementChar })
}

// FuzzSealInspect: whatever is inspected, there is no panic, and what is printed does
// nothing to a terminal.
func FuzzSealInspect(f *testing.F) {
	id, err := seal.NewIdentity("payments")
	if err == nil {
		id, err = id.SelfSigned(1, time.Now().Add(time.Hour))
	}
	if err != nil {
		f.Fatal(err)
	}
	head := "WXS\x01\x05\x01" + strings.Repeat("t", 16)
	handshake := head + "\x08payments\x07billing\x00" + string(rune(len(id.Certificate().Bytes()))) + string(id.Certificate().Bytes())
	for _, seed := range []string{
		handshake + "\x44\x08\x01", "WXS\x01\x06\x02" + strings.Repeat("t", 16) + "\x66" + strings.Repeat("x", 120), "WXS\x01\x05\x03" + strings.Repeat("t", 16) + "\x33",
		string(id.Certificate().Encode()), `{"value_base64":"V1hT","body":"x"}`, "575853", "V1hT", head, "\x1b[2J",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		for _, encoding := range []string{"auto", "raw", "json"} {
			things, err := inspect(text, encoding)
			var out bytes.Buffer
			for _, thing := range things {
				thing.print(&out)
			}
			if err != nil {
				out.WriteString(strings.Join(errorLines(err), "\n"))
			}
			if hasControls(out.String()) {
				t.Fatalf("%q", out.String())
			}
			if err := printJSON(&out, things); err != nil {
				t.Fatal(err)
			}
		}
	})
}
