// Package cli tests the client commands of waxwing itself, which work against any
// Kafka cluster: the same cases pass against Apache Kafka.
package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/waxwing-mq/waxwing/conformance/harness"
)

// suite is one broker.
type suite struct{ broker *harness.Broker }

func TestCLI(t *testing.T) {
	s := &suite{harness.StartBroker(t)}
	for name, run := range map[string]func(*suite, *testing.T){
		"topics":           (*suite).topics,
		"topics/settings":  (*suite).settings,
		"produce":          (*suite).produce,
		"produce/codecs":   (*suite).codecs,
		"produce/on use":   (*suite).onUse,
		"consume/starts":   (*suite).starts,
		"consume/by group": (*suite).byGroup,
		"json":             (*suite).json,
		"groups/reset":     (*suite).reset,
		"groups/members":   (*suite).members,
	} {
		t.Run(name, func(t *testing.T) { t.Parallel(); run(s, t) })
	}
}

// start runs a command against the broker.
func (s *suite) start(ctx context.Context, input string, args ...string) (stdout, stderr string, err error) {
	return harness.Waxwing(ctx, input, append(args, "--bootstrap", s.broker.Bootstrap)...)
}

// fed runs a command with an input, which must succeed, and returns what it
// printed.
func (s *suite) fed(t *testing.T, input string, args ...string) string {
	t.Helper()
	stdout, stderr, err := s.start(harness.Context(t), input, args...)
	if err != nil {
		t.Fatalf("waxwing %s: %v\n%s%s", strings.Join(args, " "), err, stdout, stderr)
	}
	return stdout
}

// run is fed without an input.
func (s *suite) run(t *testing.T, args ...string) string {
	t.Helper()
	return s.fed(t, "", args...)
}

// fails runs a command, which must fail with one line on stderr: want.
func (s *suite) fails(t *testing.T, want string, args ...string) {
	t.Helper()
	_, stderr, err := s.start(harness.Context(t), "", args...)
	if err == nil || !regexp.MustCompile(`^waxwing: `+want+`\n$`).MatchString(stderr) {
		t.Errorf("waxwing %s: %v; stderr is %q, want %q", strings.Join(args, " "), err, stderr, want)
	}
}

// create makes a topic.
func (s *suite) create(t *testing.T, args ...string) string {
	t.Helper()
	name := harness.Fresh("cli")
	s.run(t, append([]string{"topic", "create", name}, args...)...)
	return name
}

// all reads count records of a topic.
func (s *suite) all(t *testing.T, topic string, count int, args ...string) string {
	t.Helper()
	return s.run(t, append([]string{"consume", topic, "--from-beginning", "-n", fmt.Sprint(count)}, args...)...)
}

func same(t *testing.T, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// has looks for a line that matches want in full.
func has(t *testing.T, text, want string) {
	t.Helper()
	if !regexp.MustCompile(`(?m)^` + want + `$`).MatchString(text) {
		t.Errorf("no line is %q in\n%s", want, text)
	}
}

// parsed reads JSON.
func parsed[T any](t *testing.T, text string) T {
	t.Helper()
	var v T
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return v
}

func (s *suite) topics(t *testing.T) {
	one, two := harness.Fresh("cli"), harness.Fresh("cli")
	same(t, s.run(t, "topic", "create", one, "--partitions", "3", "-c", "retention.ms=86400000"), "created topic "+one+" with 3 partitions\n")
	same(t, s.run(t, "topic", "create", two), "created topic "+two+" with 1 partition\n")
	list := s.run(t, "topic", "list")
	has(t, list, "TOPIC +PARTITIONS +REPLICATION")
	has(t, list, one+" +3 +1")
	has(t, list, two+" +1 +1")
	type listed struct {
		Name       string
		Partitions int
		Internal   bool
	}
	if all := parsed[[]listed](t, s.run(t, "topic", "list", "-o", "json")); !slices.Contains(all, listed{one, 3, false}) || !slices.Contains(all, listed{two, 1, false}) {
		t.Errorf("%s and %s are not in %+v", one, two, all)
	}
	described := s.run(t, "topic", "describe", one)
	has(t, described, "topic +"+one)
	has(t, described, "id +[A-Za-z0-9_-]{22}")
	has(t, described, "settings +retention.ms=86400000")
	has(t, described, `2 +\d+ +\d+ +\d+ +0 +0 *`)

	s.fails(t, `topic "`+one+`" exists already`, "topic", "create", one)
	same(t, s.run(t, "topic", "create", one, "--if-not-exists"), "topic "+one+" exists already\n")
	s.fails(t, `topic "not/a/name": .*\(INVALID_TOPIC_EXCEPTION\)`, "topic", "create", "not/a/name")
	s.fails(t, `topic ".*": .*\(INVALID_CONFIG\)`, "topic", "create", harness.Fresh("cli"), "-c", "no.such.setting=1")
	same(t, s.run(t, "topic", "partitions", two, "4"), "topic "+two+" has 4 partitions now\n")
	s.fails(t, `topic "`+two+`" has 4 partitions; their number can only grow`, "topic", "partitions", two, "2")

	same(t, s.run(t, "topic", "delete", one, two), "deleted topic "+one+"\ndeleted topic "+two+"\n")
	if list := s.run(t, "topic", "list"); strings.Contains(list, one) || strings.Contains(list, two) {
		t.Errorf("deleted topics are listed:\n%s", list)
	}
	missing := `topic "` + one + `" does not exist`
	s.fails(t, missing, "topic", "delete", one)
	s.fails(t, missing, "topic", "describe", one)
	s.fails(t, missing, "topic", "config", "get", one)
	s.fails(t, missing, "consume", one)
	same(t, s.run(t, "topic", "delete", one, "--if-exists"), "topic "+one+" does not exist\n")
}

func (s *suite) settings(t *testing.T) {
	topic := s.create(t, "-c", "retention.ms=86400000")
	get := func(name string) string { return s.run(t, "topic", "config", "get", topic, name) }
	// becomes waits: a broker of Kafka learns from the controller.
	becomes := func(name, want string) {
		t.Helper()
		line := regexp.MustCompile(`(?m)^` + name + ` +` + want + `$`)
		harness.Until(t, name+" "+want, func() bool { return line.MatchString(get(name)) })
	}
	has(t, get("retention.ms"), "retention.ms +86400000 +DYNAMIC_TOPIC_CONFIG")
	has(t, s.run(t, "topic", "config", "set", topic, "retention.ms=1000", "max.message.bytes=2000000"), "topic "+topic+": .*retention.ms=1000.*")
	becomes("retention.ms", "1000 +DYNAMIC_TOPIC_CONFIG")
	becomes("max.message.bytes", "2000000 +DYNAMIC_TOPIC_CONFIG")
	same(t, s.run(t, "topic", "config", "unset", topic, "retention.ms"), "topic "+topic+": unset retention.ms\n")
	becomes("retention.ms", "604800000 +DEFAULT_CONFIG")
	s.fails(t, `topic "`+topic+`" has no setting "no.such.setting"`, "topic", "config", "get", topic, "no.such.setting")
	s.fails(t, `topic "`+topic+`": .*\(INVALID_CONFIG\)`, "topic", "config", "set", topic, "no.such.setting=1")
	s.fails(t, `topic "`+topic+`": .*\(INVALID_CONFIG\)`, "topic", "config", "set", topic, "max.message.bytes=lots")
	s.fails(t, `topic "nowhere-.*" does not exist`, "topic", "config", "set", harness.Fresh("nowhere"), "retention.ms=1")
}

func (s *suite) produce(t *testing.T) {
	topic := s.create(t)
	s.fed(t, "a:1\nb:2:3\nno key\n\n", "produce", topic, "-K", ":", "-H", "source=test", "-H", "source=again")
	same(t, s.all(t, topic, 4, "--print-key", "--print-headers", "-K", "|"),
		"source=test,source=again|a|1\nsource=test,source=again|b|2:3\nsource=test,source=again||no key\nsource=test,source=again||\n")
	s.fed(t, "gone:\n", "produce", topic, "-K", ":", "--empty-is-null")
	has(t, s.run(t, "consume", topic, "-p", "0", "--offset", "-1", "-n", "1", "--json"), `.*"key":"gone","value":null.*`)

	spread := s.create(t, "-p", "3") // murmur2("a") is in 1 of 3
	s.fed(t, "a:1\n", "produce", spread, "-K", ":")
	s.fed(t, "b\n", "produce", spread, "--key", "k", "-p", "2")
	same(t, s.all(t, spread, 1, "-p", "1", "--format", `%k %p %v\n`), "a 1 1\n")
	same(t, s.all(t, spread, 1, "-p", "2", "--format", `%k %p %v\n`), "k 2 b\n")
	s.fails(t, `topic "`+spread+`" has 3 partitions; there is no partition 3`, "produce", spread, "-p", "3")
}

func (s *suite) codecs(t *testing.T) {
	for codec, args := range map[string][]string{
		"none": nil, "gzip": {"--acks", "1"}, "snappy": {"--acks", "all"}, "lz4": {"--idempotent=false"}, "zstd": {"--acks", "0"},
	} {
		topic := s.create(t)
		value := strings.Repeat(codec, 5000)
		s.fed(t, value+"\n", append([]string{"produce", topic, "-z", codec}, args...)...)
		same(t, s.all(t, topic, 1, "--format", `%a{compression} %v\n`), codec+" "+value+"\n")
	}
}

// onUse: a broker that creates topics on first use does so for produce.
func (s *suite) onUse(t *testing.T) {
	topic := harness.Fresh("cli")
	s.fed(t, "line\n", "produce", topic)
	same(t, s.all(t, topic, 1), "line\n")
}

func (s *suite) starts(t *testing.T) {
	topic := s.create(t, "-p", "2")
	var lines string
	for i, day := range []string{"01", "02", "03"} {
		lines += fmt.Sprintf(`{"partition":0,"value":"%c","timestamp":"2026-01-%sT00:00:00Z"}`+"\n", 'a'+i, day)
	}
	s.fed(t, lines+`{"partition":1,"value":"d"}`+"\n", "produce", topic, "--json")
	for _, c := range []struct {
		want string
		args []string
	}{
		{"a\nb\nc\n", []string{"-p", "0", "--from-beginning", "--exit-when-idle", "700ms"}},
		{"a\n", []string{"-p", "0", "--from-beginning", "-n", "1"}},
		{"b\n", []string{"-p", "0", "--offset", "1", "-n", "1"}},
		{"c\n", []string{"-p", "0", "--offset", "-1", "-n", "1"}},
		{"a\nb\nc\n", []string{"-p", "0", "--offset", "-100", "-n", "3"}},
		{"b\nc\n", []string{"-p", "0", "--offset", "@2026-01-02T00:00:00Z", "-n", "2"}},
		{"d\n", []string{"-p", "1", "--offset", "earliest", "-n", "1"}},
		{"", []string{"-e", "300ms"}},
	} {
		t.Log(c.args)
		same(t, s.run(t, append([]string{"consume", topic}, c.args...)...), c.want)
	}
	if got := strings.Split(strings.TrimSpace(s.all(t, topic, 4)), "\n"); len(got) != 4 {
		t.Errorf("of both partitions: %q", got)
	}
	s.fails(t, `topic "`+topic+`" has no partition 7`, "consume", topic, "-p", "7")
	s.fails(t, `topic "`+topic+`", partition 0 has offsets 0 to 3; there is no 99`, "consume", topic, "-p", "0", "--offset", "99")
}

// jobs makes a topic with five records, a day apart.
func (s *suite) jobs(t *testing.T) string {
	t.Helper()
	topic := s.create(t)
	var lines string
	for i, word := range []string{"one", "two", "three", "four", "five"} {
		lines += fmt.Sprintf(`{"value":%q,"timestamp":"2026-01-0%dT00:00:00Z"}`+"\n", word, i+1)
	}
	s.fed(t, lines, "produce", topic, "--json")
	return topic
}

func (s *suite) byGroup(t *testing.T) {
	topic, group := s.jobs(t), harness.Fresh("cli-group")
	same(t, s.all(t, topic, 2, "--group", group), "one\ntwo\n")
	same(t, s.run(t, "consume", topic, "--group", group, "-n", "1"), "three\n")
	has(t, s.run(t, "group", "list"), group+" +Empty +consumer")
	described := s.run(t, "group", "describe", group)
	has(t, described, "state +Empty")
	has(t, described, "lag +2")
	has(t, described, topic+" +0 +3 +5 +2 *")
	d := parsed[[]struct {
		TotalLag int
		Offsets  []struct{ Committed int }
		Members  []struct{}
	}](t, s.run(t, "group", "describe", group, "-o", "json"))
	if len(d) != 1 || d[0].TotalLag != 2 || len(d[0].Offsets) != 1 || d[0].Offsets[0].Committed != 3 || len(d[0].Members) != 0 {
		t.Errorf("described as %+v", d)
	}
	// A new group begins at the end.
	same(t, s.run(t, "consume", topic, "--group", harness.Fresh("cli-group"), "-e", "300ms"), "")
}

func (s *suite) json(t *testing.T) {
	from, to := s.create(t), s.create(t)
	const stamp = `"timestamp":"2026-01-02T03:04:05.678Z"`
	s.fed(t, strings.Join([]string{
		`{"value":"plain",` + stamp + `}`,
		`{"key":"k","value":"<ü>","timestamp":1767323045678}`,
		`{"key":"k","value":null,` + stamp + `}`,
		`{"key_base64":"/w==","value_base64":"AP8=",` + stamp + `}`,
		`{"value":"h","headers":[{"key":"a","value":"1"},{"key":"a","value":null},{"key":"b","value_base64":"/w=="}],` + stamp + `}`,
	}, "\n"), "produce", from, "--json")
	want := strings.Join([]string{
		`"offset":0,` + stamp + `,"key":null,"value":"plain"}`,
		`"offset":1,` + stamp + `,"key":"k","value":"<ü>"}`,
		`"offset":2,` + stamp + `,"key":"k","value":null}`,
		`"offset":3,` + stamp + `,"key_base64":"/w==","value_base64":"AP8="}`,
		`"offset":4,` + stamp + `,"key":null,"value":"h","headers":[{"key":"a","value":"1"},{"key":"a","value":null},{"key":"b","value_base64":"/w=="}]}`,
	}, "\n") + "\n"
	in := func(topic string) string {
		return regexp.MustCompile(`(?m)^`).ReplaceAllString(strings.TrimSuffix(want, "\n"), `{"topic":"`+topic+`","partition":0,`) + "\n"
	}
	printed := s.all(t, from, 5, "--json")
	same(t, printed, in(from))
	s.fed(t, printed, "produce", to, "--json") // what is printed can be sent
	same(t, s.all(t, to, 5, "--json"), in(to))
}

func (s *suite) reset(t *testing.T) {
	topic, group := s.jobs(t), harness.Fresh("cli-group")
	s.all(t, topic, 3, "--group", group)
	row := func(before, after string) string { return fmt.Sprintf("%s +0 +%s +%s", topic, before, after) }
	dry := s.run(t, "group", "reset", group, "--to-earliest", "--dry-run")
	has(t, dry, row("3", "0"))
	has(t, dry, "dry run: nothing was changed")
	for _, c := range []struct {
		before, after string
		args          []string
	}{
		{"3", "0", []string{"--to-earliest"}},
		{"0", "5", []string{"--to-latest"}},
		{"5", "3", []string{"--shift-by", "-2"}},
		{"3", "4", []string{"--to-offset", "4", "--topic", topic + ":0"}},
		{"4", "5", []string{"--to-offset", "99"}},
		{"5", "2", []string{"--to-time", "2026-01-03"}},
	} {
		has(t, s.run(t, append([]string{"group", "reset", group}, c.args...)...), row(c.before, c.after))
	}
	same(t, s.run(t, "consume", topic, "--group", group, "-n", "1"), "three\n")

	// A group that does not exist can be given a start.
	fresh := harness.Fresh("cli-group")
	s.fails(t, `group "`+fresh+`" does not exist .*`, "group", "reset", fresh, "--to-latest")
	has(t, s.run(t, "group", "reset", fresh, "--to-offset", "3", "--topic", topic), row("-", "3"))
	same(t, s.run(t, "consume", topic, "--group", fresh, "-n", "1"), "four\n")

	same(t, s.run(t, "group", "delete", group, fresh), "deleted group "+group+"\ndeleted group "+fresh+"\n")
	missing := `group "` + group + `" does not exist`
	s.fails(t, missing, "group", "delete", group)
	s.fails(t, missing, "group", "describe", group)
}

// members: a group with a consumer in it is left alone.
func (s *suite) members(t *testing.T) {
	topic, group := s.jobs(t), harness.Fresh("cli-group")
	ctx, stop := context.WithCancel(harness.Context(t))
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _, _ = s.start(ctx, "", "consume", topic, "--group", group) // until it is killed
	}()
	defer func() { stop(); <-done }()
	stable := regexp.MustCompile(`(?m)^` + group + ` +Stable +consumer$`)
	harness.Until(t, "a stable group", func() bool { return stable.MatchString(s.run(t, "group", "list")) })
	described := s.run(t, "group", "describe", group)
	has(t, described, "state +Stable")
	has(t, described, "members +1")
	s.fails(t, `group "`+group+`" has 1 consumer; stop them first`, "group", "reset", group, "--to-earliest")
	s.fails(t, `group "`+group+`" has consumers in it; stop them first`, "group", "delete", group)
}
