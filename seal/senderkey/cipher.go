package senderkey

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"

	"github.com/waxwing-mq/waxwing/seal/ratchet"
)

// expand makes the key of a message of its seed: 16 bytes of IV, then 32 of AES key.
func expand(seed *[32]byte) (block cipher.Block, iv []byte) {
	b, err := hkdf.Key(sha256.New, seed[:], nil, "WhisperGroup", aes.BlockSize+32)
	if err != nil {
		panic(err) // too long, which it is not
	}
	defer clear(b[aes.BlockSize:])
	block, err = aes.NewCipher(b[aes.BlockSize:])
	if err != nil {
		panic(err) // the length was wrong
	}
	return block, b[:aes.BlockSize]
}

// encrypt is AES-256-CBC with the padding of PKCS #7.
func encrypt(seed *[32]byte, plaintext []byte) []byte {
	block, iv := expand(seed)
	pad := aes.BlockSize - len(plaintext)%aes.BlockSize
	text := append(bytes.Clone(plaintext), bytes.Repeat([]byte{byte(pad)}, pad)...)
	cipher.NewCBCEncrypter(block, iv).CryptBlocks(text, text)
	return text
}

// decrypt undoes encrypt. The signature has been verified: what padding tells, it tells to the sender.
func decrypt(seed *[32]byte, ciphertext []byte) ([]byte, error) {
	if len(ciphertext) == 0 || len(ciphertext)%aes.BlockSize != 0 {
		return nil, ratchet.ErrMalformed
	}
	block, iv := expand(seed)
	text := make([]byte, len(ciphertext))
	cipher.NewCBCDecrypter(block, iv).CryptBlocks(text, ciphertext)
	pad := int(text[len(text)-1])
	if pad == 0 || pad > aes.BlockSize {
		return nil, ratchet.ErrMalformed
	}
	body := text[:len(text)-pad]
	if !bytes.Equal(text[len(body):], bytes.Repeat([]byte{byte(pad)}, pad)) {
		return nil, ratchet.ErrMalformed
	}
	return body, nil
}
