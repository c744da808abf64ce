package seal

import (
	"context"
	"crypto/sha256"
	"errors"

	"github.com/waxwing-mq/waxwing/bus"
	"github.com/waxwing-mq/waxwing/internal/sqltx"
)

// What is kept of a message that is put aside is its content, wrapped under the storage
// key, and not the message's key: it outlives the session, the chain and the peer's
// certificate, and is as secret, since the envelope lies beside it.

// pinnedID names a message that is put aside: the hash of its envelope.
func pinnedID(m *bus.Message) []byte {
	sum := sha256.Sum256(m.Body)
	return sum[:]
}

func (e *core) pinnedRow(id []byte) []byte { return rowID("pinned", e.local, string(id)) }

// pin opens a message and keeps it.
func (e *core) pin(ctx context.Context, c sqltx.Conn, d *bus.Delivery) error {
	o, err := e.open(ctx, c, &d.Message, e.expected(d.Topic), true)
	if err != nil {
		e.m.failed(err)
		return err
	}
	id := pinnedID(&d.Message)
	secret := append(appendText(nil, o.sender), o.raw...)
	_, err = c.Exec(ctx, e.dialect.InsertOnce("waxwing_seal_pinned", "local", "envelope", "wrap_id", "secret", "expires_us"),
		e.local, id, int64(e.keys.active), e.keys.wrap(e.pinnedRow(id), secret), e.now().Add(e.parked).UnixMicro())
	return failed(err)
}

// expected are those who may have sealed what comes from a topic.
func (e *core) expected(topic string) []string {
	if r := find(e.routes.in, topic); r != nil {
		return r.from
	}
	return nil
}

// discard opens a message and keeps nothing.
func (e *core) discard(ctx context.Context, c sqltx.Conn, d *bus.Delivery) error {
	_, err := e.open(ctx, c, &d.Message, nil, false)
	if err != nil && !errors.Is(err, ErrDuplicate) {
		e.m.failed(err)
	}
	return err
}

// takePinned is what was kept of a message, nil if nothing was.
func (e *core) takePinned(ctx context.Context, c sqltx.Conn, env *Envelope, m *bus.Message, from []string, keep bool) (*opened, error) {
	id := pinnedID(m)
	var secret []byte
	var expires int64
	err := sqltx.One(ctx, c, "SELECT secret, expires_us FROM waxwing_seal_pinned WHERE local = ? AND envelope = ?"+e.dialect.ForUpdate(), []any{e.local, id}, &secret, &expires)
	if errors.Is(err, sqltx.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, failed(err)
	}
	if len(secret) == 0 || e.nowUS() > expires {
		return nil, text(ErrExpired, "what was kept of the message when it was put aside")
	}
	raw, err := e.keys.unwrap(e.pinnedRow(id), secret)
	if err != nil {
		return nil, err
	}
	r := &reader{b: raw}
	sender := string(r.text(nameMax))
	if r.failed {
		return nil, text(ErrMismatch, "what was kept of a message is damaged")
	}
	if err := mayBeFrom(sender, from); err != nil {
		return nil, err
	}
	in, err := decodeContent(r.b)
	if err != nil {
		return nil, err
	}
	recipient := e.local
	if env.Kind == KindGroup {
		recipient = in.recipient
	}
	if err := in.agrees(env, m, sender, recipient); err != nil || keep {
		return &opened{in, r.b}, err
	}
	_, err = c.Exec(ctx, "DELETE FROM waxwing_seal_pinned WHERE local = ? AND envelope = ?", e.local, id)
	return &opened{in, r.b}, failed(err)
}
