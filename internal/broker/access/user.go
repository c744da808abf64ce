package access

import "slices"

// DecideAddUser makes a user who is not there yet. Tags may come in any order.
func (d *Durable) DecideAddUser(u User) ([]Entry, error) {
	if d.state.users[u.Name] != nil {
		return nil, refuse(Exists, "user '%s' exists already", u.Name)
	}
	return d.DecidePutUser(u)
}

// DecidePutUser makes a user, or gives one who is there another password,
// tags and LoopbackOnly; permissions stay. Tags may come in any order.
func (d *Durable) DecidePutUser(u User) ([]Entry, error) {
	if err := d.checkName("user", u.Name); err != nil {
		return nil, err
	}
	tags, err := d.tags(u.Tags)
	if err != nil {
		return nil, err
	}
	u.Tags = tags
	old := d.state.users[u.Name]
	switch {
	case old != nil && same(&old.User, &u):
		return nil, nil
	case old == nil && len(d.state.users) >= d.Limits.Users:
		return nil, refuse(LimitReached, "cannot create user '%s': there are %d already", u.Name, d.Limits.Users)
	}
	return []Entry{UserStored{u}}, nil
}

func same(a, b *User) bool {
	return a.Name == b.Name && a.Password == b.Password && slices.Equal(a.Tags, b.Tags) && a.LoopbackOnly == b.LoopbackOnly
}

// tags returns tags in their order, each once.
func (d *Durable) tags(tags []string) ([]string, error) {
	if len(tags) == 0 {
		return nil, nil
	}
	for _, t := range tags {
		if err := d.checkName("tag", t); err != nil {
			return nil, err
		}
	}
	tags = slices.Clone(tags)
	slices.Sort(tags)
	if tags = slices.Compact(tags); len(tags) > d.Limits.Tags {
		return nil, refuse(LimitReached, "%d tags, %d are allowed", len(tags), d.Limits.Tags)
	}
	return tags, nil
}

// DecidePassword gives a user another password, or none.
func (d *Durable) DecidePassword(name string, h PasswordHash) ([]Entry, error) {
	return d.change(name, func(u *User) { u.Password = h })
}

// DecideTags gives a user other tags, in any order.
func (d *Durable) DecideTags(name string, tags []string) ([]Entry, error) {
	return d.change(name, func(u *User) { u.Tags = tags })
}

func (d *Durable) change(name string, how func(*User)) ([]Entry, error) {
	old := d.state.users[name]
	if old == nil {
		return nil, noUser(name)
	}
	u := old.User
	how(&u)
	return d.DecidePutUser(u)
}

// DecideDeleteUser deletes a user with all permissions.
func (d *Durable) DecideDeleteUser(name string) ([]Entry, error) {
	if d.state.users[name] == nil {
		return nil, noUser(name)
	}
	return []Entry{UserDeleted{name}}, nil
}
