package cli

import (
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/waxwing-mq/waxwing/conformance/harness"
)

// amqpSuite is one broker that speaks AMQP and answers over HTTP.
type amqpSuite struct {
	t          *testing.T
	amqp, http string // HOST:PORT, and a URL
}

// as runs a command as a user, whose password is given, in a vhost.
func (s *amqpSuite) as(login, vhost, input string, args ...string) (stdout, stderr string, err error) {
	s.t.Helper()
	args = append(args, "--url", "amqp://"+login+"@"+s.amqp+"/"+vhost)
	if slices.Contains([]string{"vhost", "user", "permission"}, args[0]) || args[1] == "list" {
		args = append(args, "--http-url", s.http)
	}
	return harness.Waxwing(harness.Context(s.t), input, args...)
}

// does runs a command that must succeed, and returns what it printed.
func (s *amqpSuite) does(login, vhost, input string, args ...string) string {
	s.t.Helper()
	stdout, stderr, err := s.as(login, vhost, input, args...)
	if err != nil {
		s.t.Fatalf("waxwing %s: %v\n%s%s", strings.Join(args, " "), err, stdout, stderr)
	}
	return stdout
}

// fails runs a command that must fail and say so in words that match want.
func (s *amqpSuite) fails(want, login, vhost string, args ...string) {
	s.t.Helper()
	_, stderr, err := s.as(login, vhost, "", args...)
	if err == nil || !regexp.MustCompile(want).MatchString(stderr) {
		s.t.Errorf("waxwing %s: %v; stderr is %q, want %q", strings.Join(args, " "), err, stderr, want)
	}
}

// TestAccess: vhosts, users and permissions are made, hold, and are taken away
// again, of Waxwing and of RabbitMQ.
func TestAccess(t *testing.T) {
	t.Run("Waxwing", func(t *testing.T) {
		b := harness.StartBrokerIn(t, filepath.Join(t.TempDir(), "data"))
		(&amqpSuite{t, b.AMQP, "http://" + b.HTTP}).access()
	})
	t.Run("RabbitMQ", func(t *testing.T) {
		b := harness.StartRabbitMQ(t, "cli", true)
		(&amqpSuite{t, b.AMQP, b.Management}).access()
	})
}

func (s *amqpSuite) access() {
	const guest, ann = "guest:guest", "ann:secret"
	s.does(guest, "", "", "vhost", "create", "shop", "odd/one", "--default-queue-type", "quorum")
	has(s.t, s.does(guest, "", "", "vhost", "list"), `odd/one +quorum`)
	s.does(guest, "", "secret\n", "user", "create", "ann", "--tag", "management")
	s.fails("exists already", guest, "", "user", "create", "ann", "--password", "x")
	has(s.t, s.does(guest, "", "", "user", "list"), `ann +management`)
	s.fails("", ann, "shop", "queue", "declare", "jobs")

	s.does(guest, "", "", "permission", "set", "ann", "--vhost", "shop", "--configure", "^jobs", "--write", `^(jobs|amq\.)`)
	has(s.t, s.does(guest, "", "", "permission", "list"), `ann +shop +\^jobs .*`)
	s.does(ann, "shop", "", "queue", "declare", "jobs")
	s.fails("ACCESS_REFUSED", ann, "shop", "queue", "declare", "other")
	s.does(guest, "", "", "permission", "set", "ann", "-p", "shop", "--exchange", "amq.topic", "--write", `^{username}\.`)
	has(s.t, s.does(guest, "", "", "permission", "list", "--topics"), `ann +shop +amq\.topic .*`)
	s.does(ann, "shop", "", "publish", "ann.a", "--exchange", "amq.topic", "--body", "x")
	s.fails("ACCESS_REFUSED", ann, "shop", "publish", "bob.a", "--exchange", "amq.topic", "--body", "x")
	s.fails("administrator", ann, "shop", "user", "list")
	has(s.t, s.does(ann, "shop", "", "queue", "list"), `jobs +quorum .*`)

	s.does(guest, "", "newer\n", "user", "password", "ann")
	s.does(guest, "", "", "user", "tag", "ann", "administrator", "monitoring")
	s.fails("", ann, "shop", "get", "jobs")
	s.does("ann:newer", "shop", "", "queue", "show", "jobs")
	has(s.t, s.does("ann:newer", "shop", "", "user", "list"), `ann +(administrator monitoring|monitoring administrator)`)

	s.does(guest, "", "", "permission", "clear", "ann", "-p", "shop", "--topics")
	s.does("ann:newer", "shop", "", "publish", "bob.a", "--exchange", "amq.topic", "--body", "x")
	s.does(guest, "", "", "permission", "clear", "ann", "-p", "shop")
	s.fails("", "ann:newer", "shop", "queue", "show", "jobs")
	s.does(guest, "", "", "user", "delete", "ann")
	has(s.t, s.does(guest, "", "", "vhost", "delete", "shop", "odd/one", "none", "--if-exists"), "vhost none does not exist")
	s.fails("", guest, "shop", "queue", "show", "jobs")
	s.fails("", guest, "", "user", "delete", "ann")
}
