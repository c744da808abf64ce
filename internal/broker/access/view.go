package access

import "sync"

// View is the durable vhosts, users and permissions as connections see them.
// Any number of goroutines ask while one applies entries; each sees all
// entries of an Apply or none.
type View struct {
	mu    sync.RWMutex
	state state
}

// NewView returns a view of nothing.
func NewView() *View { return &View{state: newState(true)} }

// Load replaces what the view shows by the state of d, which must not change
// meanwhile. It shares d's slices.
func (v *View) Load(d *Durable) error {
	loaded := newState(true)
	for e := range d.state.entries {
		if err := loaded.apply(e); err != nil {
			return err
		}
	}
	v.mu.Lock()
	v.state = loaded
	v.mu.Unlock()
	return nil
}

// Apply takes in facts and their slices, all at once for those who read. An
// error means that an entry does not fit what the view shows; it and those
// after it were not taken in.
func (v *View) Apply(entries ...Entry) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, e := range entries {
		if err := v.state.apply(e); err != nil {
			return err
		}
	}
	return nil
}

// Authenticate says whether a user may log in with a password; loopback says
// that the connection comes from the broker's own machine. It fails with an
// *Error of kind LoginRefused. A name that is not there takes as long as a
// password that is wrong.
func (v *View) Authenticate(name, password string, loopback bool) error {
	u, _ := v.User(name)
	hash := u.Password
	if hash.Algorithm == NoPassword {
		hash = nobody
	}
	matches := hash.Matches(password)
	switch {
	case !matches || u.Password.Algorithm == NoPassword:
		return refuse(LoginRefused, "user '%s': invalid credentials", name)
	case u.LoopbackOnly && !loopback:
		return refuse(LoginRefused, "user '%s' can only connect from the broker's machine", name)
	}
	return nil
}

// nobody is the hash that is compared where there is no user or no password.
var nobody = HashPassword(SHA256, [SaltBytes]byte{}, "nobody")

// User returns a user. The caller must not change its tags.
func (v *View) User(name string) (User, bool) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	if u := v.state.users[name]; u != nil {
		return u.User, true
	}
	return User{}, false
}

// VHost returns a vhost.
func (v *View) VHost(name string) (VHost, bool) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	h, ok := v.state.vhosts[name]
	return h, ok
}

// VHosts lists the vhosts by name.
func (v *View) VHosts() []VHost {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return v.state.listVHosts()
}

// Users lists the users by name.
func (v *View) Users() []User {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return v.state.listUsers()
}

// Grants lists the permissions by user and vhost.
func (v *View) Grants() []Grant {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return v.state.listGrants()
}

// TopicGrants lists the topic permissions by user, vhost and exchange.
func (v *View) TopicGrants() []TopicGrant {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return v.state.listTopicGrants()
}

// MayEnter says whether a user may open a vhost: permissions are set there,
// whatever they are.
func (v *View) MayEnter(user, vhost string) bool {
	v.mu.RLock()
	defer v.mu.RUnlock()
	g := v.state.find(user, vhost)
	return g != nil && g.entered
}

// defaultExchange is the name by which permissions know the default exchange.
const defaultExchange = "amq.default"

// Allow says whether a user has a right to a queue or exchange of a vhost. The
// empty name is the default exchange; patterns know it as amq.default.
func (v *View) Allow(user, vhost string, right Right, name string) bool {
	if name == "" {
		name = defaultExchange
	}
	if right >= rights {
		return false
	}
	var p pattern
	v.mu.RLock()
	if g := v.state.find(user, vhost); g != nil && g.entered {
		p = g.compiled[right]
	}
	v.mu.RUnlock()
	return p.matches(name)
}

// AllowTopic says whether a user may write to (publish) or read from (bind) an
// exchange with a routing key. Where no topic permissions are set, any may be
// used; Allow must hold besides.
func (v *View) AllowTopic(user, vhost, exchange string, right Right, key string) bool {
	var p pattern
	v.mu.RLock()
	switch t := v.state.topic(user, vhost, exchange); {
	case t == nil:
		p.all = v.state.users[user] != nil
	case right == Write:
		p = t.write
	case right == Read:
		p = t.read
	}
	v.mu.RUnlock()
	return p.matches(key)
}

func (s *state) topic(user, vhost, exchange string) *topicGrants {
	if g := s.find(user, vhost); g != nil {
		return g.topics[exchange]
	}
	return nil
}
