package ratchet

import (
	"crypto/aes"
	"crypto/cipher"
)

// keySize is what a message key expands to: AES-256 key, MAC key, IV.
const keySize = 32 + 32 + aes.BlockSize

// cbcSize is how long a plaintext of n bytes becomes.
func cbcSize(n int) int { return n + aes.BlockSize - n%aes.BlockSize }

// cbcSeal appends plaintext to b, padded (PKCS #7) and encrypted with
// AES-256-CBC.
func cbcSeal(b []byte, key, iv, plaintext []byte) []byte {
	c, err := aes.NewCipher(key)
	if err != nil {
		panic(err) // the length was wrong
	}
	from, pad := len(b), cbcSize(len(plaintext))-len(plaintext)
	b = append(b, plaintext...)
	for range pad {
		b = append(b, byte(pad))
	}
	text := b[from:]
	cipher.NewCBCEncrypter(c, iv).CryptBlocks(text, text)
	return b
}

// cbcOpen decrypts what cbcSeal made. The caller has authenticated it: padding
// tells an attacker nothing then.
func cbcOpen(key, iv, ciphertext []byte) ([]byte, error) {
	if len(ciphertext) == 0 || len(ciphertext)%aes.BlockSize != 0 {
		return nil, ErrMalformed
	}
	c, err := aes.NewCipher(key)
	if err != nil {
		panic(err) // the length was wrong
	}
	text := make([]byte, len(ciphertext))
	cipher.NewCBCDecrypter(c, iv).CryptBlocks(text, ciphertext)
	pad := int(text[len(text)-1])
	if pad == 0 || pad > aes.BlockSize {
		return nil, ErrMalformed
	}
	for _, b := range text[len(text)-pad:] {
		if int(b) != pad {
			return nil, ErrMalformed
		}
	}
	return text[: len(text)-pad : len(text)-pad], nil
}
