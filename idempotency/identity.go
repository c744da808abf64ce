package idempotency

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"net/http"
)

// identity says which request one is.
type identity struct {
	id          [sha256.Size]byte // of tenant, method, route and key
	fingerprint [sha256.Size]byte // of what it asks for
}

// identify is the identity of a request whose body was read.
func (o *options) identify(r *http.Request, key string, body []byte) identity {
	route := r.Pattern
	if route == "" {
		route = r.URL.Path
	}
	return identity{
		id:          digest([]byte(o.tenant(r)), []byte(r.Method), []byte(route), []byte(key)),
		fingerprint: digest(o.fingerprint(r, body)),
	}
}

// payload is what the fingerprint is of by default. The target is as the client
// sent it, whatever a mux in between took off.
func payload(r *http.Request, body []byte) []byte {
	target := r.RequestURI
	if target == "" {
		target = r.URL.RequestURI()
	}
	sum := digest([]byte(target), []byte(r.Header.Get("Content-Type")), body)
	return sum[:]
}

// digest is the SHA-256 of parts, each after its length in eight bytes.
func digest(parts ...[]byte) (sum [sha256.Size]byte) {
	h := sha256.New()
	for _, p := range parts {
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(p))))
		h.Write(p)
	}
	h.Sum(sum[:0])
	return sum
}

type contextKey struct{}

// EventID is an id for something that the handler does once, such as an event that
// it publishes (outbox.Event.ID), made of the request's tenant, method, route, key
// and payload, and of name: a request that is sent again has the same ids, even when
// its key has expired in between. Different things need different names. It is a
// UUID of version 8 (RFC 9562). ctx is the handler's; it returns "" if the request
// has no key, for which outbox.Publish takes a random id.
func EventID(ctx context.Context, name string) string {
	who, ok := ctx.Value(contextKey{}).(identity)
	if !ok {
		return ""
	}
	u := digest(who.id[:], who.fingerprint[:], []byte(name))
	u[6] = u[6]&0x0f | 0x80
	u[8] = u[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", u[:4], u[4:6], u[6:8], u[8:10], u[10:16])
}
