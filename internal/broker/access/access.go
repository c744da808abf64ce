// Package access holds vhosts, users and permissions, and says who may do
// what.
//
// Durable is the state: it decides, and changes only in Apply. View is what
// connections ask. Both are fed by the same entries. DESIGN.md says why.
package access

import "fmt"

// VHost is a virtual host.
type VHost struct {
	Name             string
	Shard            uint32 // where its queues and exchanges are, since it was created
	DefaultQueueType string // of queues declared without one: "classic", "quorum" or "stream"; empty: the broker's
}

// User is somebody who can log in.
type User struct {
	Name         string
	Password     PasswordHash
	Tags         []string // ascending, each once
	LoopbackOnly bool     // may log in only from the broker's own machine
}

// HasTag says whether the user has a tag, such as "administrator".
func (u *User) HasTag(tag string) bool {
	for _, t := range u.Tags {
		if t == tag {
			return true
		}
	}
	return false
}

// Permissions are regular expressions (RE2) for names of queues and exchanges
// of a vhost. One matches if it matches any part of a name; the empty one
// matches only the empty name.
type Permissions struct{ Configure, Write, Read string }

// TopicPermissions are regular expressions as Permissions are, for routing keys
// of an exchange. In them {username} and {vhost} stand for those names.
type TopicPermissions struct{ Write, Read string }

// Grant is what a user may do in a vhost.
type Grant struct {
	User, VHost string
	Permissions Permissions
}

// TopicGrant is what routing keys a user may use with an exchange.
type TopicGrant struct {
	User, VHost, Exchange string
	Permissions           TopicPermissions
}

// Right is what one may do with a queue or exchange.
type Right uint8

// The rights.
const (
	Configure Right = iota
	Write
	Read
	rights
)

// String is the right as RabbitMQ calls it.
func (r Right) String() string {
	switch r {
	case Configure:
		return "configure"
	case Write:
		return "write"
	case Read:
		return "read"
	}
	return fmt.Sprintf("right %d", uint8(r))
}
