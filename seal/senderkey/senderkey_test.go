package senderkey

import (
	"bytes"
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/waxwing-mq/waxwing/seal/ratchet"
)

var group = [16]byte{0x8b, 0x1f, 0x3c, 0x52, 0x9c, 0x0e, 0x4d, 0x0c, 0x9f, 0x65, 0x1c, 0x2b, 0x7f, 0x9a, 0x0a, 0x01}

func newSender(t testing.TB) *Sender {
	t.Helper()
	s, err := NewSender(rand.Reader, group)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func receiverOf(t testing.TB, s *Sender) *Receiver {
	t.Helper()
	r, err := ProcessDistribution(s.Distribution())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// seal seals text and moves *s on.
func seal(t testing.TB, s **Sender, text string) []byte {
	t.Helper()
	next, message, err := (*s).Seal(rand.Reader, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	*s = next
	return message
}

// open opens message, which must hold text, and moves *r on.
func open(t testing.TB, r **Receiver, message []byte, keys []ratchet.SkippedKey, text string) *Opened {
	t.Helper()
	o, err := (*r).Open(message, keys)
	if err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	if string(o.Plaintext) != text {
		t.Fatalf("%q instead of %q", o.Plaintext, text)
	}
	*r = o.Next
	return o
}

func wantError(t testing.TB, r *Receiver, message []byte, keys []ratchet.SkippedKey, want error) {
	t.Helper()
	if o, err := r.Open(message, keys); !errors.Is(err, want) || o != nil {
		t.Errorf("%v, %v instead of %v", o, err, want)
	}
}

func TestInOrder(t *testing.T) {
	s := newSender(t)
	r := receiverOf(t, s)
	for _, text := range []string{"", "one", strings.Repeat("x", 16), strings.Repeat("long ", 1000)} {
		m := seal(t, &s, text)
		before := r
		o := open(t, &r, m, nil, text)
		if _, n := s.SendIndex(); o.ID != (ratchet.KeyID{Chain: r.Chain(), N: n - 1}) || o.Skipped != nil || o.Used != nil {
			t.Errorf("%+v", o)
		}
		wantError(t, r, m, nil, ratchet.ErrDuplicate)
		open(t, &before, m, nil, text) // the value from before has not changed
	}
}

func TestOutOfOrder(t *testing.T) {
	s := newSender(t)
	r := receiverOf(t, s)
	m := [][]byte{seal(t, &s, "0"), seal(t, &s, "1"), seal(t, &s, "2")}
	kept := open(t, &r, m[2], nil, "2").Skipped
	if len(kept) != 2 || kept[0].ID.N != 0 || kept[1].ID.N != 1 {
		t.Fatalf("%v are skipped", kept)
	}
	var need *ratchet.NeedKeys
	if _, err := r.Open(m[0], kept[1:]); !errors.As(err, &need) || !slices.Equal(need.IDs, []ratchet.KeyID{kept[0].ID}) {
		t.Fatalf("without its key: %v", err)
	}
	o := open(t, &r, m[0], kept, "0")
	if !slices.Equal(o.Used, []ratchet.KeyID{kept[0].ID}) || o.Skipped != nil || o.ID != kept[0].ID {
		t.Errorf("%+v", o)
	}
	open(t, &r, m[1], kept[1:], "1")
	open(t, &r, seal(t, &s, "3"), nil, "3")
}

func TestWhoJoinsLaterOpensNothingOfBefore(t *testing.T) {
	s := newSender(t)
	before := seal(t, &s, "before")
	r := receiverOf(t, s)
	wantError(t, r, before, nil, ratchet.ErrDuplicate)
	open(t, &r, seal(t, &s, "after"), nil, "after")
}

func TestEveryByteCounts(t *testing.T) {
	s := newSender(t)
	r := receiverOf(t, s)
	m := seal(t, &s, "text")
	for i := range m {
		for _, bit := range []byte{1, 0x80} {
			forged := bytes.Clone(m)
			forged[i] ^= bit
			if o, err := r.Open(forged, nil); err == nil {
				t.Errorf("byte %d, bit %#x: %q", i, bit, o.Plaintext)
			}
		}
		if _, err := r.Open(m[:i], nil); err == nil {
			t.Errorf("the first %d bytes are opened", i)
		}
	}
	open(t, &r, m, nil, "text")
}

func TestOthersCannotSeal(t *testing.T) {
	s := newSender(t)
	r := receiverOf(t, s)
	forger := *newSender(t)
	forger.chainID, forger.chain = s.chainID, s.chain // a member of the group, who has the distribution
	f := &forger
	wantError(t, r, seal(t, &f, "forged"), nil, ratchet.ErrSignature)

	otherChain := *s
	otherChain.chainID++
	o := &otherChain
	wantError(t, r, seal(t, &o, "another chain"), nil, ratchet.ErrSignature)

	otherGroup := *s
	otherGroup.group[0]++
	o = &otherGroup
	wantError(t, r, seal(t, &o, "another group"), nil, ratchet.ErrSignature)
}

// TestForgedCountersCostNothing: a message that is not the sender's is refused for its signature, whatever its counter says.
func TestForgedCountersCostNothing(t *testing.T) {
	s := newSender(t)
	r := receiverOf(t, s)
	for _, n := range []uint32{0, ratchet.MaxJump, ratchet.MaxJump + 1, math.MaxUint32} {
		h := Header{Group: group, ChainID: s.chainID, Iteration: n}
		forged := append(appendMessage(nil, h, make([]byte, 16)), make([]byte, signatureSize)...)
		wantError(t, r, forged, nil, ratchet.ErrSignature)
	}
}

func TestJumps(t *testing.T) {
	s := newSender(t)
	r := receiverOf(t, s)
	far, err := s.Burn(ratchet.MaxJump)
	if err != nil {
		t.Fatal(err)
	}
	last := seal(t, &far, "the farthest")
	wantError(t, r, seal(t, &far, "too far"), nil, ratchet.ErrTooFar)

	o := open(t, &r, last, nil, "the farthest")
	if len(o.Skipped) != ratchet.MaxSkipped {
		t.Fatalf("%d keys are to be kept", len(o.Skipped))
	}
	for i, k := range o.Skipped {
		if want := uint32(ratchet.MaxJump - ratchet.MaxSkipped + i); k.ID != (ratchet.KeyID{Chain: r.Chain(), N: want}) {
			t.Fatalf("key %d is of %d instead of %d", i, k.ID.N, want)
		}
	}
	almost, err := s.Burn(ratchet.MaxJump - 1)
	if err != nil {
		t.Fatal(err)
	}
	open(t, &r, seal(t, &almost, "the one before"), o.Skipped, "the one before")
	wantError(t, r, seal(t, &s, "given up"), o.Skipped, ratchet.ErrDuplicate)
}

func TestBurn(t *testing.T) {
	s := newSender(t)
	r := receiverOf(t, s)
	burned, err := s.Burn(3)
	if err != nil {
		t.Fatal(err)
	}
	if _, n := burned.SendIndex(); n != 3 {
		t.Errorf("the next is %d", n)
	}
	if back, err := burned.Burn(1); err != nil || !bytes.Equal(back.Encode(), burned.Encode()) {
		t.Errorf("burning backwards: %v", err)
	}
	open(t, &r, seal(t, &burned, "3"), nil, "3")
	if _, err := s.Burn(ratchet.MaxJump + 1); !errors.Is(err, ratchet.ErrTooFar) {
		t.Errorf("burning too far: %v", err)
	}
}

func TestTheLastNumber(t *testing.T) {
	s := newSender(t)
	s.chain.n = math.MaxUint32 - 1
	r := receiverOf(t, s)
	open(t, &r, seal(t, &s, "the last"), nil, "the last")
	if _, _, err := s.Seal(rand.Reader, nil); !errors.Is(err, ratchet.ErrExhausted) {
		t.Errorf("one more: %v", err)
	}
	h := Header{Group: group, ChainID: s.chainID, Iteration: math.MaxUint32}
	m := appendMessage(nil, h, make([]byte, 16))
	signature, err := ratchet.Sign(rand.Reader, s.signing, m)
	if err != nil {
		t.Fatal(err)
	}
	wantError(t, r, append(m, signature...), nil, ratchet.ErrMalformed)
}

// TestRowsCarryTheWholeState goes through Encode before each step.
func TestRowsCarryTheWholeState(t *testing.T) {
	s := newSender(t)
	r := receiverOf(t, s)
	for i := range 3 {
		var err error
		if s, err = DecodeSender(s.Encode()); err != nil {
			t.Fatal(err)
		}
		if r, err = DecodeReceiver(r.Encode()); err != nil {
			t.Fatal(err)
		}
		open(t, &r, seal(t, &s, fmt.Sprint(i)), nil, fmt.Sprint(i))
	}
	if _, err := DecodeSender(r.Encode()); !errors.Is(err, ratchet.ErrMalformed) {
		t.Errorf("a receiver as a sender: %v", err)
	}
	if _, err := DecodeReceiver(s.Encode()); !errors.Is(err, ratchet.ErrMalformed) {
		t.Errorf("a sender as a receiver: %v", err)
	}
}

func TestInspect(t *testing.T) {
	s := newSender(t)
	r := receiverOf(t, s)
	seal(t, &s, "0")
	h, err := Inspect(seal(t, &s, "1"))
	if want := (Header{Group: group, ChainID: s.chainID, Iteration: 1}); err != nil || h != want {
		t.Errorf("%+v, %v", h, err)
	}
	if want := (Header{Group: group, ChainID: s.chainID}); r.Header() != want {
		t.Errorf("the receiver is at %+v", r.Header())
	}
	if s.chainID > math.MaxInt32 {
		t.Errorf("chain id %d has more than 31 bits", s.chainID)
	}
}

func TestVersions(t *testing.T) {
	s := newSender(t)
	r := receiverOf(t, s)
	m, d := seal(t, &s, "text"), s.Distribution()
	if m[0] != 0x33 || d[0] != 0x33 {
		t.Errorf("versions %#x and %#x", m[0], d[0])
	}
	m[0], d[0] = 0x44, 0x23
	wantError(t, r, m, nil, ratchet.ErrVersion)
	if _, err := ProcessDistribution(d); !errors.Is(err, ratchet.ErrVersion) {
		t.Errorf("a distribution of version 2: %v", err)
	}
}

// TestUnknownFieldsAreSkipped: a later version may have more to say.
func TestUnknownFieldsAreSkipped(t *testing.T) {
	s := newSender(t)
	d := s.Distribution()
	d = append(d, 9<<3|wireFixed64, 1, 2, 3, 4, 5, 6, 7, 8, 10<<3|wireFixed32, 1, 2, 3, 4, 11<<3|wireVarint, 0x80, 1, 12<<3|wireBytes, 1, 'x')
	r, err := ProcessDistribution(d)
	if err != nil {
		t.Fatal(err)
	}
	open(t, &r, seal(t, &s, "text"), nil, "text")
}

func TestMalformedDistributions(t *testing.T) {
	s := newSender(t)
	h := Header{Group: group}
	key := s.signing.Public().Encode()
	for name, d := range map[string][]byte{
		"nothing":            nil,
		"only a version":     {version},
		"a short chain key":  appendBytes(appendBytes(appendHeader(nil, h), 4, make([]byte, 31)), 5, key),
		"no chain key":       appendBytes(appendHeader(nil, h), 5, key),
		"no signing key":     appendBytes(appendHeader(nil, h), 4, make([]byte, 32)),
		"a signing key of 0": appendBytes(appendBytes(appendHeader(nil, h), 4, make([]byte, 32)), 5, append([]byte{5}, make([]byte, 32)...)),
		"a short group":      appendBytes(s.Distribution(), 1, group[1:]),
		"a large iteration":  append(s.Distribution(), 3<<3, 0x80, 0x80, 0x80, 0x80, 0x10),
		"a field 0":          append(s.Distribution(), 0),
		"a group of fields":  append(s.Distribution(), 9<<3|3),
		"a length too long":  append(s.Distribution(), 9<<3|wireBytes, 1),
		"half a number":      append(s.Distribution(), 9<<3|wireVarint, 0x80),
	} {
		if r, err := ProcessDistribution(d); !errors.Is(err, ratchet.ErrMalformed) || r != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestASenderWithoutSense signs a ciphertext that cannot be decrypted: nothing may be stored.
func TestASenderWithoutSense(t *testing.T) {
	s := newSender(t)
	r := receiverOf(t, s)
	raw := func(text []byte) []byte {
		c := s.chain
		seed := c.step()
		block, iv := expand(&seed)
		cipher.NewCBCEncrypter(block, iv).CryptBlocks(text, text)
		return text
	}
	for name, ciphertext := range map[string][]byte{
		"nothing":         {},
		"half a block":    make([]byte, 8),
		"padding of 0":    raw(make([]byte, 16)),
		"padding of 17":   raw(bytes.Repeat([]byte{17}, 32)),
		"unequal padding": raw([]byte("twelve bytes\x00\x04\x04\x04")),
	} {
		m := appendMessage(nil, Header{Group: group, ChainID: s.chainID}, ciphertext)
		signature, err := ratchet.Sign(rand.Reader, s.signing, m)
		if err != nil {
			t.Fatal(err)
		}
		if o, err := r.Open(append(m, signature...), nil); o != nil || !errors.Is(err, ratchet.ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSecretsDoNotPrint(t *testing.T) {
	s := newSender(t)
	r := receiverOf(t, s)
	for _, v := range []any{s, *s, r, *r} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%x", "%s"} {
			out := fmt.Sprintf(verb, v)
			if secret := fmt.Sprintf("%x", s.chain.key[:4]); strings.Contains(out, secret) || len(out) > 80 {
				t.Errorf("%T prints as %s", v, out)
			}
		}
	}
}

func TestNoRandomness(t *testing.T) {
	none := bytes.NewReader(nil)
	if _, err := NewSender(none, group); err == nil {
		t.Error("a sender without randomness")
	}
	if _, _, err := newSender(t).Seal(none, nil); err == nil {
		t.Error("a message without randomness")
	}
}

// BenchmarkSealOpen seals and opens 1 KiB, with the rows encoded and decoded on both sides.
func BenchmarkSealOpen(b *testing.B) {
	s := newSender(b)
	sent, received := s.Encode(), receiverOf(b, s).Encode()
	plaintext := make([]byte, 1024)
	b.ReportAllocs()
	for b.Loop() {
		s, err := DecodeSender(sent)
		if err != nil {
			b.Fatal(err)
		}
		s, m, err := s.Seal(rand.Reader, plaintext)
		if err != nil {
			b.Fatal(err)
		}
		sent = s.Encode()
		r, err := DecodeReceiver(received)
		if err != nil {
			b.Fatal(err)
		}
		o, err := r.Open(m, nil)
		if err != nil {
			b.Fatal(err)
		}
		received = o.Next.Encode()
	}
}

// BenchmarkFarthestJump opens a message that is MaxJump ahead: the most that one costs.
func BenchmarkFarthestJump(b *testing.B) {
	s := newSender(b)
	r := receiverOf(b, s)
	far, err := s.Burn(ratchet.MaxJump)
	if err != nil {
		b.Fatal(err)
	}
	m := seal(b, &far, "far")
	for b.Loop() {
		if _, err := r.Open(m, nil); err != nil {
			b.Fatal(err)
		}
	}
}
