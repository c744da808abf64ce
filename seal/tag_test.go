package seal

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"fmt"
	"strings"
	"testing"

	"github.com/waxwing-mq/waxwing/bus"
	"github.com/waxwing-mq/waxwing/seal/ratchet"
	"github.com/waxwing-mq/waxwing/seal/senderkey"
)

// TestTags: tags are what docs/format/seal.md says.
func TestTags(t *testing.T) {
	key := [32]byte{1, 2, 3}
	first16 := func(text string) string {
		return fmt.Sprintf("%x", sha256.Sum256([]byte(text)))[:32]
	}
	if got := sessionTag("orders", ratchet.PublicKey(key)); fmt.Sprintf("%x", got) != first16("waxwing seal session tag 1\x00\x06orders"+string(key[:])) {
		t.Errorf("%x", got)
	}
	if got := groupTag("orders", key); fmt.Sprintf("%x", got) != first16("waxwing seal group tag 1\x00\x06orders"+string(key[:])) {
		t.Errorf("%x", got)
	}
	w := quick(t)
	a := w.service("orders")
	w.service("billing")
	env, err := ParseEnvelope(w.seal(a, "billing", "text").Body)
	w.must(err)
	h, _, err := ratchet.ParsePreKeyMessage(env.Body)
	w.must(err)
	if env.Tag != sessionTag("orders", h.Base) {
		t.Errorf("a session's is %x", env.Tag)
	}
	w.change(func(ctx context.Context, tx *sql.Tx) error { return a.Group("readers").Add(ctx, tx, "billing") })
	m, _ := w.sealGroup(a, "readers", "k", "text")
	if env, err = ParseEnvelope(m.Body); err != nil || strings.Contains(string(env.Body), string(env.Tag[:])) {
		t.Errorf("the group id inside is the tag: %v", err)
	}
}

// TestTagOfAnother: somebody else who is trusted cannot begin a session under the tag of
// another one's, and that one's opens.
func TestTagOfAnother(t *testing.T) {
	for _, p := range []ratchet.Profile{ratchet.SignalV4, ratchet.WaxwingHE} {
		w := quick(t)
		a, b, evil := w.service("orders", Profile(p)), w.service("billing", Profile(p)), w.service("evil", Profile(p))
		m := w.seal(a, "billing", "text")
		env, err := ParseEnvelope(m.Body) // anybody can read it
		w.must(err)
		claim := w.message("things", "k", "claimed")
		w.must(w.inTx(func(ctx context.Context, tx *sql.Tx) error {
			s, err := evil.core.begin(ctx, w.db.Bind(tx), "billing", 0)
			w.must(err)
			s.tag = env.Tag
			one, err := evil.core.sealOne(s, job{to: "billing", kind: contentEvent, m: claim})
			w.must(err)
			one.apply()
			return nil
		}))
		_, err = w.open(b, claim)
		w.want(err, ErrMismatch)
		w.opens(b, m, "text")
	}
}

// TestGroupTagOfAnother: a member that sends a key under the tag of somebody else's chain,
// or that chain as its own, does not keep others from taking the real one.
func TestGroupTagOfAnother(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		a, b, evil := w.service("orders"), w.service("billing"), w.service("evil")
		w.change(func(ctx context.Context, tx *sql.Tx) error { return a.Group("readers").Add(ctx, tx, "billing", "evil") })
		m, keys := w.sealGroup(a, "readers", "k", "text")
		w.hand(keys, evil)
		env, err := ParseEnvelope(m.Body)
		w.must(err)
		r, err := evil.core.lockReceiver(t.Context(), w.db.Conn(), env.Tag)
		w.must(err)
		own, err := evil.core.newChain(t.Context(), w.db.Conn(), nil, "readers", 0)
		w.must(err)
		chain, _ := own.state.SendIndex()
		claim := func(tag [16]byte, key []byte) error {
			d := distribution{group: "readers", instance: "0", tag: tag, key: key}
			k := &bus.Message{Topic: "billing.seal", ID: randomID(), Type: TypeDistribution, Body: d.encode()}
			w.must(w.inTx(func(ctx context.Context, tx *sql.Tx) error {
				return evil.core.sealAll(ctx, w.db.Bind(tx), []job{{to: "billing", kind: contentDistribution, m: k}})
			}))
			_, err := w.open(b, k)
			return err
		}
		w.want(claim(env.Tag, own.state.Distribution()), ErrMismatch)
		w.want(claim(env.Tag, distributionOf(w, r.state)), ErrMismatch)
		w.want(claim(groupTag("orders", chain), own.state.Distribution()), ErrMismatch)
		w.must(claim(groupTag("evil", chain), own.state.Distribution()))
		w.must(claim(groupTag("evil", r.state.Chain()), distributionOf(w, r.state))) // of no use: its messages have another tag
		w.hand(keys, b)
		d, err := w.open(b, m)
		w.must(err)
		if string(d.Body) != "text" || string(d.Header(HeaderFrom)) != "orders" {
			t.Errorf("%+v", d.Message)
		}
	})
}

// distributionOf is what brings a chain that somebody has a receiver of.
func distributionOf(w *world, r *senderkey.Receiver) []byte {
	w.t.Helper()
	row := r.Encode()
	h := r.Header()
	// A sender's row is that of a receiver, but for the signing key, which is replaced below.
	row[0] = 1
	s, err := senderkey.DecodeSender(row)
	w.must(err)
	public := r.Chain()
	wrong, _ := s.SendIndex()
	d := strings.Replace(string(s.Distribution()), string(wrong[:]), string(public[:]), 1)
	back, err := senderkey.ProcessDistribution([]byte(d))
	w.must(err)
	if back.Chain() != public || back.Header() != h {
		w.t.Fatal("no distribution of the chain")
	}
	return []byte(d)
}
