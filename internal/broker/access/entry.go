package access

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/waxwing-mq/waxwing/internal/enc"
)

// Entry is a fact that the state is made of. The meaning of a released (type,
// version) never changes.
type Entry interface {
	entryType() byte
	appendBody(dst []byte) []byte
}

const entryVersion = 1

// The types of entries. Never used for anything else.
const (
	typeFounded byte = iota + 1
	typeVHostStored
	typeVHostDeleted
	typeUserStored
	typeUserDeleted
	typePermissionsSet
	typePermissionsCleared
	typeTopicPermissionsSet
	typeTopicPermissionsCleared
)

// Founded says that the first vhost and user were made.
type Founded struct{}

// VHostStored says that there is a vhost, or what it is from now on.
type VHostStored struct{ VHost VHost }

// VHostDeleted says that a vhost is gone, with all permissions in it.
type VHostDeleted struct{ Name string }

// UserStored says that there is a user, or what it is from now on; permissions
// stay.
type UserStored struct{ User User }

// UserDeleted says that a user is gone, with all its permissions.
type UserDeleted struct{ Name string }

// PermissionsSet says what a user may do in a vhost.
type PermissionsSet struct{ Grant Grant }

// PermissionsCleared says that a user may not enter a vhost any more; topic
// permissions stay.
type PermissionsCleared struct{ User, VHost string }

// TopicPermissionsSet says what routing keys a user may use with an exchange.
type TopicPermissionsSet struct{ Grant TopicGrant }

// TopicPermissionsCleared says that a user may use any routing key with an
// exchange again.
type TopicPermissionsCleared struct{ User, VHost, Exchange string }

func (Founded) entryType() byte                 { return typeFounded }
func (VHostStored) entryType() byte             { return typeVHostStored }
func (VHostDeleted) entryType() byte            { return typeVHostDeleted }
func (UserStored) entryType() byte              { return typeUserStored }
func (UserDeleted) entryType() byte             { return typeUserDeleted }
func (PermissionsSet) entryType() byte          { return typePermissionsSet }
func (PermissionsCleared) entryType() byte      { return typePermissionsCleared }
func (TopicPermissionsSet) entryType() byte     { return typeTopicPermissionsSet }
func (TopicPermissionsCleared) entryType() byte { return typeTopicPermissionsCleared }

// EncodeEntry appends the encoding of e to dst (u: unsigned varint, str:
// length and bytes):
//
//	type 1 · version 1 · body
//
//	Founded                  nothing
//	VHostStored              str name · u shard · str default queue type
//	VHostDeleted             str name
//	UserStored               str name · u flags · u algorithm · str hash · n · n × str tag, ascending
//	UserDeleted              str name
//	PermissionsSet           str user · str vhost · str configure · str write · str read
//	PermissionsCleared       str user · str vhost
//	TopicPermissionsSet      str user · str vhost · str exchange · str write · str read
//	TopicPermissionsCleared  str user · str vhost · str exchange
//
//	flags      1 loopback only
//	algorithm  0 none · 1 SHA-256 · 2 SHA-512
//	hash       4 bytes salt and the digest; empty if the algorithm is none
func EncodeEntry(dst []byte, e Entry) []byte {
	return e.appendBody(append(dst, e.entryType(), entryVersion))
}

// DecodeEntry reads one entry that takes the whole of b, and keeps no
// reference to b. It fails with ErrNewer or ErrMalformed.
func DecodeEntry(b []byte) (Entry, error) {
	if len(b) < 2 || b[0] == 0 || b[1] == 0 {
		return nil, fmt.Errorf("access entry: %w", ErrMalformed)
	}
	typ, version := b[0], b[1]
	if typ > typeTopicPermissionsCleared || version > entryVersion {
		return nil, fmt.Errorf("access entry of type %d, version %d: %w", typ, version, ErrNewer)
	}
	r := enc.NewReader(b[2:])
	e, err := decodeBody(typ, &r)
	if err == nil {
		err = r.Done()
	}
	if err != nil {
		return nil, fmt.Errorf("access entry of type %d: %w", typ, err)
	}
	return e, nil
}

func decodeBody(typ byte, r *enc.Reader) (Entry, error) {
	switch typ {
	case typeFounded:
		return Founded{}, nil
	case typeVHostStored:
		v, err := readVHost(r)
		return VHostStored{v}, err
	case typeVHostDeleted:
		return VHostDeleted{r.String()}, nil
	case typeUserStored:
		u, err := readUser(r)
		return UserStored{u}, err
	case typeUserDeleted:
		return UserDeleted{r.String()}, nil
	case typePermissionsSet:
		return PermissionsSet{readGrant(r)}, nil
	case typePermissionsCleared:
		return PermissionsCleared{r.String(), r.String()}, nil
	case typeTopicPermissionsSet:
		return TopicPermissionsSet{readTopicGrant(r)}, nil
	default:
		return TopicPermissionsCleared{r.String(), r.String(), r.String()}, nil
	}
}

func appendStrings(dst []byte, all ...string) []byte {
	for _, s := range all {
		dst = enc.String(dst, s)
	}
	return dst
}

func (e Founded) appendBody(dst []byte) []byte        { return dst }
func (e VHostStored) appendBody(dst []byte) []byte    { return appendVHost(dst, &e.VHost) }
func (e VHostDeleted) appendBody(dst []byte) []byte   { return enc.String(dst, e.Name) }
func (e UserStored) appendBody(dst []byte) []byte     { return appendUser(dst, &e.User) }
func (e UserDeleted) appendBody(dst []byte) []byte    { return enc.String(dst, e.Name) }
func (e PermissionsSet) appendBody(dst []byte) []byte { return appendGrant(dst, &e.Grant) }

func (e PermissionsCleared) appendBody(dst []byte) []byte {
	return appendStrings(dst, e.User, e.VHost)
}

func (e TopicPermissionsSet) appendBody(dst []byte) []byte { return appendTopicGrant(dst, &e.Grant) }

func (e TopicPermissionsCleared) appendBody(dst []byte) []byte {
	return appendStrings(dst, e.User, e.VHost, e.Exchange)
}

func appendVHost(dst []byte, v *VHost) []byte {
	dst = binary.AppendUvarint(enc.String(dst, v.Name), uint64(v.Shard))
	return enc.String(dst, v.DefaultQueueType)
}

func readVHost(r *enc.Reader) (VHost, error) {
	v := VHost{Name: r.String()}
	shard := r.Uvarint()
	v.DefaultQueueType = r.String()
	if shard > math.MaxUint32 {
		return v, ErrMalformed
	}
	v.Shard = uint32(shard)
	return v, r.Err()
}

const flagLoopbackOnly = 1

func appendUser(dst []byte, u *User) []byte {
	flags := uint64(0)
	if u.LoopbackOnly {
		flags = flagLoopbackOnly
	}
	dst = binary.AppendUvarint(enc.String(dst, u.Name), flags)
	dst = binary.AppendUvarint(dst, uint64(u.Password.Algorithm))
	dst = enc.Bytes(dst, u.Password.bytes())
	dst = binary.AppendUvarint(dst, uint64(len(u.Tags)))
	return appendStrings(dst, u.Tags...)
}

func readUser(r *enc.Reader) (User, error) {
	u := User{Name: r.String()}
	flags, algorithm := r.Uvarint(), r.Uvarint()
	hash := r.Bytes()
	for n := r.Count(1); n > 0; n-- {
		u.Tags = append(u.Tags, r.String())
		if k := len(u.Tags); k > 1 && u.Tags[k-1] <= u.Tags[k-2] {
			return u, ErrMalformed
		}
	}
	switch a := Algorithm(algorithm); {
	case r.Err() != nil:
		return u, r.Err()
	case flags > flagLoopbackOnly || algorithm >= uint64(algorithms):
		return u, ErrNewer
	case a == NoPassword && len(hash) > 0 || a != NoPassword && len(hash) != SaltBytes+a.digestBytes():
		return u, ErrMalformed
	default:
		u.Password = hashOf(a, hash)
	}
	u.LoopbackOnly = flags == flagLoopbackOnly
	return u, nil
}

func appendGrant(dst []byte, g *Grant) []byte {
	p := &g.Permissions
	return appendStrings(dst, g.User, g.VHost, p.Configure, p.Write, p.Read)
}

func readGrant(r *enc.Reader) Grant {
	return Grant{r.String(), r.String(), Permissions{r.String(), r.String(), r.String()}}
}

func appendTopicGrant(dst []byte, g *TopicGrant) []byte {
	return appendStrings(dst, g.User, g.VHost, g.Exchange, g.Permissions.Write, g.Permissions.Read)
}

func readTopicGrant(r *enc.Reader) TopicGrant {
	return TopicGrant{r.String(), r.String(), r.String(), TopicPermissions{r.String(), r.String()}}
}
