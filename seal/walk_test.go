package seal

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/mlkem"
	"crypto/sha256"
	"crypto/sha3"
	"database/sql"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/cryptotest"
	"time"

	"github.com/waxwing-mq/waxwing/bus"
	"github.com/waxwing-mq/waxwing/internal/sqltx"
	"github.com/waxwing-mq/waxwing/seal/ratchet"
)

var updateWalk = flag.Bool("update", false, "write the blocks of docs/seal/walk.md anew")

const walkPage = "../docs/seal/walk.md"

// TestWalk is the session of docs/seal/walk.md: what the page's blocks show is what
// happens here. Randomness is that of a seed. Keys are derived a second time, on the
// standard library alone, and compared with what is in the rows; so the page's formulas
// are true, too.
func TestWalk(t *testing.T) {
	w := &walk{world: quick(t)}
	w.prekeys()
	w.first()
	w.rolledBack()
	w.committed()
	w.redelivered()
	w.reply()
	w.overtaken()
	w.skippedKey()
	w.thief()
	w.expired()
	w.compare()
}

// A walk is a session that is told step by step.
type walk struct {
	*world
	orders, billing *endpoint
	steps           []string
	line            strings.Builder

	// What the formulas give.
	root, chain, pqThere, pqBack [32]byte
	sent                         []*bus.Message
	prekey                       map[int][]byte // billing's, by kind
}

func (w *walk) say(format string, args ...any) { fmt.Fprintf(&w.line, format+"\n", args...) }

// end ends a step.
func (w *walk) end() {
	w.steps = append(w.steps, w.line.String())
	w.line.Reset()
}

// bySize is randomness, reads of each length from a stream of their own: keys have 32
// bytes, KEM keys and signatures 64, and their order among each other does not matter.
type bySize map[int]*rand.ChaCha8

func seeded(seed byte) io.Reader {
	b := bySize{}
	for _, n := range []int{32, 64} {
		b[n] = rand.NewChaCha8([32]byte{seed, byte(n)})
	}
	return b
}

func (b bySize) Read(p []byte) (int, error) { return b[len(p)].Read(p) }

// party is a service whose randomness is that of a seed.
func (w *walk) party(name string, seed byte) *endpoint {
	w.t.Helper()
	random := seeded(seed)
	key, err := ratchet.GenerateKey(random)
	w.must(err)
	id := &Identity{name: name, key: key, registration: uint32(seed)}
	c, err := w.world.root.Issue(Certificate{Name: name, Key: id.Key(), Lanes: 1, NotBefore: w.now(), NotAfter: w.now().Add(365 * 24 * time.Hour)})
	w.must(err)
	w.ids[name], err = id.WithCertificate(c)
	w.must(err)
	ep := w.bare(name, OneTimeKeys(1))
	ep.core.rand = random
	return ep
}

func short(b []byte) string { return fmt.Sprintf("%x", b[:4]) }

// A rowState is a session's row, as seal/ratchet draws it.
type rowState struct {
	root, ratchet, public []byte
	send                  chainState
	receive               []chainState
	pqSend, pqReceive     chainState
	handshake             int
	tag                   []byte
}

type chainState struct {
	id, key []byte
	n       uint32
}

// state reads the session's row of a service, nil if there is none.
func (w *walk) state(ep *endpoint) *rowState {
	w.t.Helper()
	var tag, wrapped, handshake []byte
	err := sqltx.One(w.t.Context(), w.db.Conn(), "SELECT tag, state, handshake FROM waxwing_seal_session WHERE local = ?", []any{ep.Name()}, &tag, &wrapped, &handshake)
	if errors.Is(err, sqltx.ErrNoRows) {
		return nil
	}
	w.must(err)
	b, err := w.keys.unwrap(ep.core.sessionRow([16]byte(tag)), wrapped)
	w.must(err)
	chains := int(b[3])
	take := func(n int) []byte {
		out := b[:n]
		b = b[n:]
		return out
	}
	chain := func(id []byte) chainState { return chainState{id, take(32), binary.BigEndian.Uint32(take(4))} }
	take(4 + 64)
	s := &rowState{root: take(32), ratchet: take(32), public: take(32), send: chain(nil), handshake: len(handshake), tag: tag}
	take(4)
	for range chains {
		s.receive = append(s.receive, chain(take(32)))
	}
	s.pqSend, s.pqReceive = chain(nil), chain(nil)
	return s
}

// show tells what is in a service's rows.
func (w *walk) show(ep *endpoint) {
	w.t.Helper()
	name := ep.Name()
	tell := func(what, format string, args ...any) {
		w.say("%-8s %-10s %s", name, what, fmt.Sprintf(format, args...))
		name = ""
	}
	s := w.state(ep)
	if s == nil {
		tell("session", "none")
	} else {
		tell("session", "root %s · ratchet key %s, public %s", short(s.root), short(s.ratchet), short(s.public))
		tell("sending", "chain %s, next number %d · post-quantum %s, next number %d", short(s.send.key), s.send.n, short(s.pqSend.key), s.pqSend.n+1)
		for _, r := range s.receive {
			tell("receiving", "of %s: chain %s, next number %d", short(r.id), short(r.key), r.n)
		}
		if len(s.receive) > 0 {
			tell("", "post-quantum %s, next number %d", short(s.pqReceive.key), s.pqReceive.n+1)
		}
		if s.handshake > 0 {
			tell("handshake", "%d bytes, which go along until the peer has answered", s.handshake)
		}
	}
	if ep == w.billing {
		kinds := map[int]string{prekeySigned: "signed", prekeyLastResort: "last resort", prekeyOneTime: "one-time", prekeyOneTimeKEM: "one-time KEM"}
		have := w.secrets(ep)
		var words []string
		for _, k := range []int{prekeySigned, prekeyLastResort, prekeyOneTime, prekeyOneTimeKEM} {
			if b := have[k]; b != nil {
				words = append(words, kinds[k]+" "+short(b))
			}
		}
		tell("prekeys", "%s", strings.Join(words, " · "))
	}
	for _, k := range w.skippedKeys(ep) {
		tell("skipped", "%s", k)
	}
}

// secrets are the private halves of prekeys, by kind, without the type byte of KEM keys.
func (w *walk) secrets(ep *endpoint) map[int][]byte {
	out := map[int][]byte{}
	w.must(sqltx.Each(w.t.Context(), w.db.Conn(), "SELECT id, kind, secret FROM waxwing_seal_prekey WHERE local = ?", []any{ep.Name()}, func(read func(...any) error) error {
		var id int64
		var kind int
		var wrapped []byte
		if err := read(&id, &kind, &wrapped); err != nil {
			return err
		}
		b, err := w.keys.unwrap(ep.core.prekeyRow(uint32(id)), wrapped)
		out[kind] = b[len(b)%32:]
		return err
	}))
	return out
}

func (w *walk) skippedKeys(ep *endpoint) (out []string) {
	s := w.state(ep)
	w.must(sqltx.Each(w.t.Context(), w.db.Conn(), "SELECT chain, pq, n, secret FROM waxwing_seal_skipped WHERE local = ? ORDER BY pq, n", []any{ep.Name()}, func(read func(...any) error) error {
		var chain, wrapped []byte
		var pq int
		var n int64
		if err := read(&chain, &pq, &n, &wrapped); err != nil {
			return err
		}
		id := ratchet.KeyID{Chain: [32]byte(chain), N: uint32(n), PQ: pq == 1}
		b, err := w.keys.unwrap(ep.core.skippedRow([16]byte(s.tag), pq, id), wrapped)
		of := "of " + short(chain)
		if id.PQ {
			of = "post-quantum"
		}
		out = append(out, fmt.Sprintf("%s, number %d: %s", of, n, short(b)))
		return err
	}))
	return out
}

// is checks a key of a row against what a formula gives.
func (w *walk) is(what string, got []byte, want [32]byte) {
	w.t.Helper()
	if !bytes.Equal(got, want[:]) {
		w.t.Fatalf("%s is %x, and should be %x", what, got, want)
	}
}

// The formulas, on the standard library alone.

func (w *walk) agree(private, public []byte) []byte {
	w.t.Helper()
	k, err := ecdh.X25519().NewPrivateKey(private)
	w.must(err)
	p, err := ecdh.X25519().NewPublicKey(public)
	w.must(err)
	out, err := k.ECDH(p)
	w.must(err)
	return out
}

// derive is HKDF-SHA256 in parts of 32 bytes.
func (w *walk) derive(secret, salt []byte, info string, parts ...*[32]byte) {
	w.t.Helper()
	b, err := hkdf.Key(sha256.New, secret, salt, info, 32*len(parts))
	w.must(err)
	for i, p := range parts {
		copy(p[:], b[32*i:])
	}
}

func mac(key []byte, data ...byte) (out [32]byte) {
	h := hmac.New(sha256.New, key)
	h.Write(data)
	return [32]byte(h.Sum(nil))
}

// pqStep moves a post-quantum chain to a number.
func (w *walk) pqStep(chain *[32]byte, n uint32) (key [32]byte) {
	info := string(binary.BigEndian.AppendUint32(nil, n)) + "Signal PQ Ratchet V1 Chain Next"
	w.derive(chain[:], nil, info, chain, &key)
	return key
}

// dhStep is a half of a step of the Diffie-Hellman ratchet: it makes a chain.
func (w *walk) dhStep(private, public []byte) {
	w.t.Helper()
	w.derive(w.agree(private, public), w.root[:], "WhisperRatchet", &w.root, &w.chain)
}

// kyber is the secret of Kyber's third round.
func (w *walk) kyber(seed, ciphertext []byte) []byte {
	w.t.Helper()
	k, err := mlkem.NewDecapsulationKey1024(seed)
	w.must(err)
	shared, err := k.Decapsulate(ciphertext)
	w.must(err)
	sum := sha3.Sum256(ciphertext)
	return sha3.SumSHAKE256(slices.Concat(shared, sum[:]), 32)
}

func (w *walk) prekeys() {
	w.orders, w.billing = w.party("orders", 1), w.party("billing", 2)
	w.must(w.billing.Publish(w.t.Context()))
	w.prekey = w.secrets(w.billing)
	self := func(ep *endpoint) []byte { k := ep.core.self.key; return k[:] }
	for _, ep := range []*endpoint{w.orders, w.billing} {
		public := ep.core.self.key.Public()
		w.say("%-8s identity   %s, public %s", ep.Name(), short(self(ep)), short(public[:]))
	}
	w.show(w.billing)
	s, err := w.dir.Status(w.t.Context(), "billing")
	w.must(err)
	w.say("directory           billing's certificate, signed prekey, last-resort key, %d one-time key, %d one-time KEM key: public halves", s.OneTime, s.OneTimeKEM)
	w.end()
}

// number is the rank of a message, from 1.
func (w *walk) send(from *endpoint, to, body string) *bus.Message {
	w.t.Helper()
	m := w.seal(from, to, body)
	w.sent = append(w.sent, m)
	return m
}

// wire tells what everybody can read in a message.
func (w *walk) wire(m *bus.Message) (h *ratchet.Handshake, body []byte) {
	w.t.Helper()
	env, err := ParseEnvelope(m.Body)
	w.must(err)
	body = env.Body
	if env.Kind == KindHandshake {
		h, body, err = ratchet.ParsePreKeyMessage(body)
		w.must(err)
	}
	p, err := ratchet.Inspect(body)
	w.must(err)
	w.say("on the wire         a %s of %d bytes; ratchet key %s, number %d, post-quantum number %d; ciphertext %d bytes", env.Kind, len(m.Body), short(p.Ratchet[:]), p.Counter, p.PQIndex, p.Size)
	return h, body
}

// first is the first message: PQXDH, a sending chain, one step of it.
func (w *walk) first() {
	cryptotest.SetGlobalRandom(w.t.(*testing.T), 1) // the KEM's
	m := w.send(w.orders, "billing", "card 4111 1111")
	w.line.Reset()
	h, body := w.wire(m)
	wire := w.line.String()
	w.line.Reset()

	identity := w.billing.core.self.key
	dh := [][]byte{
		w.agree(w.prekey[prekeySigned], h.Identity[:]), w.agree(identity[:], h.Base[:]),
		w.agree(w.prekey[prekeySigned], h.Base[:]), w.agree(w.prekey[prekeyOneTime], h.Base[:]),
	}
	kem := w.kyber(w.prekey[prekeyOneTimeKEM], h.KEMCiphertext[1:])
	secret := slices.Concat(bytes.Repeat([]byte{0xff}, 32), dh[0], dh[1], dh[2], dh[3], kem)
	var unused, auth [32]byte
	w.derive(secret, nil, "WhisperText_X25519_SHA-256_CRYSTALS-KYBER-1024", &w.root, &unused, &auth)
	w.derive(auth[:], nil, "Signal PQ Ratchet V1 Chain  Start", &unused, &w.pqThere, &w.pqBack)
	w.say("base key            public %s; the private one is forgotten", short(h.Base[:]))
	for i, of := range []string{"identity of orders, signed prekey", "base key, identity of billing", "base key, signed prekey", "base key, one-time key"} {
		w.say("DH%d                 %s   %s", i+1, short(dh[i]), of)
	}
	w.say("KEM                 %s   one-time KEM key", short(kem))
	w.say("root                %s   and a secret %s for the post-quantum chains", short(w.root[:]), short(auth[:]))
	w.say("post-quantum        %s to billing, %s to orders", short(w.pqThere[:]), short(w.pqBack[:]))
	w.end()

	s := w.state(w.orders)
	signed := ratchet.PrivateKey(w.prekey[prekeySigned]).Public()
	w.dhStep(s.ratchet, signed[:])
	w.say("ratchet key         %s, public %s", short(s.ratchet), short(s.public))
	w.say("root                %s   and chain %s, of DH(ratchet key, signed prekey)", short(w.root[:]), short(w.chain[:]))
	w.opensByHand(body, &w.pqThere, 1, w.orders, w.billing, "card 4111 1111")
	w.line.WriteString(wire)
	w.show(w.orders)
	w.show(w.billing)
	w.end()
	w.is("root", s.root, w.root)
	w.is("sending chain", s.send.key, w.chain)
	w.is("post-quantum chain", s.pqSend.key, w.pqThere)
}

// opensByHand derives a message's keys, tells them, and opens it with them.
func (w *walk) opensByHand(message []byte, pq *[32]byte, pqNumber uint32, from, to *endpoint, want string) {
	w.t.Helper()
	seed := mac(w.chain[:], 1)
	w.chain = mac(w.chain[:], 2)
	pqKey := w.pqStep(pq, pqNumber)
	var cipherKey, macKey, iv [32]byte
	b, err := hkdf.Key(sha256.New, seed[:], pqKey[:], "WhisperMessageKeys", 80)
	w.must(err)
	copy(cipherKey[:], b)
	copy(macKey[:], b[32:])
	copy(iv[:], b[64:])
	w.say("message's keys      %s of the chain, %s of the post-quantum chain: AES %s, MAC %s, IV %s", short(seed[:]), short(pqKey[:]), short(cipherKey[:]), short(macKey[:]), short(iv[:]))
	at := len(message) - 8
	signed := slices.Concat(from.core.self.key.Public().Encode(), to.core.self.key.Public().Encode(), message[:at])
	if tag := mac(macKey[:], signed...); !bytes.Equal(tag[:8], message[at:]) {
		w.t.Fatal("the MAC is another one")
	}
	block, err := aes.NewCipher(cipherKey[:])
	w.must(err)
	// The ciphertext is the field of 272 bytes: a content of 256, padded once more.
	_, rest, ok := bytes.Cut(message, []byte{4<<3 | 2, 0x90, 0x02})
	if !ok {
		w.t.Fatal("no ciphertext of 272 bytes")
	}
	text := make([]byte, 272)
	cipher.NewCBCDecrypter(block, iv[:16]).CryptBlocks(text, rest[:272])
	c, err := decodeContent(text[:256])
	w.must(err)
	if string(c.body) != want || c.sender != from.Name() || c.recipient != to.Name() {
		w.t.Fatalf("%+v", c)
	}
}

// rolledBack opens the first message in a transaction that fails.
func (w *walk) rolledBack() {
	before := w.dump()
	w.want(w.inTx(func(ctx context.Context, tx *sql.Tx) error {
		d := &bus.Delivery{Message: *w.sent[0]}
		w.must(w.billing.Open(ctx, tx, d))
		w.say("billing  opens      %q, in a transaction", d.Body)
		return errAgain
	}), errAgain)
	if !w.dump().same(before) {
		w.t.Fatal("a rollback left something")
	}
	w.say("rolled back         no row has changed")
	w.show(w.billing)
	w.end()
}

// committed opens it again, and commits.
func (w *walk) committed() {
	w.opensAs(w.billing, w.sent[0], "card 4111 1111")
	s := w.state(w.billing)
	w.is("receiving chain", s.receive[0].key, w.chain)
	w.is("post-quantum chain", s.pqReceive.key, w.pqThere)
	// Its own half of the step.
	orders := w.state(w.orders)
	w.dhStep(s.ratchet, orders.public)
	w.is("root", s.root, w.root)
	w.is("sending chain", s.send.key, w.chain)
	w.show(w.billing)
	w.end()
}

func (w *walk) opensAs(at *endpoint, m *bus.Message, body string) {
	w.t.Helper()
	d, err := w.open(at, m)
	w.must(err)
	if string(d.Body) != body {
		w.t.Fatalf("%s", d.Body)
	}
	w.say("%-8s opens      %q, and commits", at.Name(), d.Body)
}

// redelivered delivers it once more.
func (w *walk) redelivered() {
	before := w.dump()
	_, err := w.open(w.billing, w.sent[0])
	w.want(err, ErrDuplicate)
	if !w.dump().same(before) {
		w.t.Fatal("a duplicate changed something")
	}
	w.say("billing  opens      nothing: ErrDuplicate; no row has changed")
	w.end()
}

// reply is the step of the Diffie-Hellman ratchet.
func (w *walk) reply() {
	m := w.send(w.billing, "orders", "invoice 12")
	w.line.Reset()
	_, body := w.wire(m)
	wire := w.line.String()
	w.line.Reset()
	w.opensByHand(body, &w.pqBack, 1, w.billing, w.orders, "invoice 12")
	w.line.WriteString(wire)
	received := w.chain
	old := w.state(w.orders)
	w.opensAs(w.orders, m, "invoice 12")
	s := w.state(w.orders)
	w.is("receiving chain", s.receive[0].key, received)
	w.dhStep(s.ratchet, s.receive[0].id)
	w.is("root", s.root, w.root)
	w.is("sending chain", s.send.key, w.chain)
	if bytes.Equal(old.ratchet, s.ratchet) || s.handshake != 0 {
		w.t.Fatal("no step")
	}
	w.show(w.orders)
	w.end()
}

// overtaken is a message that comes before two others.
func (w *walk) overtaken() {
	for _, text := range []string{"card 4222", "card 4333", "card 4444"} {
		w.wire(w.send(w.orders, "billing", text))
	}
	w.opensAs(w.billing, w.sent[4], "card 4444")
	w.show(w.billing)
	w.end()
	s := w.state(w.billing)
	if len(s.receive) != 2 || !bytes.Equal(s.receive[0].id, w.state(w.orders).public) {
		w.t.Fatalf("%d chains", len(s.receive))
	}
	seed, first := w.chain, mac(w.chain[:], 1)
	for range 3 {
		seed = mac(seed[:], 2)
	}
	w.is("receiving chain", s.receive[0].key, seed)
	if keys := w.skippedKeys(w.billing); len(keys) != 4 || !strings.HasSuffix(keys[0], short(first[:])) {
		w.t.Fatal(keys)
	}
}

// skippedKey opens the first of the two.
func (w *walk) skippedKey() {
	w.opensAs(w.billing, w.sent[2], "card 4222")
	for _, k := range w.skippedKeys(w.billing) {
		w.say("billing  skipped    %s", k)
	}
	w.end()
	if n := w.count("skipped", "1 = 1"); n != 2 {
		w.t.Fatalf("%d keys", n)
	}
}

// thief takes all rows, the storage key and both identities.
func (w *walk) thief() {
	backup := w.dump()
	for i, m := range w.sent {
		result := ""
		for _, name := range []string{"orders", "billing"} {
			d, err := w.open(w.bare(name), m)
			w.restore(backup, "")
			if err == nil {
				result = fmt.Sprintf("%s's rows open it: %q", name, d.Body)
			}
		}
		if open := i == 3; open != (result != "") {
			w.t.Fatalf("message %d: %q", i+1, result)
		}
		if result == "" {
			result = "closed"
		}
		w.say("message %d           %s", i+1, result)
	}
	w.end()
}

// expired waits until the last key is too old.
func (w *walk) expired() {
	w.later(DefaultSkipped + time.Second)
	w.must(w.billing.Maintain(w.t.Context()))
	_, err := w.open(w.billing, w.sent[3])
	w.want(err, ErrDuplicate)
	w.say("billing  opens      nothing: ErrDuplicate, as its key was given up")
	for _, ep := range []*endpoint{w.orders, w.billing} {
		w.say("%-8s rows       %s", ep.Name(), w.rowCounts(ep.Name()))
	}
	w.end()
}

// rowCounts tells in which tables a service has rows.
func (w *walk) rowCounts(name string) string {
	counts := map[string]int{}
	for _, table := range sealTables {
		owner := "local"
		if table == "identity" {
			owner = "name"
		}
		if n := w.count(table, owner+" = ?", name); n > 0 {
			counts[table] = n
		}
	}
	var out []string
	for _, table := range slices.Sorted(maps.Keys(counts)) {
		out = append(out, fmt.Sprintf("%s %d", table, counts[table]))
	}
	return strings.Join(out, " · ")
}

var walkBlock = regexp.MustCompile("(?ms)^```text\n(.*?)^```$")

// compare compares the steps with the page's blocks, and what the page's text says of
// keys with them.
func (w *walk) compare() {
	page, err := os.ReadFile(walkPage)
	w.must(err)
	if *updateWalk {
		i := 0
		page = walkBlock.ReplaceAllFunc(page, func(block []byte) []byte {
			if i++; i > len(w.steps) {
				return block
			}
			return []byte("```text\n" + w.steps[i-1] + "```")
		})
		w.must(os.WriteFile(walkPage, page, 0o644))
	}
	blocks := walkBlock.FindAllStringSubmatch(string(page), -1)
	if len(blocks) != len(w.steps) {
		w.t.Errorf("%s has %d blocks of text, the walk %d", walkPage, len(blocks), len(w.steps))
	}
	for i := range min(len(blocks), len(w.steps)) {
		if blocks[i][1] != w.steps[i] {
			w.t.Errorf("%s, block %d is\n%s\nand should be (go test ./seal -run TestWalk -update)\n%s", walkPage, i+1, blocks[i][1], w.steps[i])
		}
	}
	all := strings.Join(w.steps, "")
	for _, key := range regexp.MustCompile("`([0-9a-f]{8})`").FindAllStringSubmatch(walkBlock.ReplaceAllString(string(page), ""), -1) {
		if !strings.Contains(all, key[1]) {
			w.t.Errorf("%s speaks of a key %s, which is none of the walk's", walkPage, key[1])
		}
	}
}
