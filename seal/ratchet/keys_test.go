package ratchet

import (
	"bytes"
	"crypto/ecdh"
	"crypto/mlkem"
	"crypto/mlkem/mlkemtest"
	"crypto/rand"
	"crypto/sha3"
	"encoding/hex"
	"testing"

	"filippo.io/edwards25519"
)

// TestParsePublicKey: only points of the prime-order subgroup, in their one
// encoding, are keys.
func TestParsePublicKey(t *testing.T) {
	good := newKey(t).Public()
	if k, err := ParsePublicKey(good.Encode()); err != nil || k != good {
		t.Errorf("a key: %v", err)
	}
	bad := map[string][]byte{
		"empty": nil, "short": good.Encode()[:32], "long": append(good.Encode(), 0), "other type": append([]byte{6}, good[:]...),
		"top bit": append([]byte{5}, append(good[:31:31], good[31]|0x80)...),
	}
	// The points of small order (RFC 7748, section 6.1), and 2^255-19 and
	// above.
	for _, s := range []string{
		"0000000000000000000000000000000000000000000000000000000000000000",
		"0100000000000000000000000000000000000000000000000000000000000000",
		"e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
		"5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
		"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	} {
		b, err := hex.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		bad[s] = append([]byte{5}, b...)
	}
	// A good point with one of order 4 added.
	four, err := new(edwards25519.Point).SetBytes(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	p := new(edwards25519.Point).ScalarBaseMult(newKey(t).scalar())
	bad["torsion"] = append([]byte{5}, p.Add(p, four).BytesMontgomery()...)
	for name, b := range bad {
		if _, err := ParsePublicKey(b); err != ErrMalformed {
			t.Errorf("%s: %v", name, err)
		}
	}
	for i := range 40 { // about every second of these is on the twist
		b := append([]byte{5, byte(9 + i)}, make([]byte, 31)...)
		k, err := ParsePublicKey(b)
		if _, onCurve := k.edwards(0); err == nil && !onCurve {
			t.Errorf("%d is a key", 9+i)
		}
	}
}

// TestX25519 compares the ladder and the public keys with crypto/ecdh.
func TestX25519(t *testing.T) {
	for range 50 {
		k, other := newKey(t), newKey(t)
		theirs := other.Public()
		secret, err := k.agree(&theirs)
		if err != nil {
			t.Fatal(err)
		}
		std := must(ecdh.X25519().NewPrivateKey(k[:]))
		if !bytes.Equal(secret[:], must(std.ECDH(must(ecdh.X25519().NewPublicKey(theirs[:]))))) {
			t.Errorf("%x is not what crypto/ecdh agrees on", secret)
		}
		if p := k.Public(); !bytes.Equal(p[:], std.PublicKey().Bytes()) {
			t.Errorf("%x is not the public key of crypto/ecdh", p)
		}
	}
}

// TestXEdDSA: signatures of keys of either sign verify, as the paper has them
// and as libsignal does; changed ones do not.
func TestXEdDSA(t *testing.T) {
	signs := map[byte]int{}
	for range 40 {
		k := newKey(t)
		sig, err := Sign(rand.Reader, k, []byte("message"))
		if err != nil {
			t.Fatal(err)
		}
		public := k.Public()
		signs[new(edwards25519.Point).ScalarBaseMult(k.scalar()).Bytes()[31]>>7]++
		if sig[63]>>7 != 0 || !Verify(public, []byte("message"), sig) {
			t.Errorf("a signature with sign %d does not verify", sig[63]>>7)
		}
		if Verify(public, []byte("another"), sig) || Verify(newKey(t).Public(), []byte("message"), sig) || Verify(public, []byte("message"), sig[:63]) {
			t.Error("what was not signed verifies")
		}
		for _, i := range []int{0, 31, 32, 62, 63} {
			bad := bytes.Clone(sig)
			bad[i] ^= 0x80
			if Verify(public, []byte("message"), bad) {
				t.Errorf("a signature with byte %d changed verifies", i)
			}
		}
	}
	if signs[0] == 0 || signs[1] == 0 {
		t.Errorf("signs %v", signs)
	}
	if Verify(PublicKey(bytes.Repeat([]byte{0xff}, 32)), nil, make([]byte, 64)) {
		t.Error("a key that is not canonical verifies")
	}
}

// TestKyberSecret: the secret of the third round is that of ML-KEM, hashed with
// the ciphertext.
func TestKyberSecret(t *testing.T) {
	k, err := GenerateKEM(rand.Reader, Kyber1024)
	if err != nil {
		t.Fatal(err)
	}
	ek := must(mlkem.NewEncapsulationKey1024(k.Public()[1:]))
	shared, ct, err := mlkemtest.Encapsulate1024(ek, make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	sum := sha3.Sum256(ct)
	wanted := sha3.SumSHAKE256(append(shared, sum[:]...), 32)
	secret, err := k.decapsulate(k.expand(), append([]byte{0x08}, ct...))
	if err != nil || !bytes.Equal(secret[:], wanted) {
		t.Errorf("got %x, %v; want %x", secret, err, wanted)
	}
}

func TestKEM(t *testing.T) {
	for _, kem := range []KEM{Kyber1024, MLKEM1024} {
		k, err := GenerateKEM(rand.Reader, kem)
		if err != nil {
			t.Fatal(err)
		}
		again, err := ParseKEMPrivateKey(k.Bytes())
		if err != nil || again != k {
			t.Errorf("a key did not come back: %v", err)
		}
		secret, ct, err := encapsulate(kem, k.Public())
		if err != nil {
			t.Fatal(err)
		}
		got, err := k.decapsulate(k.expand(), ct)
		if err != nil || got != secret {
			t.Errorf("the two sides disagree: %v", err)
		}
		if _, err := k.decapsulate(k.expand(), ct[:100]); err != ErrMalformed {
			t.Errorf("a short ciphertext: %v", err)
		}
		if _, _, err := encapsulate(kem^2, k.Public()); err != ErrMalformed {
			t.Errorf("a key of another mechanism: %v", err)
		}
	}
	for _, b := range [][]byte{nil, {8}, append([]byte{9}, make([]byte, 64)...), append([]byte{8}, make([]byte, 65)...)} {
		if _, err := ParseKEMPrivateKey(b); err != ErrMalformed {
			t.Errorf("%d bytes: %v", len(b), err)
		}
	}
	if _, err := GenerateKEM(rand.Reader, 9); err != ErrMalformed {
		t.Errorf("an unknown mechanism: %v", err)
	}
}
