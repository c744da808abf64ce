package ratchet

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	mrand "math/rand/v2"
	"testing"

	"github.com/waxwing-mq/waxwing/seal/internal/peer"
)

// TestInteropX3DH speaks version 3 with both packages that still do.
func TestInteropX3DH(t *testing.T) {
	for _, p := range []peer.Package{peer.Privacyresearch, peer.WhiskeySockets} {
		t.Run(string(p), func(t *testing.T) { converse(t, X3DH, p, 200) })
	}
}

// TestInteropPQXDH speaks version 4 without the post-quantum chain.
func TestInteropPQXDH(t *testing.T) { converse(t, PQXDH, peer.PQXDH, 300) }

// TestInteropCurrent speaks the default profile with current libsignal.
func TestInteropCurrent(t *testing.T) { converse(t, SignalV4, peer.Current, 1000) }

// TestInteropLibsignalX3DH: libsignal 0.67 still took part in version 3 (its
// version byte is 0x34).
func TestInteropLibsignalX3DH(t *testing.T) { converse(t, X3DH, peer.PQXDH, 100) }

// TestInteropXEdDSA signs and verifies both ways, with keys of which the
// Edwards point has either sign.
func TestInteropXEdDSA(t *testing.T) {
	for _, p := range []peer.Package{peer.Current, peer.PQXDH, peer.Privacyresearch, peer.WhiskeySockets} {
		t.Run(string(p), func(t *testing.T) {
			t.Parallel()
			for i := range 4 {
				them := peer.Start(t, p, "bob")
				theirs, err := ParsePublicKey(them.Identity.Key)
				if err != nil {
					t.Fatal(err)
				}
				message := fmt.Append(nil, "message ", i)
				if sig := them.Sign(message); !Verify(theirs, message, sig) {
					t.Errorf("we refuse their signature %x", sig)
				}
				for range 6 {
					k := newKey(t)
					sig, err := Sign(rand.Reader, k, message)
					if err != nil {
						t.Fatal(err)
					}
					if ok, err := them.Verify(k.Public().Encode(), message, sig); err != nil || !ok {
						t.Errorf("they refuse our signature: %v", err)
					}
					sig[5] ^= 1
					if ok, err := them.Verify(k.Public().Encode(), message, sig); err == nil && ok {
						t.Error("they accept a wrong signature")
					}
				}
			}
		})
	}
}

// TestInteropBurn: the peers open what follows keys that were burnt, as far
// ahead as they allow, and what they then get late.
func TestInteropBurn(t *testing.T) {
	for pkg, p := range map[peer.Package]Profile{peer.Current: SignalV4, peer.PQXDH: PQXDH} {
		t.Run(string(pkg), func(t *testing.T) {
			t.Parallel()
			k := newTalk(t, p, pkg)
			k.weBegin(true)
			for _, jump := range []uint32{1, 1500, MaxJump - 2} {
				us := k.sessions[0]
				k.weSend("on time")
				k.flush()
				k.theySend("answer")
				k.flush()
				k.weSend("late")
				late := k.toThem
				k.toThem = nil
				_, n := us.session(t).SendIndex()
				burnt(t, us, n+jump)
				k.weSend("after")
				k.flush()
				if jump < MaxSkipped {
					k.toThem = late
					k.flush()
				}
			}
		})
	}
}

// converse runs a conversation of that many messages with each side as the one
// that begins, and with both.
func converse(t *testing.T, p Profile, pkg peer.Package, messages int) {
	for _, begins := range []string{"we", "they", "both"} {
		for _, oneTime := range []bool{true, false} {
			if begins == "both" && !oneTime {
				continue
			}
			t.Run(fmt.Sprintf("%s begin, one-time key %v", begins, oneTime), func(t *testing.T) {
				t.Parallel()
				talk := newTalk(t, p, pkg)
				if begins != "they" {
					talk.weBegin(oneTime)
				}
				if begins != "we" {
					talk.theyBegin(oneTime)
				}
				talk.run(messages, begins)
				if begins == "both" {
					talk.settle()
				}
			})
		}
	}
}

// A talk is a conversation of us with a peer over an unreliable network.
type talk struct {
	t        *testing.T
	rnd      *mrand.Rand
	us       *party
	sessions []*party // each with our identity and a session of its own, that of the last message first
	them     *peer.Peer
	toUs     []letter
	toThem   []letter
	opened   int
	turns    int // how often the direction changed
}

// A letter is a message on its way.
type letter struct {
	text   string
	body   []byte
	preKey bool
	turn   int
}

func newTalk(t *testing.T, p Profile, pkg peer.Package) *talk {
	seed := mrand.Uint64()
	t.Logf("seed %d", seed)
	return &talk{t: t, rnd: mrand.New(mrand.NewPCG(seed, 1)), us: newParty(t, "us", p), them: peer.Start(t, pkg, "them")}
}

// weBegin makes a session of the peer's bundle.
func (k *talk) weBegin(oneTime bool) {
	k.t.Helper()
	b := fromPeer(k.t, k.them.Bundle(oneTime))
	us := k.fresh()
	us.initiate(k.t, b)
	k.sessions = append(k.sessions, us)
}

// theyBegin lets the peer make a session of our bundle.
func (k *talk) theyBegin(oneTime bool) {
	k.t.Helper()
	if err := k.them.Process("us", toPeer(k.us.bundle(k.t, oneTime))); err != nil {
		k.t.Fatal(err)
	}
}

// fresh returns us without a session.
func (k *talk) fresh() *party {
	us := *k.us
	us.row, us.pending, us.skipped = nil, nil, map[KeyID][32]byte{}
	return &us
}

// run sends messages both ways through a network that loses, reorders and
// repeats. Who has no session yet waits for the first message.
func (k *talk) run(messages int, begins string) {
	k.t.Helper()
	last, canWe, canThey := "", begins != "they", begins != "we"
	for i := range messages {
		weSend := k.rnd.IntN(2) == 0
		if weSend && !canWe || !weSend && !canThey {
			weSend = !weSend
		}
		who := map[bool]string{true: "we", false: "they"}[weSend]
		if who != last {
			last = who
			k.turns++
		}
		if weSend {
			k.weSend(fmt.Sprint("ours ", i))
		} else {
			k.theySend(fmt.Sprint("theirs ", i))
		}
		window := 4
		if i < 4 {
			window = 1 // crossing first messages, but all of them arrive
		}
		if len(k.toUs) >= window && k.deliverToUs(i > 4) {
			canWe = true
		}
		if len(k.toThem) >= window && k.deliverToThem(i > 4) {
			canThey = true
		}
	}
	k.flush()
	if k.turns < 8 || k.opened < messages/2 {
		k.t.Errorf("%d turns, %d messages opened", k.turns, k.opened)
	}
}

// flush delivers what is on its way.
func (k *talk) flush() {
	for len(k.toUs) > 0 {
		k.deliverToUs(false)
	}
	for len(k.toThem) > 0 {
		k.deliverToThem(false)
	}
}

// settle shows that after simultaneous initiation both sides agree on one
// session.
func (k *talk) settle() {
	k.t.Helper()
	for i := range 6 {
		k.weSend(fmt.Sprint("settled, ours ", i))
		k.flush()
		k.theySend(fmt.Sprint("settled, theirs ", i))
		k.flush()
	}
	first := k.sessions[0]
	for i := range 4 {
		k.weSend(fmt.Sprint("last, ours ", i))
		k.flush()
		k.theySend(fmt.Sprint("last, theirs ", i))
		k.flush()
		if k.sessions[0] != first {
			k.t.Error("the two sides still use different sessions")
		}
	}
}

func (k *talk) weSend(text string) {
	k.t.Helper()
	us := k.sessions[0]
	k.toThem = append(k.toThem, letter{text: text, turn: k.turns, preKey: us.pending != nil, body: us.seal(k.t, text)})
}

func (k *talk) theySend(text string) {
	k.t.Helper()
	m, err := k.them.Encrypt("us", []byte(text))
	if err != nil {
		k.t.Fatal(err)
	}
	k.toUs = append(k.toUs, letter{text: text, turn: k.turns, body: m.Body, preKey: m.PreKey})
}

// take removes a letter from a queue: any of it, but none may get so late that
// its chain is gone. With mischief sometimes it is lost, sometimes repeated.
func (k *talk) take(queue *[]letter, mischief bool) (l letter, deliver, again bool) {
	i := k.rnd.IntN(len(*queue))
	if k.turns-(*queue)[0].turn > MaxChains {
		i = 0
	}
	l = (*queue)[i]
	*queue = append((*queue)[:i:i], (*queue)[i+1:]...)
	dice := k.rnd.IntN(10)
	return l, !mischief || dice != 0, mischief && dice == 1
}

func (k *talk) deliverToUs(mischief bool) bool {
	k.t.Helper()
	l, deliver, again := k.take(&k.toUs, mischief)
	if !deliver {
		return false
	}
	got, err := k.weOpen(l.body)
	if err != nil || got != l.text {
		k.t.Fatalf("we opened %q, %v; want %q", got, err, l.text)
	}
	k.opened++
	if again {
		if _, err := k.weOpen(l.body); !errors.Is(err, ErrDuplicate) && !errors.Is(err, ErrMAC) {
			k.t.Fatalf("a duplicate: %v", err)
		}
	}
	return true
}

func (k *talk) deliverToThem(mischief bool) bool {
	k.t.Helper()
	l, deliver, again := k.take(&k.toThem, mischief)
	if !deliver {
		return false
	}
	got, err := k.them.Decrypt("us", peer.Message{PreKey: l.preKey, Body: l.body})
	if err != nil || string(got) != l.text {
		k.t.Fatalf("they opened %q, %v; want %q", got, err, l.text)
	}
	k.opened++
	if again {
		if _, err := k.them.Decrypt("us", peer.Message{PreKey: l.preKey, Body: l.body}); err == nil {
			k.t.Fatal("they opened a duplicate")
		}
	}
	return true
}

// weOpen tries each session, and a new one if the message brings a handshake
// that none has had. A broken copy changes nothing.
func (k *talk) weOpen(body []byte) (text string, err error) {
	all, broken := k.sessions, bytes.Clone(body)
	if h, inner, err := ParsePreKeyMessage(body); err != nil {
		broken[len(broken)-1] ^= 1
	} else {
		broken[bytes.Index(body, inner)+len(inner)-1] ^= 1
		if k.accepts(h) {
			all = append([]*party{k.fresh()}, all...)
		}
	}
	for i, s := range all {
		if _, err := s.try(broken); err == nil {
			k.t.Fatal("a broken message opened")
		}
		if text, err = s.open(body); err == nil {
			k.sessions = append([]*party{s}, append(append([]*party(nil), all[:i]...), all[i+1:]...)...)
			return text, nil
		}
		if errors.Is(err, ErrDuplicate) {
			return "", err
		}
	}
	return "", err
}

// accepts says whether the handshake is new: our bundle is good for one.
func (k *talk) accepts(h *Handshake) bool {
	for _, s := range k.sessions {
		if s.accepted == h.Base {
			return false
		}
	}
	return h.SignedID == 1
}

func fromPeer(t *testing.T, b peer.Bundle) Bundle {
	t.Helper()
	key := func(b []byte) PublicKey {
		k, err := ParsePublicKey(b)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	out := Bundle{
		RegistrationID: b.RegistrationID, Identity: key(b.Identity), SignedID: b.SignedID, Signed: key(b.Signed), SignedSig: b.SignedSig,
		KEMID: b.KEMID, KEMKey: b.KEM, KEMSig: b.KEMSig,
	}
	if b.OneTime != nil {
		k := key(b.OneTime)
		out.OneTimeID, out.OneTime = b.OneTimeID, &k
	}
	return out
}

func toPeer(b Bundle) peer.Bundle {
	out := peer.Bundle{
		RegistrationID: b.RegistrationID, Identity: b.Identity.Encode(), SignedID: b.SignedID, Signed: b.Signed.Encode(), SignedSig: b.SignedSig,
		KEMID: b.KEMID, KEM: b.KEMKey, KEMSig: b.KEMSig,
	}
	if b.OneTime != nil {
		out.OneTimeID, out.OneTime = b.OneTimeID, b.OneTime.Encode()
	}
	return out
}
