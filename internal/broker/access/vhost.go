package access

// The vhost and user that a new broker has.
const (
	firstVHost = "/"
	firstUser  = "guest"
)

// queueTypes are what VHost.DefaultQueueType may be.
var queueTypes = map[string]bool{"": true, "classic": true, "quorum": true, "stream": true}

// DecideFound makes the vhost "/" in the given shard, and the user guest with
// the password guest, who may do everything there but log in only from the
// broker's machine. It does so once, whatever is deleted later. The salt must
// be random.
func (d *Durable) DecideFound(shard uint32, salt [SaltBytes]byte) []Entry {
	if d.state.founded {
		return nil
	}
	return []Entry{
		Founded{},
		VHostStored{VHost{Name: firstVHost, Shard: shard}},
		UserStored{User{
			Name: firstUser, Password: HashPassword(SHA256, salt, firstUser),
			Tags: []string{"administrator"}, LoopbackOnly: true,
		}},
		PermissionsSet{Grant{firstUser, firstVHost, Permissions{".*", ".*", ".*"}}},
	}
}

// DecideVHost makes a vhost. One that is there stays in its shard and only
// gets the default queue type, if one is given.
func (d *Durable) DecideVHost(v VHost) ([]Entry, error) {
	if err := d.checkName("vhost", v.Name); err != nil {
		return nil, err
	}
	if !queueTypes[v.DefaultQueueType] {
		return nil, refuse(Invalid, "unknown default queue type '%s' of vhost '%s'", v.DefaultQueueType, v.Name)
	}
	old, there := d.state.vhosts[v.Name]
	switch {
	case there && (v.DefaultQueueType == "" || v.DefaultQueueType == old.DefaultQueueType):
		return nil, nil
	case there:
		v.Shard = old.Shard
	case len(d.state.vhosts) >= d.Limits.VHosts:
		return nil, refuse(LimitReached, "cannot create vhost '%s': there are %d already", v.Name, d.Limits.VHosts)
	}
	return []Entry{VHostStored{v}}, nil
}

// DecideDeleteVHost deletes a vhost and all permissions in it.
func (d *Durable) DecideDeleteVHost(name string) ([]Entry, error) {
	if _, there := d.state.vhosts[name]; !there {
		return nil, noVHost(name)
	}
	return []Entry{VHostDeleted{name}}, nil
}

// checkName says whether a vhost, user, exchange or tag may be called so.
func (d *Durable) checkName(what, name string) error {
	switch {
	case name == "":
		return refuse(Invalid, "the name of the %s is empty", what)
	case len(name) > d.Limits.NameBytes:
		return refuse(LimitReached, "the name of the %s has %d bytes, %d are allowed", what, len(name), d.Limits.NameBytes)
	}
	return nil
}
