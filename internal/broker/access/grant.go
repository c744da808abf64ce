package access

// DecideSetPermissions says what a user may do in a vhost, and that the user
// may enter it.
func (d *Durable) DecideSetPermissions(g Grant) ([]Entry, error) {
	if err := d.state.check(g.User, g.VHost); err != nil {
		return nil, err
	}
	p := g.Permissions
	if err := d.checkPatterns(p.Configure, p.Write, p.Read); err != nil {
		return nil, err
	}
	if old := d.state.find(g.User, g.VHost); old != nil && old.entered && old.permissions == p {
		return nil, nil
	}
	return []Entry{PermissionsSet{g}}, nil
}

// DecideClearPermissions takes a user's permissions in a vhost away.
func (d *Durable) DecideClearPermissions(user, vhost string) ([]Entry, error) {
	if err := d.state.check(user, vhost); err != nil {
		return nil, err
	}
	if old := d.state.find(user, vhost); old == nil || !old.entered {
		return nil, nil
	}
	return []Entry{PermissionsCleared{user, vhost}}, nil
}

// DecideSetTopicPermissions says what routing keys a user may use with an
// exchange, which need not be there.
func (d *Durable) DecideSetTopicPermissions(g TopicGrant) ([]Entry, error) {
	if err := d.state.check(g.User, g.VHost); err != nil {
		return nil, err
	}
	if err := d.checkName("exchange", g.Exchange); err != nil {
		return nil, err
	}
	p := g.Permissions
	if err := d.checkPatterns(p.Write, p.Read, expand(p.Write, g.User, g.VHost), expand(p.Read, g.User, g.VHost)); err != nil {
		return nil, err
	}
	if old := d.state.find(g.User, g.VHost); old != nil {
		t := old.topics[g.Exchange]
		switch {
		case t != nil && t.permissions == p:
			return nil, nil
		case t == nil && len(old.topics) >= d.Limits.Exchanges:
			return nil, refuse(LimitReached, "user '%s' has topic permissions for %d exchanges of vhost '%s' already", g.User, len(old.topics), g.VHost)
		}
	}
	return []Entry{TopicPermissionsSet{g}}, nil
}

// DecideClearTopicPermissions takes a user's topic permissions for an exchange
// away, so that all routing keys are allowed again.
func (d *Durable) DecideClearTopicPermissions(user, vhost, exchange string) ([]Entry, error) {
	if err := d.state.check(user, vhost); err != nil {
		return nil, err
	}
	if old := d.state.find(user, vhost); old == nil || old.topics[exchange] == nil {
		return nil, nil
	}
	return []Entry{TopicPermissionsCleared{user, vhost, exchange}}, nil
}

// DecideClearAllTopicPermissions takes a user's topic permissions in a vhost
// away.
func (d *Durable) DecideClearAllTopicPermissions(user, vhost string) ([]Entry, error) {
	if err := d.state.check(user, vhost); err != nil {
		return nil, err
	}
	var entries []Entry
	if old := d.state.find(user, vhost); old != nil {
		for _, exchange := range sortedKeys(old.topics) {
			entries = append(entries, TopicPermissionsCleared{user, vhost, exchange})
		}
	}
	return entries, nil
}

func (d *Durable) checkPatterns(patterns ...string) error {
	for _, p := range patterns {
		if len(p) > d.Limits.PatternBytes {
			return refuse(LimitReached, "a regular expression has %d bytes, %d are allowed", len(p), d.Limits.PatternBytes)
		}
		if _, err := parse(p); err != nil {
			return refuse(Invalid, "'%s' is not a regular expression (RE2): %v", p, err)
		}
	}
	return nil
}
