package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
	"pgregory.net/rapid"
)

func TestSizeValue(t *testing.T) {
	tests := []struct {
		in   string
		want int64
		bad  bool
	}{
		{in: "0", want: 0},
		{in: "1048576", want: 1 << 20},
		{in: "64KiB", want: 64 << 10},
		{in: "64 kib", want: 64 << 10},
		{in: "64k", want: 64 << 10},
		{in: "1MB", want: 1e6},
		{in: "2GiB", want: 2 << 30},
		{in: "3t", want: 3 << 40},
		{in: "7b", want: 7},
		{in: "", bad: true},
		{in: "MiB", bad: true},
		{in: "-1", bad: true},
		{in: "1.5MB", bad: true},
		{in: "9223372036854775807", want: 1<<63 - 1},
		{in: "9007199254740992k", bad: true},
	}
	for _, tt := range tests {
		var v sizeValue
		err := v.Set(tt.in)
		if (err != nil) != tt.bad || err == nil && int64(v) != tt.want {
			t.Errorf("%q: got %d, %v; want %d", tt.in, v, err, tt.want)
		}
	}
}

func TestOneLine(t *testing.T) {
	tests := []struct{ in, want string }{
		{"plain", "plain"},
		{"two\nlines", "two; lines"},
		{"unknown command \"topc\"\n\nDid you mean this?\n\ttopic\n", `unknown command "topc"; Did you mean this? topic`},
		{"yaml:\n  line 1:  bad", "yaml: line 1: bad"},
		{"", ""},
	}
	for _, tt := range tests {
		if got := oneLine(tt.in); got != tt.want {
			t.Errorf("%q: got %q, want %q", tt.in, got, tt.want)
		}
	}
}

func TestNumbersForPeople(t *testing.T) {
	for in, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", -1000: "-1,000", -999: "-999", 1234567: "1,234,567"} {
		if got := groupDigits(in); got != want {
			t.Errorf("groupDigits(%d) = %q, want %q", in, got, want)
		}
	}
	for in, want := range map[time.Duration]string{
		0: "0 µs", 999 * time.Microsecond: "999 µs", 1500 * time.Microsecond: "1.50 ms",
		12345 * time.Microsecond: "12.3 ms", 1500 * time.Millisecond: "1.50 s", time.Minute: "60.0 s",
	} {
		if got := shortDuration(in); got != want {
			t.Errorf("shortDuration(%d) = %q, want %q", in, got, want)
		}
	}
}

// TestSettingsRoundTrip: what printSettings writes, applyFile reads back, for
// any values.
func TestSettingsRoundTrip(t *testing.T) {
	type settings struct {
		text  string
		size  sizeValue
		on    bool
		wait  time.Duration
		pairs pairsValue
	}
	flags := func(s *settings) *pflag.FlagSet {
		fs := pflag.NewFlagSet("test", pflag.ContinueOnError)
		fs.StringVar(&s.text, "text", "", "")
		fs.Var(&s.size, "size", "")
		fs.BoolVar(&s.on, "on", false, "")
		fs.DurationVar(&s.wait, "wait", 0, "")
		fs.Var(s.pairs, "pairs", "")
		bindEnv(fs, "text", "size", "on", "wait", "pairs")
		return fs
	}
	path := t.TempDir() + "/settings.yaml"
	rapid.Check(t, func(t *rapid.T) {
		word := rapid.StringMatching(`[ -~äß\t\n]{0,12}`)
		in := settings{
			text: word.Draw(t, "text"), size: sizeValue(rapid.Int64Min(0).Draw(t, "size")),
			on: rapid.Bool().Draw(t, "on"), wait: time.Duration(rapid.Int64().Draw(t, "wait")),
			pairs: rapid.MapOf(rapid.StringMatching(`[a-z.]{1,8}`), word).Draw(t, "pairs"),
		}
		var text bytes.Buffer
		if err := printSettings(&text, flags(&in)); err != nil {
			t.Fatal(err)
		}
		writeFile(t, path, text.String())
		out := settings{pairs: pairsValue{}}
		if err := applyFile(flags(&out), path); err != nil {
			t.Fatalf("%v in:\n%s", err, text.String())
		}
		if out.text != in.text || out.size != in.size || out.on != in.on || out.wait != in.wait || out.pairs.String() != in.pairs.String() {
			t.Fatalf("wrote %+v, read %+v from:\n%s", in, out, text.String())
		}
	})
}

// TestSettingsFileLimit: a file that cannot be a settings file is not read
// whole.
func TestSettingsFileLimit(t *testing.T) {
	path := t.TempDir() + "/big.yaml"
	writeFile(t, path, strings.Repeat("#", settingsFileMax+1))
	fs := pflag.NewFlagSet("test", pflag.ContinueOnError)
	if err := applyFile(fs, path); err == nil || !strings.Contains(err.Error(), "larger than") {
		t.Fatalf("got %v", err)
	}
}
