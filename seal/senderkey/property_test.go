package senderkey

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/waxwing-mq/waxwing/seal/ratchet"
	"pgregory.net/rapid"
)

// A member is a receiver with the table that its skipped keys are in.
type member struct {
	row  []byte
	keys map[ratchet.KeyID]ratchet.SkippedKey
}

// open does what the SQL binding does in one transaction.
func (m *member) open(message []byte) (plaintext []byte, err error) {
	r, err := DecodeReceiver(m.row)
	if err != nil {
		return nil, err
	}
	o, err := r.Open(message, nil)
	if need := (*ratchet.NeedKeys)(nil); errors.As(err, &need) {
		var keys []ratchet.SkippedKey
		for _, id := range need.IDs {
			if k, found := m.keys[id]; found {
				keys = append(keys, k)
			}
		}
		o, err = r.Open(message, keys)
	}
	if err != nil {
		return nil, err
	}
	m.row = o.Next.Encode()
	for _, k := range o.Skipped {
		m.keys[k.ID] = k
	}
	for _, id := range o.Used {
		delete(m.keys, id)
	}
	return o.Plaintext, nil
}

// TestEachMessageOpensOnce lets messages be lost, arrive in any order, more than once, forged, and be sealed by a process that rolled
// back, with members who join at any time: each that arrives opens once at each member who had joined, and never again; what a member
// stores at the end opens nothing that it has opened.
func TestEachMessageOpensOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, err := NewSender(random(t), group)
		if err != nil {
			t.Fatal(err)
		}
		type sent struct {
			message []byte
			text    string
			opened  []*member
		}
		var all []*sent
		var members []*member
		joined := map[*member]int{}
		join := func() {
			r, err := ProcessDistribution(s.Distribution())
			if err != nil {
				t.Fatal(err)
			}
			m := &member{row: r.Encode(), keys: map[ratchet.KeyID]ratchet.SkippedKey{}}
			members, joined[m] = append(members, m), len(all)
		}
		join()
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			switch rapid.IntRange(0, 9).Draw(t, "step") {
			case 0:
				join()
			case 1: // rolled back, the key skipped
				_, n := s.SendIndex()
				if s, err = s.Burn(n + 1); err != nil {
					t.Fatal(err)
				}
			case 2, 3, 4, 5: // sealed, and lost unless it is delivered below
				text := fmt.Sprint("message ", len(all))
				next, message, err := s.Seal(random(t), []byte(text))
				if err != nil {
					t.Fatal(err)
				}
				s, all = next, append(all, &sent{message: message, text: text})
			default:
				if len(all) == 0 {
					continue
				}
				i := rapid.IntRange(0, len(all)-1).Draw(t, "message")
				m := rapid.SampledFrom(members).Draw(t, "member")
				if rapid.IntRange(0, 3).Draw(t, "forged") == 0 {
					forged := bytes.Clone(all[i].message)
					forged[rapid.IntRange(0, len(forged)-1).Draw(t, "byte")] ^= byte(rapid.IntRange(1, 255).Draw(t, "by"))
					before := bytes.Clone(m.row)
					if _, err := m.open(forged); err == nil || !bytes.Equal(m.row, before) {
						t.Fatalf("a forged message %d: %v", i, err)
					}
				}
				got, err := m.open(all[i].message)
				if i < joined[m] || slices.Contains(all[i].opened, m) {
					if !errors.Is(err, ratchet.ErrDuplicate) {
						t.Fatalf("message %d once more: %q, %v", i, got, err)
					}
					continue
				}
				if err != nil || string(got) != all[i].text {
					t.Fatalf("message %d: %q, %v", i, got, err)
				}
				all[i].opened = append(all[i].opened, m)
			}
		}
		for i, a := range all {
			for _, m := range a.opened {
				if _, err := m.open(a.message); !errors.Is(err, ratchet.ErrDuplicate) {
					t.Fatalf("at the end message %d: %v", i, err)
				}
			}
		}
	})
}

// TestKeysAreNeverTheSame: messages of a chain are encrypted under keys of their own, and equal texts do not show.
func TestKeysAreNeverTheSame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, err := NewSender(random(t), group)
		if err != nil {
			t.Fatal(err)
		}
		seen := map[string]bool{}
		for range 20 {
			next, message, err := s.Seal(random(t), make([]byte, 64))
			if err != nil {
				t.Fatal(err)
			}
			_, ciphertext, _, err := parseMessage(message)
			if err != nil {
				t.Fatal(err)
			}
			for block := range slices.Chunk(ciphertext, 16) {
				if seen[string(block)] {
					t.Fatal("a block repeats")
				}
				seen[string(block)] = true
			}
			s = next
		}
	})
}

// random is randomness that rapid can repeat.
func random(t *rapid.T) *bytes.Reader {
	return bytes.NewReader(rapid.SliceOfN(rapid.Byte(), 128, 128).Draw(t, "random"))
}
