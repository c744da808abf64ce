package ratchet

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"io/fs"
	"testing"

	"github.com/c2sp/wycheproof"
)

// A hexString is bytes as Wycheproof writes them.
type hexString []byte

func (h *hexString) UnmarshalJSON(b []byte) (err error) {
	var s string
	if err = json.Unmarshal(b, &s); err == nil {
		*h, err = hex.DecodeString(s)
	}
	return err
}

// A vector has what some test of Wycheproof has.
type vector struct {
	ID      int       `json:"tcId"`
	Comment string    `json:"comment"`
	Result  string    `json:"result"`
	Flags   []string  `json:"flags"`
	Public  hexString `json:"public"`
	Private hexString `json:"private"`
	Shared  hexString `json:"shared"`
	IKM     hexString `json:"ikm"`
	Salt    hexString `json:"salt"`
	Info    hexString `json:"info"`
	Size    int       `json:"size"`
	OKM     hexString `json:"okm"`
	Key     hexString `json:"key"`
	Msg     hexString `json:"msg"`
	Tag     hexString `json:"tag"`
	IV      hexString `json:"iv"`
	CT      hexString `json:"ct"`
	Seed    hexString `json:"seed"`
	C       hexString `json:"c"`
	EK      hexString `json:"ek"`
	K       hexString `json:"K"`
	Sig     hexString `json:"sig"`
}

type vectorGroup struct {
	KeySize   int      `json:"keySize"`
	TagSize   int      `json:"tagSize"`
	Parameter string   `json:"parameterSet"`
	Tests     []vector `json:"tests"`
}

// vectors calls check for every test of a file, and fails if there were none.
func vectors(t *testing.T, file string, check func(g vectorGroup, v vector) (good, known bool)) {
	t.Helper()
	b, err := fs.ReadFile(wycheproof.TestVectors, file)
	if err != nil {
		t.Fatal(err)
	}
	var all struct {
		Groups []vectorGroup `json:"testGroups"`
	}
	if err := json.Unmarshal(b, &all); err != nil {
		t.Fatal(err)
	}
	checked := 0
	for _, g := range all.Groups {
		for _, v := range g.Tests {
			good, known := check(g, v)
			if !known {
				continue
			}
			checked++
			if v.Result != "acceptable" && good != (v.Result == "valid") {
				t.Errorf("%s %d (%s): %v, want %s", file, v.ID, v.Comment, good, v.Result)
			}
		}
	}
	if checked == 0 {
		t.Errorf("%s: nothing was checked", file)
	}
	t.Logf("%s: %d vectors", file, checked)
}

func TestWycheproof(t *testing.T) {
	t.Run("X25519", func(t *testing.T) {
		vectors(t, "x25519_test.json", func(_ vectorGroup, v vector) (good, known bool) {
			k, p := PrivateKey(v.Private), PublicKey(v.Public)
			secret, err := k.agree(&p)
			// Points of small order are acceptable for Wycheproof, not for us.
			if refused := bytes.Equal(v.Shared, make([]byte, 32)); refused != (err != nil) || !bytes.Equal(secret[:], v.Shared) {
				t.Errorf("%d (%s): %x, %v", v.ID, v.Comment, secret, err)
			}
			return true, true
		})
	})
	t.Run("HKDF", func(t *testing.T) {
		vectors(t, "hkdf_sha256_test.json", func(_ vectorGroup, v vector) (good, known bool) {
			if v.Size > 255*32 {
				return false, true // nobody asks for so much
			}
			out := make([]byte, v.Size)
			hkdf(out, v.Salt, v.IKM, v.Info)
			return bytes.Equal(out, v.OKM), true
		})
	})
	t.Run("HMAC", func(t *testing.T) {
		vectors(t, "hmac_sha256_test.json", func(g vectorGroup, v vector) (good, known bool) {
			sum := hmacSHA256(v.Key, v.Msg)
			return bytes.Equal(sum[:g.TagSize/8], v.Tag), true
		})
	})
	t.Run("AES-CBC", func(t *testing.T) {
		vectors(t, "aes_cbc_pkcs5_test.json", func(g vectorGroup, v vector) (good, known bool) {
			if g.KeySize != 256 {
				return false, false
			}
			if v.Result == "valid" && !bytes.Equal(cbcSeal(nil, v.Key, v.IV, v.Msg), v.CT) {
				return false, true
			}
			text, err := cbcOpen(v.Key, v.IV, v.CT)
			return err == nil && bytes.Equal(text, v.Msg), true
		})
	})
	t.Run("ML-KEM", func(t *testing.T) {
		vectors(t, "mlkem_1024_test.json", func(_ vectorGroup, v vector) (good, known bool) {
			k, err := ParseKEMPrivateKey(append([]byte{byte(MLKEM1024)}, v.Seed...))
			if err != nil {
				return false, true
			}
			secret, err := k.decapsulate(k.expand(), append([]byte{byte(MLKEM1024)}, v.C...))
			same := v.EK == nil || bytes.Equal(k.Public()[1:], v.EK)
			return err == nil && bytes.Equal(secret[:], v.K) && same, true
		})
		vectors(t, "mlkem_1024_encaps_test.json", func(_ vectorGroup, v vector) (good, known bool) {
			_, _, err := encapsulate(MLKEM1024, append([]byte{byte(MLKEM1024)}, v.EK...))
			return err == nil, true
		})
	})
}
