package main

import (
	"strings"
	"testing"
)

// TestVerdict: the slowest start counts, and without a start nothing is met.
func TestVerdict(t *testing.T) {
	for _, c := range []struct {
		starts []started
		met    bool
	}{
		{[]started{{ServingMillis: 30}, {ServingMillis: 1999}}, true},
		{[]started{{ServingMillis: 2000}, {ServingMillis: 30}}, false},
		{nil, false},
	} {
		text, met := result{Starts: c.starts}.verdict()
		if met != c.met || met == strings.Contains(text, "MISSED") {
			t.Errorf("%+v: %v, %q", c.starts, met, text)
		}
	}
}

// TestRestart is the measurement with little data.
func TestRestart(t *testing.T) {
	opt := options{gb: 0.1, partitions: 3, restarts: 2, dir: t.TempDir()}
	res, err := run(t.Context(), opt, t.Logf)
	if err != nil {
		t.Fatal(err)
	}
	if len(res.Starts) != opt.restarts || res.Fill.Bytes < 1e8 || res.Fill.DiskBytes < res.Fill.Bytes {
		t.Fatalf("nothing was measured: %+v", res)
	}
	for _, s := range res.Starts {
		if s.ServingMillis <= 0 || s.ProduceMillis < s.ServingMillis || s.FetchMillis < s.ProduceMillis || s.Resident <= 0 {
			t.Errorf("%+v", s)
		}
	}
}
