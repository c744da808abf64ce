package directory

import (
	"errors"
	"fmt"
	"unicode/utf8"
)

// CheckName says whether an identity can have this name: 1 to NameBytesMax bytes
// of UTF-8 without control characters, and neither "." nor "..".
func CheckName(name string) error {
	switch {
	case name == "" || name == "." || name == ".." || len(name) > NameBytesMax:
		return fmt.Errorf("identity %.260q: a name has 1 to %d bytes and is not \".\" or \"..\"", name, NameBytesMax)
	case !utf8.ValidString(name):
		return errors.New("an identity's name is not UTF-8")
	}
	for _, c := range name {
		if c < ' ' || c == 0x7f {
			return fmt.Errorf("identity %q: a control character in its name", name)
		}
	}
	return nil
}

// split returns a part of p that fits one request, and what is left for others.
// Everything but one-time keys goes with the first.
func split(p Publication) (part, rest Publication, more bool) {
	size := len(p.Certificate) + signedBytes(p.Signed) + signedBytes(p.LastResort)
	part = p
	part.OneTime, rest.OneTime, size = fitting(p.OneTime, size, func(k Key) int { return len(k.Key) })
	part.OneTimeKEM, rest.OneTimeKEM, _ = fitting(p.OneTimeKEM, size, func(k SignedKey) int { return len(k.Key) + len(k.Signature) })
	return part, rest, len(rest.OneTime)+len(rest.OneTimeKEM) > 0
}

// fitting cuts keys where they would exceed PublicationBytesMax together with size
// bytes, but leaves at least one, so that something is sent.
func fitting[K any](keys []K, size int, bytes func(K) int) (now, later []K, total int) {
	for i, k := range keys {
		size += bytes(k) + keyOverhead
		if size > PublicationBytesMax && i > 0 {
			return keys[:i], keys[i:], size
		}
	}
	return keys, nil, size
}

// keyOverhead is what a key takes beside its bytes, generously.
const keyOverhead = 16

func signedBytes(k *SignedKey) int {
	if k == nil {
		return 0
	}
	return len(k.Key) + len(k.Signature)
}
