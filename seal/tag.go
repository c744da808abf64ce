package seal

import (
	"crypto/sha256"

	"github.com/waxwing-mq/waxwing/seal/ratchet"
)

// A tag names a session, or a group's chain, in envelopes. It is a hash of who made it and
// of a key that was made for it, so that nobody can claim somebody else's:
//
//	session  the first 16 bytes of SHA-256(sessionTagContext │ initiator │ 32 handshake's base key)
//	chain    the first 16 bytes of SHA-256(groupTagContext │ sender │ 32 signing key)
//
// The name is a length (uvarint) and bytes.
const (
	sessionTagContext = "waxwing seal session tag 1\x00"
	groupTagContext   = "waxwing seal group tag 1\x00"
)

// sessionTag names the session that a handshake begins.
func sessionTag(initiator string, base ratchet.PublicKey) [16]byte {
	return tagOf(sessionTagContext, initiator, base)
}

// groupTag names a chain of a sender's, which senderkey names by its signing key.
func groupTag(sender string, chain [32]byte) [16]byte {
	return tagOf(groupTagContext, sender, chain)
}

func tagOf(context, name string, key [32]byte) [16]byte {
	sum := sha256.Sum256(append(appendText([]byte(context), name), key[:]...))
	return [16]byte(sum[:])
}
