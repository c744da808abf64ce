package cli

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/waxwing-mq/waxwing/conformance/harness"
)

// sealSuite is a folder with keys, and a broker whose directory is used.
type sealSuite struct {
	t      *testing.T
	broker *harness.Broker
	folder string
}

// file is the path of a file in the folder.
func (s *sealSuite) file(name string) string { return filepath.Join(s.folder, name) }

// run runs a command of waxwing seal, and returns what it printed. Words that begin with
// an @ are files in the folder.
func (s *sealSuite) run(input string, args ...string) (stdout, stderr string, err error) {
	s.t.Helper()
	for i, a := range args {
		if name, ok := strings.CutPrefix(a, "@"); ok {
			args[i] = s.file(name)
		}
	}
	return harness.Waxwing(harness.Context(s.t), input, append([]string{"seal"}, args...)...)
}

// does is run, which must succeed.
func (s *sealSuite) does(input string, args ...string) string {
	s.t.Helper()
	stdout, stderr, err := s.run(input, args...)
	if err != nil {
		s.t.Fatalf("waxwing seal %s: %v\n%s%s", strings.Join(args, " "), err, stdout, stderr)
	}
	return stdout
}

// as adds to arguments that the directory is asked as a user, whose password is the
// user's name.
func (s *sealSuite) as(user string, args ...string) []string {
	s.write("password-"+user, user+"\n")
	return append(args, "--directory", "http://"+s.broker.HTTP, "--user", user, "--password-file", s.file("password-"+user))
}

func (s *sealSuite) write(name, text string) {
	s.t.Helper()
	harness.Must(s.t, os.WriteFile(s.file(name), []byte(text), 0o600))
}

// service makes a service: an identity, a storage key, a database and a user.
func (s *sealSuite) service(name string) {
	s.t.Helper()
	s.does("", "init", "identity", name, "--root", "@root.key", "--out", "@"+name+".id", "--lanes", "1")
	s.does("", "init", "storage-key", "--out", "@"+name+".key")
	for _, args := range [][]string{
		{"sql", "migrate", "--dsn", "sqlite:" + s.file(name+".db")},
		{"user", "create", name, "--url", "amqp://guest:guest@" + s.broker.AMQP + "/", "--http-url", "http://" + s.broker.HTTP},
	} {
		if _, stderr, err := harness.Waxwing(harness.Context(s.t), name+"\n", args...); err != nil {
			s.t.Fatalf("waxwing %s: %v\n%s", strings.Join(args, " "), err, stderr)
		}
	}
}

// publish are the arguments that publish a service's prekeys.
func (s *sealSuite) publish(name string) []string {
	return []string{"publish", "--identity", "@" + name + ".id", "--storage-key", "@" + name + ".key", "--dsn", "sqlite:" + s.file(name+".db"), "--one-time-keys", "5"}
}

// TestSeal: two services with users of their own publish and verify each other, before
// and after the broker was killed, and nobody publishes for another.
func TestSeal(t *testing.T) {
	s := &sealSuite{t, harness.StartBrokerIn(t, filepath.Join(t.TempDir(), "data")), t.TempDir()}
	s.write("root.pub", s.does("", "init", "root", "--out", "@root.key"))
	s.service("payments")
	s.service("billing")
	for _, name := range []string{"payments", "billing"} {
		has(t, s.does("", s.as(name, s.publish(name)...)...), `published `+name+`: 5 one-time keys and 5 one-time KEM keys wait, .*`)
	}
	if _, stderr, err := s.run("", s.as("billing", s.publish("payments")...)...); err == nil || !strings.Contains(stderr, `is not of user "billing"`) {
		t.Errorf("publishing as another: %v, %s", err, stderr)
	}
	s.broker.Kill(t)
	s.broker.Restart(t)
	has(t, s.does("", s.as("payments", "status", "billing")...), `billing +5 +5 .*`)
	number := regexp.MustCompile(`safety number: +((\d{5} ){12})`)
	ours := number.FindStringSubmatch(s.does("", s.as("payments", "verify", "billing", "--root", "@root.pub", "--identity", "@payments.id")...))
	theirs := number.FindStringSubmatch(s.does("", s.as("billing", "verify", "payments", "--root", "@root.pub", "--identity", "@billing.id")...))
	if ours == nil || theirs == nil || ours[1] != theirs[1] {
		t.Errorf("safety numbers: %q and %q", ours, theirs)
	}
	has(t, s.does("", s.as("payments", "status", "billing")...), `billing +5 +5 .*`)
	has(t, s.does("", s.as("payments", "verify", "billing", "--root", "@root.pub", "--take")...), `taken: +signed prekey \d+, one-time key \d+, KEM key \d+`)
	has(t, s.does("", s.as("payments", "status", "billing")...), `billing +4 +4 .*`)
	has(t, s.does("", s.as("billing", s.publish("billing")...)...), `published billing: 4 .*`)
}
