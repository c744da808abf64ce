package access

import (
	"fmt"
	"regexp"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

var (
	userNames     = rapid.SampledFrom([]string{"a", "b", "c", ""})
	vhostNames    = rapid.SampledFrom([]string{"/", "v", "w", ""})
	exchangeNames = rapid.SampledFrom([]string{"x", "y", ""})
	patterns      = rapid.SampledFrom([]string{"", ".*", "^a", "b$", "^(a|ab)$", "{username}", "^{vhost}", "(", "[^a]"})
	resources     = rapid.SampledFrom([]string{"", "a", "b", "ab", "/", "amq.default"})
	tags          = rapid.SliceOfN(rapid.SampledFrom([]string{"administrator", "x", "y"}), 0, 4)
	passwords     = rapid.SampledFrom([]string{"", "p", "q"})
)

// model is a world that random commands are thrown at, and a naive copy of
// what must be there.
type model struct {
	*world
	vhosts    map[string]bool
	passwords map[string]string
	grants    map[[2]string]Permissions
	topics    map[[3]string]TopicPermissions
}

// decided checks that deciding changed nothing, and that it was refused
// exactly if it must be; then applies.
func (m *model) decided(t *rapid.T, decide func() ([]Entry, error), valid bool) bool {
	before := m.d.Snapshot(nil)
	entries, err := decide()
	if string(before) != string(m.d.Snapshot(nil)) {
		t.Fatal("deciding changed the state")
	}
	if (err == nil) != valid || err != nil && len(entries) > 0 {
		t.Fatalf("%d entries, error %v, want it valid: %v", len(entries), err, valid)
	}
	m.apply(t, entries)
	if again, err := decide(); valid && len(again) > 0 {
		t.Fatalf("decided twice: %v, %v", again, err)
	}
	return valid
}

func (m *model) vhost(t *rapid.T) {
	name := vhostNames.Draw(t, "vhost")
	v := VHost{Name: name, Shard: uint32(rapid.IntRange(0, 2).Draw(t, "shard"))}
	if m.decided(t, func() ([]Entry, error) { return m.d.DecideVHost(v) }, name != "") {
		m.vhosts[name] = true
	}
}

func (m *model) deleteVHost(t *rapid.T) {
	name := vhostNames.Draw(t, "vhost")
	first := true
	m.decided(t, func() ([]Entry, error) {
		if !first {
			return nil, nil // a second deletion is refused
		}
		first = false
		return m.d.DecideDeleteVHost(name)
	}, m.vhosts[name])
	delete(m.vhosts, name)
	for k := range m.grants {
		if k[1] == name {
			delete(m.grants, k)
		}
	}
	for k := range m.topics {
		if k[1] == name {
			delete(m.topics, k)
		}
	}
}

func (m *model) putUser(t *rapid.T) {
	name, password := userNames.Draw(t, "user"), passwords.Draw(t, "password")
	u := User{
		Name: name, Tags: tags.Draw(t, "tags"), LoopbackOnly: rapid.Bool().Draw(t, "loopback"),
		Password: HashPassword(rapid.SampledFrom([]Algorithm{SHA256, SHA512}).Draw(t, "algorithm"), [SaltBytes]byte{1}, password),
	}
	if m.decided(t, func() ([]Entry, error) { return m.d.DecidePutUser(u) }, name != "") {
		m.passwords[name] = password
	}
}

func (m *model) deleteUser(t *rapid.T) {
	name := userNames.Draw(t, "user")
	_, there := m.passwords[name]
	first := true
	m.decided(t, func() ([]Entry, error) {
		if !first {
			return nil, nil // a second deletion is refused
		}
		first = false
		return m.d.DecideDeleteUser(name)
	}, there)
	delete(m.passwords, name)
	for k := range m.grants {
		if k[0] == name {
			delete(m.grants, k)
		}
	}
	for k := range m.topics {
		if k[0] == name {
			delete(m.topics, k)
		}
	}
}

func (m *model) both(t *rapid.T) (user, vhost string, there bool) {
	user, vhost = userNames.Draw(t, "user"), vhostNames.Draw(t, "vhost")
	_, there = m.passwords[user]
	return user, vhost, there && m.vhosts[vhost]
}

func (m *model) set(t *rapid.T) {
	user, vhost, there := m.both(t)
	p := Permissions{patterns.Draw(t, "configure"), patterns.Draw(t, "write"), patterns.Draw(t, "read")}
	g := Grant{user, vhost, p}
	valid := there && !slices.Contains([]string{p.Configure, p.Write, p.Read}, "(")
	if m.decided(t, func() ([]Entry, error) { return m.d.DecideSetPermissions(g) }, valid) {
		m.grants[[2]string{user, vhost}] = p
	}
}

func (m *model) clear(t *rapid.T) {
	user, vhost, there := m.both(t)
	m.decided(t, func() ([]Entry, error) { return m.d.DecideClearPermissions(user, vhost) }, there)
	delete(m.grants, [2]string{user, vhost})
}

func (m *model) setTopic(t *rapid.T) {
	user, vhost, there := m.both(t)
	g := TopicGrant{user, vhost, exchangeNames.Draw(t, "exchange"), TopicPermissions{patterns.Draw(t, "write"), patterns.Draw(t, "read")}}
	valid := there && g.Exchange != "" && g.Permissions.Write != "(" && g.Permissions.Read != "("
	if m.decided(t, func() ([]Entry, error) { return m.d.DecideSetTopicPermissions(g) }, valid) {
		m.topics[[3]string{user, vhost, g.Exchange}] = g.Permissions
	}
}

func (m *model) clearTopic(t *rapid.T) {
	user, vhost, there := m.both(t)
	exchange := exchangeNames.Draw(t, "exchange")
	if rapid.Bool().Draw(t, "all") {
		m.decided(t, func() ([]Entry, error) { return m.d.DecideClearAllTopicPermissions(user, vhost) }, there)
		delete(m.topics, [3]string{user, vhost, "x"})
		delete(m.topics, [3]string{user, vhost, "y"})
		return
	}
	m.decided(t, func() ([]Entry, error) { return m.d.DecideClearTopicPermissions(user, vhost, exchange) }, there)
	delete(m.topics, [3]string{user, vhost, exchange})
}

// restart goes on with what a snapshot holds.
func (m *model) restart(t *rapid.T) {
	m.d = restored(t, m.d.Snapshot(nil))
	if err := m.view.Load(m.d); err != nil {
		t.Fatal(err)
	}
}

func naiveMatch(pattern, s string) bool {
	if pattern == "" {
		return s == ""
	}
	return regexp.MustCompile(pattern).MatchString(s)
}

// ask compares every answer of the view with the naive one.
func (m *model) ask(t *rapid.T) {
	user, vhost, name := userNames.Draw(t, "user"), vhostNames.Draw(t, "vhost"), resources.Draw(t, "name")
	p, granted := m.grants[[2]string{user, vhost}]
	if m.view.MayEnter(user, vhost) != granted {
		t.Fatalf("%s enters %s: %v", user, vhost, !granted)
	}
	known := name
	if known == "" {
		known = "amq.default"
	}
	for right, pattern := range map[Right]string{Configure: p.Configure, Write: p.Write, Read: p.Read} {
		if want := granted && naiveMatch(pattern, known); m.view.Allow(user, vhost, right, name) != want {
			t.Fatalf("%s %ss %q in %s: want %v", user, right, name, vhost, want)
		}
	}
	m.askTopic(t, user, vhost, name)
	password := passwords.Draw(t, "password")
	u, _ := m.view.User(user)
	loopback := rapid.Bool().Draw(t, "loopback")
	want := password != "" && m.passwords[user] == password && (loopback || !u.LoopbackOnly)
	if err := m.view.Authenticate(user, password, loopback); (err == nil) != want {
		t.Fatalf("login of %q with %q: %v, want it to work: %v", user, password, err, want)
	}
}

func (m *model) askTopic(t *rapid.T, user, vhost, key string) {
	exchange := exchangeNames.Draw(t, "exchange")
	topic, limited := m.topics[[3]string{user, vhost, exchange}]
	_, there := m.passwords[user]
	for right, pattern := range map[Right]string{Write: topic.Write, Read: topic.Read} {
		want := there
		if limited {
			want = naiveMatch(expand(pattern, user, vhost), key)
		}
		if m.view.AllowTopic(user, vhost, exchange, right, key) != want {
			t.Fatalf("%s %ss by %q with %s in %s: want %v", user, right, key, exchange, vhost, want)
		}
	}
}

// check compares what is listed.
func (m *model) check(t *rapid.T) {
	if got, want := fmt.Sprint(m.view.VHosts(), m.view.Users(), m.view.Grants(), m.view.TopicGrants()),
		fmt.Sprint(m.d.VHosts(), m.d.Users(), m.d.Grants(), m.d.TopicGrants()); got != want {
		t.Fatalf("the view lists %s, the state %s", got, want)
	}
	if len(m.view.VHosts()) != len(m.vhosts) || len(m.view.Users()) != len(m.passwords) ||
		len(m.view.Grants()) != len(m.grants) || len(m.view.TopicGrants()) != len(m.topics) {
		t.Fatal("something is left, or gone")
	}
	for _, g := range m.view.Grants() {
		if m.grants[[2]string{g.User, g.VHost}] != g.Permissions {
			t.Fatalf("permissions are %v", g)
		}
	}
}

// TestModel throws random commands, questions and restarts at a state and its
// view.
func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &model{newWorld(), map[string]bool{}, map[string]string{}, map[[2]string]Permissions{}, map[[3]string]TopicPermissions{}}
		actions := map[string]func(*rapid.T){"": m.check}
		for name, a := range map[string]struct {
			weight int
			do     func(*rapid.T)
		}{
			"vhost": {2, m.vhost}, "delete vhost": {1, m.deleteVHost}, "user": {3, m.putUser}, "delete user": {1, m.deleteUser},
			"set": {4, m.set}, "clear": {1, m.clear}, "set topic": {4, m.setTopic}, "clear topic": {1, m.clearTopic},
			"restart": {1, m.restart}, "ask": {6, m.ask},
		} {
			for i := range a.weight {
				actions[fmt.Sprint(name, " ", i)] = a.do
			}
		}
		t.Repeat(actions)
	})
}
