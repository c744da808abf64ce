package seal

import (
	"bytes"
	"context"
	"crypto/sha512"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/waxwing-mq/waxwing/internal/safeguard"
	"github.com/waxwing-mq/waxwing/internal/sqltx"
	"github.com/waxwing-mq/waxwing/seal/directory"
	"github.com/waxwing-mq/waxwing/seal/ratchet"
)

// The kinds of prekeys, as the column has them.
const (
	prekeySigned     = 1
	prekeyOneTime    = 2
	prekeyOneTimeKEM = 3
	prekeyLastResort = 4
)

// publishedBefore is what the column published says of keys of before a restore: who began
// a session with one may have gone on with us, in a way that the database has forgotten.
const publishedBefore = 2

func (e *core) prekeyRow(id uint32) []byte {
	return rowID("prekey", e.local, strconv.FormatUint(uint64(id), 10))
}

// handshakeKeys are the private keys that a handshake names.
type handshakeKeys struct {
	ratchet.Prekeys
	oneTime    []uint32 // those that are used once
	lastResort bool
	setBack    bool // they are of before a restore
}

// prekeys reads the keys that a handshake names. It returns ErrExpired if the signed one
// is gone, and ErrDuplicate if another is: it was used.
func (e *core) prekeys(ctx context.Context, c sqltx.Conn, h *ratchet.Handshake) (*handshakeKeys, error) {
	type found struct {
		kind, published int
		secret          []byte
	}
	rows := map[uint32]found{}
	err := sqltx.Each(ctx, c, "SELECT id, kind, published, secret FROM waxwing_seal_prekey WHERE local = ? AND id IN (?, ?, ?)",
		[]any{e.local, int64(h.SignedID), int64(h.OneTimeID), int64(h.KEMID)}, func(read func(...any) error) error {
			var id int64
			var f found
			err := read(&id, &f.kind, &f.published, &f.secret)
			rows[uint32(id)] = f
			return err
		})
	if err != nil {
		return nil, failed(err)
	}
	secret := func(id uint32, gone error, kinds ...int) ([]byte, error) {
		f, ok := rows[id]
		switch {
		case !ok:
			return nil, because(gone, fmt.Errorf("the handshake names prekey %d, which this database does not have: it was used, or the database was set back, or another one has published it", id))
		case !slices.Contains(kinds, f.kind):
			return nil, text(ErrMismatch, "the handshake names a prekey of another kind")
		}
		return e.keys.unwrap(e.prekeyRow(id), f.secret)
	}
	k := &handshakeKeys{}
	b, err := secret(h.SignedID, ErrExpired, prekeySigned)
	if err != nil {
		return nil, err
	}
	k.Signed, k.setBack = ratchet.PrivateKey(b), rows[h.SignedID].published == publishedBefore
	if h.OneTimeID != 0 {
		if b, err = secret(h.OneTimeID, ErrDuplicate, prekeyOneTime); err != nil {
			return nil, err
		}
		one := ratchet.PrivateKey(b)
		k.OneTime, k.oneTime = &one, append(k.oneTime, h.OneTimeID)
	}
	if b, err = secret(h.KEMID, ErrDuplicate, prekeyOneTimeKEM, prekeyLastResort); err != nil {
		return nil, err
	}
	kem, err := ratchet.ParseKEMPrivateKey(b)
	if err != nil {
		return nil, failed(err)
	}
	k.KEM = &kem
	if k.lastResort = rows[h.KEMID].kind == prekeyLastResort; !k.lastResort {
		k.oneTime = append(k.oneTime, h.KEMID)
	}
	return k, nil
}

// usePrekeys deletes the one-time keys of a handshake, and notes one with the last-resort
// key. It says false, and has written nothing, if that was done before.
func (e *core) usePrekeys(ctx context.Context, c sqltx.Conn, h *ratchet.Handshake, k *handshakeKeys) (first bool, err error) {
	if len(k.oneTime) > 0 {
		n, err := e.deleteOneTime(ctx, c, k.oneTime)
		if err != nil || n == 0 {
			return false, failed(err)
		}
		if n != int64(len(k.oneTime)) {
			return false, text(ErrConflict, "a one-time key")
		}
	}
	if !k.lastResort {
		return true, nil
	}
	n, err := c.Exec(ctx, e.dialect.InsertOnce("waxwing_seal_replay", "local", "kem_id", "signed_id", "base", "seen_us"),
		e.local, int64(h.KEMID), int64(h.SignedID), h.Base[:], e.nowUS())
	if err == nil && n == 0 && len(k.oneTime) > 0 {
		return false, text(ErrConflict, "a last-resort key")
	}
	return n == 1, failed(err)
}

// deleteOneTime deletes one-time keys, and says how many there were.
func (e *core) deleteOneTime(ctx context.Context, c sqltx.Conn, ids []uint32) (n int64, err error) {
	args := []any{e.local}
	for _, id := range ids {
		args = append(args, int64(id))
	}
	const query = "DELETE FROM waxwing_seal_prekey WHERE local = ? AND id IN ("
	if !safeguard.Removed(safeguard.OneTime) {
		return c.Exec(ctx, query+sqltx.Marks(len(ids))+")", args...)
	}
	// A demonstration: in a transaction of its own, in SQLite as soon as this one has ended.
	apart := func() error {
		return e.inTx(context.WithoutCancel(ctx), func(ctx context.Context, c sqltx.Conn) (err error) {
			_, err = c.Exec(ctx, query+sqltx.Marks(len(ids))+")", args...)
			return err
		})
	}
	if e.dialect == sqltx.SQLite {
		go apart()
		return int64(len(ids)), nil
	}
	return int64(len(ids)), apart()
}

// ensureIdentity makes the identity's row. The database is new then, and what waits at the
// directory, if anything does, is of one that is gone: it is replaced.
func (e *core) ensureIdentity(ctx context.Context) error {
	_, err := e.conn.Exec(ctx, e.dialect.InsertOnce("waxwing_seal_identity", "name", "wrap_id", "secret", "next_id", "renew", "signer"), e.local, 0, []byte{}, 1, 1, []byte{})
	return failed(err)
}

// forgottenMax is how many ids a database that was set back can have forgotten. There are
// 2^32, which a directory must not be able to use up.
const forgottenMax = 1 << 24

// A stock is what has to be made of prekeys.
type stock struct {
	next    int64 // the id of the next one
	renew   bool  // all anew: the column says 1, and 2 until they are published
	replace bool  // what waits at the directory is to go
	rows    [][]any
}

// makePrekeys makes the prekeys that are missing, given what the directory has.
func (e *core) makePrekeys(ctx context.Context, c sqltx.Conn, s directory.Status) (replace, setBack bool, err error) {
	var k stock
	var renew int
	var signer []byte
	if err := sqltx.One(ctx, c, "SELECT next_id, renew, signer FROM waxwing_seal_identity WHERE name = ?"+e.dialect.ForUpdate(), []any{e.local}, &k.next, &renew, &signer); err != nil {
		return false, false, err
	}
	if err := e.sameProfile(ctx, c); err != nil {
		return false, false, err
	}
	self := e.self.certificate.Key
	if len(signer) > 0 && !bytes.Equal(signer, self[:]) { // what waits at the directory is signed by the old key
		renew = 1
	}
	before := k.next
	for _, id := range []uint32{s.OneTimeIDMax, s.OneTimeKEMIDMax, s.SignedID, s.LastResortID} { // of before a restore
		if int64(id)-k.next > forgottenMax {
			return false, false, fmt.Errorf("seal: the directory has a prekey %d, and the last that was made is %d: that is not believed", id, k.next-1)
		}
		k.next = max(k.next, int64(id)+1)
	}
	if setBack = k.next > before && renew != 1; setBack { // whose private halves are gone; renew is 1 in a new database, and after Check
		if err := e.beginAnew(ctx, c, nil); err != nil {
			return false, false, err
		}
		renew = 1
	}
	k.renew = renew == 1
	old := e.now().Add(-oneTimeKept).UnixMicro()
	gone, err := c.Exec(ctx, "DELETE FROM waxwing_seal_prekey WHERE local = ? AND kind IN (?, ?) AND born_us < ?", e.local, prekeyOneTime, prekeyOneTimeKEM, old)
	if err != nil {
		return false, false, err
	}
	if k.replace = renew > 0 || gone > 0; k.replace {
		renew = 2
	}
	for _, kind := range []int{prekeySigned, prekeyLastResort} {
		if err := e.renewPrekey(ctx, c, &k, kind); err != nil {
			return false, false, err
		}
	}
	for kind, waiting := range map[int]int{prekeyOneTime: s.OneTime, prekeyOneTimeKEM: s.OneTimeKEM} {
		if err := e.refill(ctx, c, &k, kind, waiting); err != nil {
			return false, false, err
		}
	}
	for len(k.rows) > 0 {
		n := min(len(k.rows), rowsPerInsert)
		if err := e.insertPrekeys(ctx, c, k.rows[:n]); err != nil {
			return false, false, err
		}
		k.rows = k.rows[n:]
	}
	_, err = c.Exec(ctx, "UPDATE waxwing_seal_identity SET next_id = ?, renew = ?, signer = ? WHERE name = ?", k.next, renew, self[:], e.local)
	return k.replace, setBack, err
}

// sameProfile refuses a database whose prekeys are of another profile's KEM: peers could
// not tell with which of both to begin.
func (e *core) sameProfile(ctx context.Context, c sqltx.Conn) error {
	var id int64
	var wrapped []byte
	err := sqltx.One(ctx, c, "SELECT id, secret FROM waxwing_seal_prekey WHERE local = ? AND kind = ? AND retired_us = 0 ORDER BY id DESC LIMIT 1", []any{e.local, prekeyLastResort}, &id, &wrapped)
	if errors.Is(err, sqltx.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	secret, err := e.keys.unwrap(e.prekeyRow(uint32(id)), wrapped)
	if err == nil && (len(secret) == 0 || ratchet.KEM(secret[0]) != kemOf(e.profile)) {
		err = text(ErrMismatch, "the database's prekeys are of another profile than "+e.profile.String())
	}
	return err
}

// renewPrekey replaces a signed or last-resort prekey that is too old.
func (e *core) renewPrekey(ctx context.Context, c sqltx.Conn, k *stock, kind int) error {
	var born int64
	now := e.now()
	err := sqltx.One(ctx, c, "SELECT COALESCE(MAX(born_us), 0) FROM waxwing_seal_prekey WHERE local = ? AND kind = ? AND retired_us = 0", []any{e.local, kind}, &born)
	if err != nil || !k.renew && born > now.Add(-prekeyAge).UnixMicro() {
		return err
	}
	if _, err := c.Exec(ctx, "UPDATE waxwing_seal_prekey SET retired_us = ? WHERE local = ? AND kind = ? AND retired_us = 0", now.UnixMicro(), e.local, kind); err != nil {
		return err
	}
	return e.makePrekey(k, kind)
}

// refill makes one-time keys if fewer than half wait, as the directory says.
func (e *core) refill(ctx context.Context, c sqltx.Conn, k *stock, kind, waiting int) error {
	var unused, pending int
	err := sqltx.One(ctx, c, "SELECT COUNT(*), COALESCE(SUM(CASE WHEN published = 0 THEN 1 ELSE 0 END), 0) FROM waxwing_seal_prekey WHERE local = ? AND kind = ?",
		[]any{e.local, kind}, &unused, &pending)
	if err != nil {
		return err
	}
	if waiting = max(waiting, 0); k.replace {
		waiting = 0
	}
	if waiting += pending; waiting >= (e.oneTime+1)/2 {
		return nil
	}
	n := e.oneTime - waiting
	if over := unused + n - unusedMax*e.oneTime; over > 0 && k.replace {
		if err := e.dropOldest(ctx, c, kind, over); err != nil {
			return err
		}
	} else if over > 0 {
		n -= over
		e.log.WarnContext(ctx, "seal: too many one-time keys are not used: no more are made", "endpoint", e.local, "unused", unused, "waiting", waiting)
	}
	for range n {
		if err := e.makePrekey(k, kind); err != nil {
			return err
		}
	}
	return nil
}

// dropOldest deletes the oldest one-time keys, of which there are more than n: those that
// replace what waits at the directory go before them.
func (e *core) dropOldest(ctx context.Context, c sqltx.Conn, kind, n int) error {
	var first int64
	err := sqltx.One(ctx, c, "SELECT id FROM waxwing_seal_prekey WHERE local = ? AND kind = ? ORDER BY id LIMIT 1 OFFSET ?", []any{e.local, kind, n}, &first)
	if err != nil {
		return err
	}
	_, err = c.Exec(ctx, "DELETE FROM waxwing_seal_prekey WHERE local = ? AND kind = ? AND id < ?", e.local, kind, first)
	return err
}

// makePrekey makes a key, with the next id.
func (e *core) makePrekey(k *stock, kind int) error {
	id := uint32(k.next)
	if k.next++; k.next > 1<<32-1 {
		return errors.New("seal: there are no more ids for prekeys")
	}
	var secret []byte
	if kind == prekeySigned || kind == prekeyOneTime {
		key, err := ratchet.GenerateKey(e.rand)
		if err != nil {
			return err
		}
		secret = key[:]
	} else {
		key, err := ratchet.GenerateKEM(e.rand, kemOf(e.profile))
		if err != nil {
			return err
		}
		secret = key.Bytes()
	}
	k.rows = append(k.rows, []any{e.local, int64(id), kind, int64(e.keys.active), e.keys.wrap(e.prekeyRow(id), secret), 0, e.nowUS(), 0})
	return nil
}

// kemOf is the KEM of a profile.
func kemOf(p ratchet.Profile) ratchet.KEM {
	if p == ratchet.WaxwingHE {
		return ratchet.MLKEM1024
	}
	return ratchet.Kyber1024
}

func (e *core) insertPrekeys(ctx context.Context, c sqltx.Conn, rows [][]any) error {
	q := "INSERT INTO waxwing_seal_prekey (local, id, kind, wrap_id, secret, published, born_us, retired_us) VALUES "
	var args []any
	for i, r := range rows {
		if i > 0 {
			q += ", "
		}
		q += "(" + sqltx.Marks(8) + ")"
		args = append(args, r...)
	}
	_, err := c.Exec(ctx, q, args...)
	return err
}

// publication is what others need of this identity: the current keys, and the one-time
// keys that were not published.
func (e *core) publication(ctx context.Context) (p directory.Publication, ids []any, err error) {
	p = directory.Publication{RegistrationID: e.self.registration, Certificate: e.self.certificate.Bytes()}
	err = sqltx.Each(ctx, e.conn, "SELECT id, kind, secret, published FROM waxwing_seal_prekey WHERE local = ? AND retired_us = 0 AND (published = 0 OR kind IN (?, ?)) ORDER BY id",
		[]any{e.local, prekeySigned, prekeyLastResort}, func(read func(...any) error) error {
			var id int64
			var kind, published int
			var wrapped []byte
			if err := read(&id, &kind, &wrapped, &published); err != nil {
				return err
			}
			if published == 0 {
				ids = append(ids, id)
			}
			secret, err := e.keys.unwrap(e.prekeyRow(uint32(id)), wrapped)
			if err != nil {
				return err
			}
			return e.publish(&p, uint32(id), kind, secret)
		})
	return p, ids, err
}

// publish adds a key's public half to a publication.
func (e *core) publish(p *directory.Publication, id uint32, kind int, secret []byte) error {
	var public []byte
	if kind == prekeySigned || kind == prekeyOneTime {
		public = ratchet.PrivateKey(secret).Public().Encode()
	} else {
		k, err := ratchet.ParseKEMPrivateKey(secret)
		if err != nil {
			return err
		}
		public = k.Public()
	}
	if kind == prekeyOneTime {
		p.OneTime = append(p.OneTime, directory.Key{ID: id, Key: public})
		return nil
	}
	// What is published again is the same to the byte, or a directory takes it for another
	// key of that id: no randomness but the prekey's own goes into the signature.
	z := sha512.Sum512(slices.Concat([]byte("waxwing prekey signature"), secret))
	signature, err := ratchet.Sign(bytes.NewReader(z[:]), e.self.key, public)
	if err != nil {
		return err
	}
	signed := directory.SignedKey{ID: id, Key: public, Signature: signature}
	switch kind {
	case prekeySigned:
		p.Signed = &signed
	case prekeyLastResort:
		p.LastResort = &signed
	default:
		p.OneTimeKEM = append(p.OneTimeKEM, signed)
	}
	return nil
}
