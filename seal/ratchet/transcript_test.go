package ratchet

import (
	"bytes"
	"encoding/hex"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/waxwing-mq/waxwing/seal/internal/peer"
)

var update = flag.Bool("update", false, "record the transcripts anew, with the official packages")

// TestTranscripts replays conversations that were recorded, so that what is on
// the wire and in the rows cannot change unnoticed. The peer began; our keys
// and randomness are those of a seed. A line is < for what we open, > for what
// we seal, = for our row, each in hex.
func TestTranscripts(t *testing.T) {
	for name, p := range map[string]Profile{
		"privacyresearch-0.0.16": X3DH, "whiskeysockets-6.0.0": X3DH, "libsignal-0.67.3": PQXDH, "libsignal-0.103.0": SignalV4, "waxwing-he": WaxwingHE,
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join("testdata", "transcripts", name+".txt")
			if *update {
				if err := os.WriteFile(file, record(t, name, p), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			us := seeded(p)
			us.bundle(t, true)
			for i, line := range strings.Split(strings.TrimSpace(string(b)), "\n") {
				kind, text, body := parseLine(t, line)
				switch kind {
				case "<":
					want(t, us, body, text)
				case ">":
					if got := us.seal(t, text); !bytes.Equal(got, body) {
						t.Fatalf("line %d: we sealed %x, it was %x", i+1, got, body)
					}
				case "=":
					if !bytes.Equal(us.row, body) {
						t.Fatalf("line %d: the row is %x, it was %x", i+1, us.row, body)
					}
				}
			}
		})
	}
}

// seeded is the party whose side was recorded.
func seeded(p Profile) *party {
	us := &party{name: "us", profile: p, skipped: map[KeyID][32]byte{}, rand: rand.NewChaCha8([32]byte{byte(p)})}
	us.self = must(GenerateKey(us.rand))
	return us
}

func parseLine(t *testing.T, line string) (kind, text string, body []byte) {
	t.Helper()
	parts := strings.Split(line, " ")
	if len(parts) != 3 {
		t.Fatalf("%q", line)
	}
	body, err := hex.DecodeString(parts[2])
	if err != nil {
		t.Fatal(err)
	}
	return parts[0], parts[1], body
}

// record has a conversation and writes it down: both sides in turn, and a
// message that overtakes another.
func record(t *testing.T, name string, p Profile) []byte {
	t.Helper()
	var out bytes.Buffer
	us := seeded(p)
	seal, open := other(t, name, us)
	receive := func(text string, body []byte) {
		want(t, us, body, text)
		fmt.Fprintf(&out, "< %s %x\n= - %x\n", text, body, us.row)
	}
	for i := range 4 {
		first, second := seal(fmt.Sprint("first-", i)), seal(fmt.Sprint("second-", i))
		receive(fmt.Sprint("second-", i), second)
		text := fmt.Sprint("answer-", i)
		m := us.seal(t, text)
		fmt.Fprintf(&out, "> %s %x\n", text, m)
		open(text, m)
		receive(fmt.Sprint("third-", i), seal(fmt.Sprint("third-", i)))
		receive(fmt.Sprint("first-", i), first)
	}
	return out.Bytes()
}

// other starts who is recorded with us, and lets it begin.
func other(t *testing.T, name string, us *party) (seal func(string) []byte, open func(string, []byte)) {
	t.Helper()
	b := us.bundle(t, true)
	if us.profile == WaxwingHE {
		them := newParty(t, "them", us.profile)
		them.initiate(t, b)
		return func(text string) []byte { return them.seal(t, text) }, func(text string, m []byte) { want(t, them, m, text) }
	}
	them := peer.Start(t, map[string]peer.Package{
		"privacyresearch-0.0.16": peer.Privacyresearch, "whiskeysockets-6.0.0": peer.WhiskeySockets,
		"libsignal-0.67.3": peer.PQXDH, "libsignal-0.103.0": peer.Current,
	}[name], "them")
	if err := them.Process("us", toPeer(b)); err != nil {
		t.Fatal(err)
	}
	return func(text string) []byte {
			m, err := them.Encrypt("us", []byte(text))
			if err != nil {
				t.Fatal(err)
			}
			return m.Body
		}, func(text string, m []byte) {
			if got, err := them.Decrypt("us", peer.Message{Body: m}); err != nil || string(got) != text {
				t.Fatalf("they opened %q, %v", got, err)
			}
		}
}
