// Package kcat tests with kcat as Debian ships it, on an older librdkafka.
package kcat

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/waxwing-mq/waxwing/conformance/harness"
)

// suite is one broker.
type suite struct{ broker *harness.Broker }

func TestKcat(t *testing.T) {
	s := &suite{harness.StartBroker(t)}
	cases := map[string]func(*suite, *testing.T){
		"compression": (*suite).compression,
		"idempotence": (*suite).idempotence,
		"shapes":      (*suite).shapes,
		"metadata":    (*suite).metadata,
		"offsets":     (*suite).offsets,
		"group":       (*suite).group,
		"errors":      (*suite).errors,
	}
	for name, run := range cases {
		t.Run(name, func(t *testing.T) { t.Parallel(); run(s, t) })
	}
}

// start runs kcat with input until it ends, fails, or ctx is done.
func (s *suite) start(ctx context.Context, input string, args ...string) (stdout, stderr string, err error) {
	cmd := exec.CommandContext(ctx, "kcat", append([]string{"-b", s.broker.Bootstrap}, args...)...)
	cmd.SysProcAttr = harness.ProcessGroup()
	cmd.WaitDelay = 5 * time.Second
	cmd.Stdin = strings.NewReader(input)
	var out, why bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &why
	err = cmd.Run()
	return out.String(), why.String(), err
}

// kcat runs kcat, which must succeed, and returns what it printed.
func (s *suite) kcat(t *testing.T, input string, args ...string) string {
	t.Helper()
	stdout, stderr, err := s.start(harness.Context(t), input, args...)
	if err != nil {
		t.Fatalf("kcat %s: %v\n%s", strings.Join(args, " "), err, stderr)
	}
	return stdout
}

// consume reads all of a topic's partition 0.
func (s *suite) consume(t *testing.T, topic string, args ...string) string {
	t.Helper()
	return s.kcat(t, "", append([]string{"-C", "-t", topic, "-p", "0", "-e", "-q", "-o", "beginning", "-X", "check.crcs=true"}, args...)...)
}

func lines(first, count int) string {
	var b strings.Builder
	for i := range count {
		fmt.Fprintln(&b, first+i)
	}
	return b.String()
}

func same(t *testing.T, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("got %d bytes %.200q, want %d bytes %.200q", len(got), got, len(want), want)
	}
}

func (s *suite) compression(t *testing.T) {
	for _, codec := range []string{"none", "gzip", "snappy", "lz4", "zstd"} {
		topic, want := harness.Fresh("kcat"), lines(0, 5000)
		s.kcat(t, want, "-P", "-t", topic, "-p", "0", "-z", codec, "-X", "linger.ms=50")
		same(t, s.consume(t, topic), want)
		harness.WantCodec(t, s.broker, topic, codec)
	}
}

func (s *suite) idempotence(t *testing.T) {
	topic := harness.Fresh("kcat")
	s.kcat(t, lines(0, 5000), "-P", "-t", topic, "-p", "0", "-X", "enable.idempotence=true", "-X", "batch.num.messages=100")
	s.kcat(t, lines(5000, 5000), "-P", "-t", topic, "-p", "0", "-X", "enable.idempotence=true")
	same(t, s.consume(t, topic), lines(0, 10000))
}

func (s *suite) shapes(t *testing.T) {
	topic := harness.Fresh("kcat")
	s.kcat(t, "k:v\n", "-P", "-t", topic, "-p", "0", "-K:", "-H", "a=1", "-H", "a=2")
	s.kcat(t, "gone:\n", "-P", "-t", topic, "-p", "0", "-K:", "-Z")
	var got []struct {
		Key     string
		Payload *string
		Headers []string
		Offset  int
	}
	for line := range strings.Lines(s.consume(t, topic, "-J")) {
		got = append(got, struct {
			Key     string
			Payload *string
			Headers []string
			Offset  int
		}{})
		harness.Must(t, json.Unmarshal([]byte(line), &got[len(got)-1]))
	}
	if len(got) != 2 || got[0].Key != "k" || *got[0].Payload != "v" || !slices.Equal(got[0].Headers, []string{"a", "1", "a", "2"}) {
		t.Errorf("came back as %+v", got)
	}
	if got[1].Key != "gone" || got[1].Payload != nil || got[1].Offset != 1 {
		t.Errorf("the tombstone came back as %+v", got[1])
	}
	large := strings.Repeat("x", 900_000)
	s.kcat(t, large, "-P", "-t", topic, "-p", "0")
	same(t, s.consume(t, topic, "-o", "-1"), large+"\n")
}

func (s *suite) metadata(t *testing.T) {
	topic := harness.Fresh("kcat")
	s.kcat(t, "x\n", "-P", "-t", topic)
	var got struct {
		Brokers []struct{ Name string }
		Topics  []struct {
			Topic      string
			Partitions []struct{ Partition, Leader int }
		}
	}
	harness.Must(t, json.Unmarshal([]byte(s.kcat(t, "", "-L", "-J")), &got))
	if len(got.Brokers) != 1 || got.Brokers[0].Name != s.broker.Bootstrap {
		t.Errorf("the brokers are %+v", got.Brokers)
	}
	for _, found := range got.Topics {
		if found.Topic == topic && len(found.Partitions) == 1 {
			return
		}
	}
	t.Errorf("%s is not among %+v", topic, got.Topics)
}

func (s *suite) offsets(t *testing.T) {
	topic := harness.Fresh("kcat")
	s.kcat(t, lines(0, 5), "-P", "-t", topic, "-p", "0")
	time.Sleep(20 * time.Millisecond)
	middle := time.Now().UnixMilli()
	time.Sleep(20 * time.Millisecond)
	s.kcat(t, lines(5, 5), "-P", "-t", topic, "-p", "0")
	for at, want := range map[string]string{"-2": "0", "-1": "10", fmt.Sprint(middle): "5", fmt.Sprint(middle + 1e6): "-1"} {
		got := s.kcat(t, "", "-Q", "-t", topic+":0:"+at)
		same(t, strings.TrimSpace(got), fmt.Sprintf("%s [0] offset %s", topic, want))
	}
	same(t, s.consume(t, topic, "-o", fmt.Sprint("s@", middle)), lines(5, 5))
	same(t, s.consume(t, topic, "-o", "-3"), lines(7, 3))
	same(t, s.consume(t, topic, "-o", "4", "-c", "2"), lines(4, 2))
}

// group lets two kcats share a group's partitions.
func (s *suite) group(t *testing.T) {
	topic, group := harness.Fresh("kcat"), harness.Fresh("kcat-group")
	s.kcat(t, lines(0, 50), "-P", "-t", topic)
	ctx, cancel := context.WithTimeout(t.Context(), 40*time.Second)
	defer cancel()
	var mu sync.Mutex
	var all []string
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			stdout, _, _ := s.start(ctx, "", "-G", group, "-u", "-q", "-X", "auto.offset.reset=earliest", "-X", "session.timeout.ms=6000", "-c", "50", topic)
			mu.Lock()
			defer mu.Unlock()
			all = append(all, strings.Fields(stdout)...)
			cancel() // the one that has the partition has seen everything
		})
	}
	wg.Wait()
	if got := len(slices.Compact(slices.Sorted(slices.Values(all)))); got != 50 {
		t.Errorf("the group saw %d of 50 messages", got)
	}
}

func (s *suite) errors(t *testing.T) {
	_, stderr, err := s.start(harness.Context(t), "", "-C", "-t", harness.Fresh("kcat-none"), "-e", "-X", "allow.auto.create.topics=false")
	if err == nil || !strings.Contains(stderr, "Unknown topic or partition") {
		t.Errorf("consuming an unknown topic: %v, %s", err, stderr)
	}
	_, stderr, err = s.start(harness.Context(t), strings.Repeat("x", 1_500_000), "-P", "-t", harness.Fresh("kcat"), "-X", "message.max.bytes=3000000")
	if !strings.Contains(stderr, "Message size too large") {
		t.Errorf("producing too large a message: %v, %s", err, stderr)
	}
}

// TestMillionLines sends a file of a million lines, each a message, and gets it
// back unchanged after the broker was killed.
func TestMillionLines(t *testing.T) {
	s := &suite{harness.StartBroker(t)}
	topic, want := harness.Fresh("kcat"), lines(1, 1_000_000)
	file := filepath.Join(t.TempDir(), "lines")
	harness.Must(t, os.WriteFile(file, []byte(want), 0o644))
	s.kcat(t, "", "-P", "-t", topic, "-p", "0", "-X", "acks=all", "-l", file)
	if s.broker.Owned() {
		s.broker.Kill(t)
		s.broker.Restart(t)
	}
	same(t, s.consume(t, topic), want)
}
