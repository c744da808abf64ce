package access

import (
	"fmt"
	"maps"
	"slices"
)

// state is what entries make. Durable and View each have one; only the view's
// compiles patterns.
type state struct {
	matching bool
	founded  bool
	vhosts   map[string]VHost
	users    map[string]*user
}

type user struct {
	User
	in map[string]*grants // by vhost; no empty ones
}

// grants are a user's rights in a vhost.
type grants struct {
	entered     bool // Permissions are set: the user may enter
	permissions Permissions
	compiled    [rights]pattern
	topics      map[string]*topicGrants // by exchange
}

type topicGrants struct {
	permissions TopicPermissions
	write, read pattern
}

func newState(matching bool) state {
	return state{matching: matching, vhosts: map[string]VHost{}, users: map[string]*user{}}
}

// apply takes in one fact. An error means that it does not fit the state,
// which no decided entry does.
func (s *state) apply(e Entry) error {
	switch e := e.(type) {
	case Founded:
		s.founded = true
		return nil
	case VHostStored:
		s.vhosts[e.VHost.Name] = e.VHost
		return nil
	case VHostDeleted:
		return s.deleteVHost(e.Name)
	case UserStored:
		s.storeUser(e.User)
		return nil
	case UserDeleted:
		if s.users[e.Name] == nil {
			return noUser(e.Name)
		}
		delete(s.users, e.Name)
		return nil
	case PermissionsSet:
		return s.set(&e.Grant)
	case PermissionsCleared:
		return s.clear(e)
	case TopicPermissionsSet:
		return s.setTopic(&e.Grant)
	case TopicPermissionsCleared:
		return s.clearTopic(e)
	}
	return fmt.Errorf("entry %T is not one of package access", e)
}

func (s *state) deleteVHost(name string) error {
	if _, ok := s.vhosts[name]; !ok {
		return noVHost(name)
	}
	delete(s.vhosts, name)
	for _, u := range s.users {
		delete(u.in, name)
	}
	return nil
}

func (s *state) storeUser(u User) {
	if old := s.users[u.Name]; old != nil {
		old.User = u
		return
	}
	s.users[u.Name] = &user{User: u, in: map[string]*grants{}}
}

// grants returns what a user is granted in a vhost, made if it is not there.
func (s *state) grants(user, vhost string) (*grants, error) {
	if err := s.check(user, vhost); err != nil {
		return nil, err
	}
	u := s.users[user]
	g := u.in[vhost]
	if g == nil {
		g = &grants{}
		u.in[vhost] = g
	}
	return g, nil
}

// check says whether both are there.
func (s *state) check(user, vhost string) error {
	if s.users[user] == nil {
		return noUser(user)
	}
	if _, ok := s.vhosts[vhost]; !ok {
		return noVHost(vhost)
	}
	return nil
}

// find is grants, but nil if there are none.
func (s *state) find(user, vhost string) *grants {
	if u := s.users[user]; u != nil {
		return u.in[vhost]
	}
	return nil
}

func (s *state) set(e *Grant) error {
	g, err := s.grants(e.User, e.VHost)
	if err != nil {
		return err
	}
	p := e.Permissions
	g.entered, g.permissions = true, p
	if s.matching {
		g.compiled = [rights]pattern{Configure: compile(p.Configure), Write: compile(p.Write), Read: compile(p.Read)}
	}
	return nil
}

func (s *state) clear(e PermissionsCleared) error {
	g := s.find(e.User, e.VHost)
	if g == nil || !g.entered {
		return fmt.Errorf("user '%s' has no permissions in vhost '%s'", e.User, e.VHost)
	}
	g.entered, g.permissions, g.compiled = false, Permissions{}, [rights]pattern{}
	s.tidy(e.User, e.VHost)
	return nil
}

func (s *state) setTopic(e *TopicGrant) error {
	g, err := s.grants(e.User, e.VHost)
	if err != nil {
		return err
	}
	if g.topics == nil {
		g.topics = map[string]*topicGrants{}
	}
	t := &topicGrants{permissions: e.Permissions}
	if s.matching {
		t.write = compile(expand(e.Permissions.Write, e.User, e.VHost))
		t.read = compile(expand(e.Permissions.Read, e.User, e.VHost))
	}
	g.topics[e.Exchange] = t
	return nil
}

func (s *state) clearTopic(e TopicPermissionsCleared) error {
	g := s.find(e.User, e.VHost)
	if g == nil || g.topics[e.Exchange] == nil {
		return fmt.Errorf("user '%s' has no topic permissions for exchange '%s' in vhost '%s'", e.User, e.Exchange, e.VHost)
	}
	delete(g.topics, e.Exchange)
	s.tidy(e.User, e.VHost)
	return nil
}

// tidy forgets grants that say nothing.
func (s *state) tidy(user, vhost string) {
	if g := s.find(user, vhost); !g.entered && len(g.topics) == 0 {
		delete(s.users[user].in, vhost)
	}
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// listVHosts lists vhosts by name.
func (s *state) listVHosts() []VHost {
	out := make([]VHost, 0, len(s.vhosts))
	for _, name := range sortedKeys(s.vhosts) {
		out = append(out, s.vhosts[name])
	}
	return out
}

// listUsers lists users by name.
func (s *state) listUsers() []User {
	out := make([]User, 0, len(s.users))
	for _, name := range sortedKeys(s.users) {
		out = append(out, s.users[name].User)
	}
	return out
}

// listGrants lists permissions by user and vhost.
func (s *state) listGrants() (out []Grant) {
	for _, user := range sortedKeys(s.users) {
		in := s.users[user].in
		for _, vhost := range sortedKeys(in) {
			if in[vhost].entered {
				out = append(out, Grant{user, vhost, in[vhost].permissions})
			}
		}
	}
	return out
}

// listTopicGrants lists topic permissions by user, vhost and exchange.
func (s *state) listTopicGrants() (out []TopicGrant) {
	for _, user := range sortedKeys(s.users) {
		in := s.users[user].in
		for _, vhost := range sortedKeys(in) {
			topics := in[vhost].topics
			for _, exchange := range sortedKeys(topics) {
				out = append(out, TopicGrant{user, vhost, exchange, topics[exchange].permissions})
			}
		}
	}
	return out
}

// entries are the facts that make the state from nothing.
func (s *state) entries(yield func(Entry) bool) {
	if s.founded && !yield(Founded{}) {
		return
	}
	for _, v := range s.listVHosts() {
		if !yield(VHostStored{v}) {
			return
		}
	}
	for _, u := range s.listUsers() {
		if !yield(UserStored{u}) {
			return
		}
	}
	for _, g := range s.listGrants() {
		if !yield(PermissionsSet{g}) {
			return
		}
	}
	for _, g := range s.listTopicGrants() {
		if !yield(TopicPermissionsSet{g}) {
			return
		}
	}
}
