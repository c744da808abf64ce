package ratchet

import "crypto/ecdh"

// agree is X25519 (RFC 7748). It refuses points of small order, whose secret everybody knows.
func (k *PrivateKey) agree(p *PublicKey) (secret [32]byte, err error) {
	priv, err := ecdh.X25519().NewPrivateKey(k[:])
	if err != nil {
		return secret, ErrMalformed
	}
	pub, err := ecdh.X25519().NewPublicKey(p[:])
	if err != nil {
		return secret, ErrMalformed
	}
	s, err := priv.ECDH(pub)
	if err != nil {
		return secret, ErrMalformed
	}
	defer clear(s)
	return [32]byte(s), nil
}
