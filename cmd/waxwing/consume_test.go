package main

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// runCommand runs the command line in this process.
func runCommand(ctx context.Context, stdin string, args ...string) (stdout, stderr string, err error) {
	var out, errs bytes.Buffer
	root := newRootCommand()
	root.SetArgs(args)
	root.SetIn(strings.NewReader(stdin))
	root.SetOut(&out)
	root.SetErr(&errs)
	err = root.ExecuteContext(ctx)
	return out.String(), errs.String(), err
}

// TestConsumeFromNowOn starts a consumer without a start and produces until it
// has seen a record: none of those from before it came.
func TestConsumeFromNowOn(t *testing.T) {
	addr, _ := startBroker(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	produce := func(line string) {
		if _, _, err := runCommand(ctx, line, "produce", "t", "-b", addr); err != nil {
			t.Fatal(err)
		}
	}
	produce("before")
	var out string
	done := make(chan error, 1)
	go func() {
		var err error
		out, _, err = runCommand(ctx, "", "consume", "t", "-n", "1", "-b", addr)
		done <- err
	}()
	for {
		select {
		case err := <-done:
			if err != nil || out != "after\n" {
				t.Fatalf("got %q, %v; want \"after\"", out, err)
			}
			return
		default:
			produce("after")
		}
	}
}

// TestIdleTimer: joining a group is not idling, and a record starts the wait
// anew.
func TestIdleTimer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		assigned := make(chan struct{})
		c := consume{idle: time.Second}
		timer := c.newIdleTimer(&session{timeout: 10 * time.Second}, assigned)
		poll := func(records int) bool {
			ctx, cancel := timer.context(t.Context())
			defer cancel()
			if records == 0 {
				<-ctx.Done()
			}
			return timer.over(records)
		}
		for range 100 {
			if poll(0) {
				t.Fatal("idle before the partitions were there")
			}
		}
		close(assigned)
		begin := time.Now()
		for !poll(0) {
		}
		if took := time.Since(begin); took < time.Second || took > 1100*time.Millisecond {
			t.Fatalf("idle after %v, want 1s", took)
		}
		if poll(1) {
			t.Fatal("idle right after a record")
		}
		begin = time.Now()
		for !poll(0) {
		}
		if took := time.Since(begin); took != time.Second {
			t.Fatalf("idle %v after a record, want 1s", took)
		}
	})
}

// TestIdleTimerImpatient: a group that never gives out partitions counts as
// idle in the end.
func TestIdleTimerImpatient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := consume{idle: time.Second}
		timer := c.newIdleTimer(&session{timeout: 10 * time.Second}, make(chan struct{}))
		begin := time.Now()
		for {
			ctx, cancel := timer.context(t.Context())
			<-ctx.Done()
			cancel()
			if timer.over(0) {
				break
			}
		}
		if took := time.Since(begin); took < 11*time.Second || took > 12*time.Second {
			t.Fatalf("idle after %v, want 11s", took)
		}
	})
}

func TestParseStart(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	tests := []struct {
		in   string
		want start
		bad  bool
	}{
		{in: "earliest", want: start{kind: startEarliest}},
		{in: "latest", want: start{kind: startLatest}},
		{in: "0", want: start{kind: startOffset}},
		{in: "17", want: start{kind: startOffset, n: 17}},
		{in: "-17", want: start{kind: startTail, n: 17}},
		{in: "-0", want: start{kind: startTail}},
		{in: "@-1h", want: start{kind: startTime, when: now.Add(-time.Hour)}},
		{in: "@2026-01-01", want: start{kind: startTime, when: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}},
		{in: "@2026-01-01T01:02:03+01:00", want: start{kind: startTime, when: time.Date(2026, 1, 1, 0, 2, 3, 0, time.UTC)}},
		{in: "@1000", want: start{kind: startTime, when: time.UnixMilli(1000)}},
		{in: "", bad: true},
		{in: "@", bad: true},
		{in: "@1h", bad: true},
		{in: "1.5", bad: true},
		{in: "99999999999999999999", bad: true},
	}
	for _, tt := range tests {
		got, err := parseStart(tt.in, now)
		if (err != nil) != tt.bad {
			t.Errorf("%q: error %v", tt.in, err)
		}
		if err == nil && (got.kind != tt.want.kind || got.n != tt.want.n || !got.when.Equal(tt.want.when)) {
			t.Errorf("%q: got %+v, want %+v", tt.in, got, tt.want)
		}
	}
}
