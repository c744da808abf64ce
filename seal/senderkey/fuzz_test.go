package senderkey

import (
	"bytes"
	"testing"
)

// fixed is a sender that is the same in every run, two messages on, with its first two messages.
func fixed(f *testing.F) (s *Sender, messages [][]byte) {
	random := bytes.NewReader(bytes.Repeat([]byte{7, 1, 200, 90}, 64))
	s, err := NewSender(random, group)
	if err != nil {
		f.Fatal(err)
	}
	for range 2 {
		next, m, err := s.Seal(random, []byte("a text of a message"))
		if err != nil {
			f.Fatal(err)
		}
		s, messages = next, append(messages, m)
	}
	return s, messages
}

// FuzzProcessDistribution: what is accepted says the same when it is written again.
func FuzzProcessDistribution(f *testing.F) {
	s, _ := fixed(f)
	f.Add(s.Distribution())
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := ProcessDistribution(b)
		if err != nil {
			return
		}
		again, err := ProcessDistribution(appendDistribution(nil, r.Header(), r.chain.key, r.signing))
		if err != nil || *again != *r {
			t.Fatalf("written again: %v", err)
		}
	})
}

// FuzzOpen: nothing opens but what was sealed.
func FuzzOpen(f *testing.F) {
	s, messages := fixed(f)
	r := receiverOf(f, s)
	_, third, err := s.Seal(bytes.NewReader(make([]byte, 64)), []byte("the third"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(third)
	f.Add(messages[0])
	f.Fuzz(func(t *testing.T, b []byte) {
		h, inspected := Inspect(b)
		o, err := r.Open(b, nil)
		if err != nil {
			return
		}
		if inspected != nil || !bytes.Equal(b, third) || h.Iteration != 2 || string(o.Plaintext) != "the third" {
			t.Fatalf("%x opens", b)
		}
	})
}

// FuzzInspect: what is read is what is written.
func FuzzInspect(f *testing.F) {
	_, messages := fixed(f)
	f.Add(messages[1])
	f.Fuzz(func(t *testing.T, b []byte) {
		h, ciphertext, signed, err := parseMessage(b)
		if err != nil {
			return
		}
		again := append(appendMessage(nil, h, ciphertext), b[len(signed):]...)
		h2, ciphertext2, _, err := parseMessage(again)
		if err != nil || h2 != h || !bytes.Equal(ciphertext2, ciphertext) {
			t.Fatalf("written again: %v", err)
		}
	})
}

// FuzzDecode: a row that is accepted is the one that is written.
func FuzzDecode(f *testing.F) {
	s, _ := fixed(f)
	f.Add(s.Encode())
	f.Add(receiverOf(f, s).Encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		if s, err := DecodeSender(b); err == nil && !bytes.Equal(s.Encode(), b) {
			t.Fatal("a sender is written differently")
		}
		if r, err := DecodeReceiver(b); err == nil && !bytes.Equal(r.Encode(), b) {
			t.Fatal("a receiver is written differently")
		}
	})
}
