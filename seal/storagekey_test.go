package seal

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
)

// TestWrapperVector: XAES-256-GCM's first vectors of C2SP.
func TestWrapperVector(t *testing.T) {
	nonce := [nonceSize]byte([]byte("ABCDEFGHIJKLMNOPQRSTUVWX"))
	for _, v := range []struct {
		key      byte
		ad, want string
	}{
		{1, "", "ce546ef63c9cc60765923609b33a9a1974e96e52daf2fcf7075e2271"},
		{3, "c2sp.org/XAES-256-GCM", "986ec1832593df5443a179437fd083bf3fdb41abd740a21f71eb769d"},
	} {
		w := newWrapper([32]byte(bytes.Repeat([]byte{v.key}, 32)))
		got := w.seal(nil, nonce, []byte("XAES-256-GCM"), []byte(v.ad))
		if hex.EncodeToString(got) != v.want {
			t.Errorf("%x", got)
		}
		if p, err := w.open(nonce, got, []byte(v.ad)); err != nil || string(p) != "XAES-256-GCM" {
			t.Error(string(p), err)
		}
	}
}

// TestWrap: a secret comes back by its row's identity and its key only.
func TestWrap(t *testing.T) {
	first, err := NewStorageKey(1)
	if err != nil {
		t.Fatal(err)
	}
	second, _ := NewStorageKey(2)
	ring, err := NewKeyRing(first)
	if err != nil {
		t.Fatal(err)
	}
	row := rowID("session", "a", "b")
	wrapped := ring.wrap(row, []byte("secret"))
	both, _ := NewKeyRing(second, first)
	for _, r := range []*KeyRing{ring, both} {
		if got, err := r.unwrap(row, wrapped); err != nil || string(got) != "secret" {
			t.Error(string(got), err)
		}
	}
	if _, err := ring.unwrap(rowID("session", "ab", ""), wrapped); err == nil {
		t.Error("another row's")
	}
	alone, _ := NewKeyRing(second)
	if _, err := alone.unwrap(row, wrapped); err == nil {
		t.Error("another key")
	}
	for i := range wrapped {
		bad := bytes.Clone(wrapped)
		bad[i] ^= 1
		if _, err := ring.unwrap(row, bad); err == nil {
			t.Errorf("byte %d does not matter", i)
		}
		if _, err := ring.unwrap(row, wrapped[:i]); err == nil {
			t.Errorf("%d bytes are enough", i)
		}
	}
	if _, err := NewKeyRing(first, first); err == nil {
		t.Error("the same id twice")
	}
	back, err := DecodeStorageKey(first.Encode())
	if err != nil || back != first {
		t.Error(err)
	}
	for _, text := range []string{fmt.Sprintf("%v %+v %#v %s", first, first, first, first), fmt.Sprintf("%v %#v", ring, ring)} {
		if strings.Contains(text, hex.EncodeToString(first.key[:2])) || strings.Contains(text, fmt.Sprint(first.key[:2])) {
			t.Error(text)
		}
	}
}
