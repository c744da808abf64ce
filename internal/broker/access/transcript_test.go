package access

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"github.com/waxwing-mq/waxwing/internal/enc"
)

// world is a Durable and the View beside it, both fed with decoded entries,
// and a second Durable that only replays.
type world struct {
	d, replayed *Durable
	view        *View
}

func newWorld() *world { return &world{NewDurable(), NewDurable(), NewView()} }

type fataler interface {
	Helper()
	Fatalf(string, ...any)
}

// apply feeds entries and checks what must hold after it.
func (w *world) apply(t fataler, entries []Entry) {
	t.Helper()
	for _, e := range entries {
		encoded := EncodeEntry(nil, e)
		for _, apply := range []func(Entry) error{w.d.Apply, w.replayed.Apply, func(e Entry) error { return w.view.Apply(e) }} {
			again, err := DecodeEntry(encoded)
			if err != nil {
				t.Fatalf("decode %T: %v", e, err)
			}
			if !bytes.Equal(EncodeEntry(nil, again), encoded) {
				t.Fatalf("%T differs after a round trip", e)
			}
			if err := apply(again); err != nil {
				t.Fatalf("apply %T: %v", e, err)
			}
		}
	}
	if !w.d.Equal(w.replayed) {
		t.Fatalf("replay differs from live")
	}
	if !w.d.Equal(restored(t, w.d.Snapshot(nil))) {
		t.Fatalf("a restored snapshot differs")
	}
}

func restored(t fataler, snapshot []byte) *Durable {
	t.Helper()
	d := NewDurable()
	r := enc.NewReader(snapshot)
	if err := errors.Join(d.Restore(&r), r.Done()); err != nil {
		t.Fatalf("restore: %v", err)
	}
	return d
}

// TestTranscripts plays testdata/transcripts. Rewrite the answers with:
// go test -run TestTranscripts -rewrite
//
//	found [shard=N]
//	limits [vhosts=N] [users=N] [exchanges=N] [tags=N] [name=N] [pattern=N]
//	vhost NAME [shard=N] [type=T] | delete-vhost NAME
//	add-user|put-user NAME [password=P] [tags=(T, …)] [loopback]
//	password NAME P | tags NAME T… | delete-user NAME
//	set USER VHOST CONFIGURE WRITE READ | clear USER VHOST
//	set-topic USER VHOST EXCHANGE WRITE READ | clear-topic USER VHOST [EXCHANGE]
//	login USER PASSWORD [remote] | enter USER VHOST
//	allow USER VHOST NAME | topic USER VHOST EXCHANGE KEY
//	show
//
// - stands for "".
func TestTranscripts(t *testing.T) {
	datadriven.Walk(t, "testdata/transcripts", func(t *testing.T, path string) {
		w := newWorld()
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			// Words are split at blanks, so that patterns may have any
			// other character.
			s := &script{world: w, t: t, TestData: d}
			for _, word := range strings.Fields(d.Input) {
				s.words = append(s.words, strings.TrimPrefix(word, "-"))
			}
			if len(s.words) == 0 {
				for _, a := range d.CmdArgs {
					if len(a.Vals) == 0 {
						s.words = append(s.words, strings.TrimPrefix(a.Key, "-"))
					}
				}
			}
			out := s.run()
			if out == "" {
				return "(nothing)\n"
			}
			return out
		})
	})
}

type script struct {
	*world
	t *testing.T
	*datadriven.TestData
	words []string
}

func (s *script) run() string {
	a := func(i int) string { return s.words[i] }
	switch s.Cmd {
	case "found":
		return s.decided(s.d.DecideFound(uint32(s.number("shard")), [SaltBytes]byte{1, 2, 3, 4}), nil)
	case "limits":
		s.limits()
		return ""
	case "vhost":
		return s.decided(s.d.DecideVHost(VHost{a(0), uint32(s.number("shard")), s.text("type")}))
	case "delete-vhost":
		return s.decided(s.d.DecideDeleteVHost(a(0)))
	case "add-user":
		return s.decided(s.d.DecideAddUser(s.user()))
	case "put-user":
		return s.decided(s.d.DecidePutUser(s.user()))
	case "password":
		return s.decided(s.d.DecidePassword(a(0), HashPassword(SHA512, [SaltBytes]byte{5}, a(1))))
	case "tags":
		return s.decided(s.d.DecideTags(a(0), s.words[1:]))
	case "delete-user":
		return s.decided(s.d.DecideDeleteUser(a(0)))
	case "set":
		return s.decided(s.d.DecideSetPermissions(Grant{a(0), a(1), Permissions{a(2), a(3), a(4)}}))
	case "clear":
		return s.decided(s.d.DecideClearPermissions(a(0), a(1)))
	case "set-topic":
		return s.decided(s.d.DecideSetTopicPermissions(TopicGrant{a(0), a(1), a(2), TopicPermissions{a(3), a(4)}}))
	case "clear-topic":
		if len(s.words) == 2 {
			return s.decided(s.d.DecideClearAllTopicPermissions(a(0), a(1)))
		}
		return s.decided(s.d.DecideClearTopicPermissions(a(0), a(1), a(2)))
	case "show":
		return s.show()
	}
	return s.ask()
}

func (s *script) ask() string {
	a := func(i int) string { return s.words[i] }
	switch s.Cmd {
	case "login":
		if err := s.view.Authenticate(a(0), a(1), !s.HasArg("remote")); err != nil {
			return describe(err) + "\n"
		}
		return "welcome\n"
	case "enter":
		return fmt.Sprintln(s.view.MayEnter(a(0), a(1)))
	case "allow":
		return s.rights(Configure, func(r Right) bool { return s.view.Allow(a(0), a(1), r, a(2)) })
	case "topic":
		return s.rights(Write, func(r Right) bool { return s.view.AllowTopic(a(0), a(1), a(2), r, a(3)) })
	}
	s.Fatalf(s.t, "unknown command %s", s.Cmd)
	return ""
}

func (s *script) rights(from Right, may func(Right) bool) string {
	out := ""
	for r := from; r < rights; r++ {
		if may(r) {
			out += " " + r.String()
		}
	}
	if out == "" {
		return "no\n"
	}
	return strings.TrimSpace(out) + "\n"
}

func (s *script) decided(entries []Entry, err error) string {
	if err != nil {
		return describe(err) + "\n"
	}
	s.apply(s.t, entries)
	out := ""
	for _, e := range entries {
		out += describeEntry(e) + "\n"
	}
	return out
}

var kindNames = map[ErrorKind]string{
	NotFound: "NotFound", Exists: "Exists", Invalid: "Invalid", LimitReached: "LimitReached", LoginRefused: "LoginRefused",
}

func describe(err error) string {
	var e *Error
	if !errors.As(err, &e) {
		return "unexpected: " + err.Error()
	}
	return kindNames[e.Kind] + ": " + e.Text
}

func describeEntry(e Entry) string {
	switch e := e.(type) {
	case Founded:
		return "founded"
	case VHostStored:
		return "stored " + describeVHost(e.VHost)
	case VHostDeleted:
		return "deleted vhost " + e.Name
	case UserStored:
		return "stored " + describeUser(e.User)
	case UserDeleted:
		return "deleted user " + e.Name
	case PermissionsSet:
		return "set " + describeGrant(e.Grant)
	case PermissionsCleared:
		return "cleared " + e.User + " in " + e.VHost
	case TopicPermissionsSet:
		return "set " + describeTopicGrant(e.Grant)
	case TopicPermissionsCleared:
		return "cleared " + e.User + " in " + e.VHost + " for " + e.Exchange
	}
	return fmt.Sprintf("%T", e)
}

func describeVHost(v VHost) string {
	out := fmt.Sprintf("vhost %s shard=%d", v.Name, v.Shard)
	if v.DefaultQueueType != "" {
		out += " type=" + v.DefaultQueueType
	}
	return out
}

func describeUser(u User) string {
	out := "user " + u.Name
	if u.Password.Algorithm != NoPassword {
		out += " " + u.Password.Algorithm.String() + " " + u.Password.Encoded()[:12]
	}
	for _, tag := range u.Tags {
		out += " #" + tag
	}
	if u.LoopbackOnly {
		out += " loopback only"
	}
	return out
}

func describeGrant(g Grant) string {
	p := g.Permissions
	return fmt.Sprintf("%s in %s: %q %q %q", g.User, g.VHost, p.Configure, p.Write, p.Read)
}

func describeTopicGrant(g TopicGrant) string {
	return fmt.Sprintf("%s in %s for %s: %q %q", g.User, g.VHost, g.Exchange, g.Permissions.Write, g.Permissions.Read)
}

func (s *script) text(name string) string {
	var v string
	s.MaybeScanArgs(s.t, name, &v)
	return v
}

func (s *script) number(name string) int {
	var v int
	s.MaybeScanArgs(s.t, name, &v)
	return v
}

func (s *script) user() User {
	u := User{Name: s.words[0], LoopbackOnly: s.HasArg("loopback")}
	if p := s.text("password"); p != "" {
		u.Password = HashPassword(SHA256, [SaltBytes]byte{9, 8, 7, 6}, p)
	}
	if a, ok := s.Arg("tags"); ok {
		u.Tags = a.Vals
	}
	return u
}

func (s *script) limits() {
	l := &s.d.Limits
	for name, limit := range map[string]*int{
		"vhosts": &l.VHosts, "users": &l.Users, "exchanges": &l.Exchanges, "tags": &l.Tags, "name": &l.NameBytes, "pattern": &l.PatternBytes,
	} {
		s.MaybeScanArgs(s.t, name, limit)
	}
}

func (s *script) show() string {
	var lines []string
	for _, v := range s.view.VHosts() {
		lines = append(lines, describeVHost(v))
	}
	for _, u := range s.view.Users() {
		lines = append(lines, describeUser(u))
	}
	for _, g := range s.view.Grants() {
		lines = append(lines, describeGrant(g))
	}
	for _, g := range s.view.TopicGrants() {
		lines = append(lines, describeTopicGrant(g))
	}
	if len(lines) == 0 {
		return ""
	}
	return strings.Join(lines, "\n") + "\n"
}
