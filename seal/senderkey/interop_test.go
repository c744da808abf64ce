package senderkey_test

import (
	"crypto/rand"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"slices"
	"testing"

	"github.com/waxwing-mq/waxwing/seal/internal/peer"
	"github.com/waxwing-mq/waxwing/seal/ratchet"
	"github.com/waxwing-mq/waxwing/seal/senderkey"
)

const groupText = "8b1f3c52-9c0e-4d0c-9f65-1c2b7f9a0a01"

var group = [16]byte{0x8b, 0x1f, 0x3c, 0x52, 0x9c, 0x0e, 0x4d, 0x0c, 0x9f, 0x65, 0x1c, 0x2b, 0x7f, 0x9a, 0x0a, 0x01}

// TestInteropSenderKeys speaks with libsignal in groups, as sender and as receiver, with loss, reordering and duplicates.
func TestInteropSenderKeys(t *testing.T) {
	for _, p := range []peer.Package{peer.Current, peer.PQXDH} {
		t.Run(string(p), func(t *testing.T) {
			t.Parallel()
			them := peer.Start(t, p, "them")
			t.Run("they send", func(t *testing.T) { theySend(t, them) })
			t.Run("we send", func(t *testing.T) { weSend(t, them) })
			t.Run("we rotate", func(t *testing.T) { weRotate(t, them) })
			t.Run("jumps", func(t *testing.T) { jumps(t, them) })
		})
	}
}

// deliveries are n messages in another order, some of them lost and some twice.
func deliveries(n int) []int {
	r := mathrand.New(mathrand.NewPCG(1, uint64(n)))
	var order []int
	for i := range n {
		if r.IntN(5) > 0 {
			order = append(order, i)
		}
		if r.IntN(5) == 0 {
			order = append(order, i)
		}
	}
	r.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
	return order
}

func theySend(t *testing.T, them *peer.Peer) {
	r, err := senderkey.ProcessDistribution(them.Distribution(groupText))
	if err != nil {
		t.Fatal(err)
	}
	if h := r.Header(); h.Group != group || h.Iteration != 0 {
		t.Errorf("the distribution has %+v", h)
	}
	var sent [][]byte
	for i := range 60 {
		m, err := them.GroupEncrypt(groupText, fmt.Append(nil, "message ", i))
		if err != nil {
			t.Fatal(err)
		}
		if h, err := senderkey.Inspect(m); err != nil || h.Group != group || h.ChainID != r.Header().ChainID || h.Iteration != uint32(i) {
			t.Errorf("message %d has %+v, %v", i, h, err)
		}
		sent = append(sent, m)
	}
	var keys []ratchet.SkippedKey
	opened := map[int]bool{}
	for _, i := range deliveries(len(sent)) {
		o, err := r.Open(sent[i], keys)
		if opened[i] {
			if !errors.Is(err, ratchet.ErrDuplicate) {
				t.Errorf("message %d once more: %v", i, err)
			}
			continue
		}
		if err != nil || string(o.Plaintext) != fmt.Sprint("message ", i) {
			t.Fatalf("message %d: %v", i, err)
		}
		opened[i], r = true, o.Next
		keys = slices.DeleteFunc(append(keys, o.Skipped...), func(k ratchet.SkippedKey) bool { return slices.Contains(o.Used, k.ID) })
	}

	// Who joins now has the chain from here on.
	late, err := senderkey.ProcessDistribution(them.Distribution(groupText))
	if err != nil {
		t.Fatal(err)
	}
	if late.Chain() != r.Chain() || late.Header().Iteration != uint32(len(sent)) {
		t.Errorf("the later distribution has %+v", late.Header())
	}
	if _, err := late.Open(sent[len(sent)-1], nil); !errors.Is(err, ratchet.ErrDuplicate) {
		t.Errorf("who joins late opens what was before: %v", err)
	}
}

func newSender(t *testing.T, them *peer.Peer) *senderkey.Sender {
	t.Helper()
	s, err := senderkey.NewSender(rand.Reader, group)
	if err != nil {
		t.Fatal(err)
	}
	if err := them.ProcessDistribution("us", s.Distribution()); err != nil {
		t.Fatal(err)
	}
	return s
}

func seal(t *testing.T, s **senderkey.Sender, text string) []byte {
	t.Helper()
	next, m, err := (*s).Seal(rand.Reader, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	*s = next
	return m
}

// theyOpen lets them open what must hold text.
func theyOpen(t *testing.T, them *peer.Peer, m []byte, text string) {
	t.Helper()
	if got, err := them.GroupDecrypt("us", m); err != nil || string(got) != text {
		t.Errorf("%q: they have %q, %v", text, got, err)
	}
}

func theyRefuse(t *testing.T, them *peer.Peer, m []byte, what string) {
	t.Helper()
	if got, err := them.GroupDecrypt("us", m); err == nil {
		t.Errorf("%s: they have %q", what, got)
	}
}

func weSend(t *testing.T, them *peer.Peer) {
	s := newSender(t, them)
	var sent [][]byte
	for i := range 60 {
		sent = append(sent, seal(t, &s, fmt.Sprint("message ", i)))
	}
	opened := map[int]bool{}
	for _, i := range deliveries(len(sent)) {
		if opened[i] {
			theyRefuse(t, them, sent[i], fmt.Sprint("message ", i, " once more"))
			continue
		}
		theyOpen(t, them, sent[i], fmt.Sprint("message ", i))
		opened[i] = true
	}
	theyOpen(t, them, seal(t, &s, ""), "")

	forged := seal(t, &s, "forged")
	forged[len(forged)-1-64] ^= 1
	theyRefuse(t, them, forged, "a forged message")
}

// weRotate replaces the chain five times: they keep MaxStates of them, as we are to.
func weRotate(t *testing.T, them *peer.Peer) {
	var chains []*senderkey.Sender
	for range senderkey.MaxStates + 1 {
		chains = append(chains, newSender(t, them))
	}
	theyRefuse(t, them, seal(t, &chains[0], "forgotten"), "the oldest chain")
	for i := range chains[1:] {
		text := fmt.Sprint("chain ", i+1)
		theyOpen(t, them, seal(t, &chains[i+1], text), text)
	}
}

// jumps finds that their limits are ours: how far a message may be ahead, and how many keys are kept then.
func jumps(t *testing.T, them *peer.Peer) {
	const from = ratchet.MaxJump - ratchet.MaxSkipped // the first number whose key is kept
	s := newSender(t, them)
	at := func(n uint32) []byte {
		burned, err := s.Burn(n)
		if err != nil {
			t.Fatal(err)
		}
		return seal(t, &burned, fmt.Sprint(n))
	}
	last := at(ratchet.MaxJump)
	burned, err := s.Burn(ratchet.MaxJump)
	if err != nil {
		t.Fatal(err)
	}
	seal(t, &burned, "")
	theyRefuse(t, them, seal(t, &burned, "too far"), "a message too far ahead")
	theyOpen(t, them, last, fmt.Sprint(ratchet.MaxJump))
	theyOpen(t, them, at(from), fmt.Sprint(from))
	theyRefuse(t, them, at(from-1), "a message whose key is given up")

	// A repeated distribution takes nobody back.
	if err := them.ProcessDistribution("us", s.Distribution()); err != nil {
		t.Fatal(err)
	}
	theyRefuse(t, them, last, "a message after its distribution came again")
}
