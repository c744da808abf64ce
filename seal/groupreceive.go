package seal

import (
	"context"
	"errors"

	"github.com/waxwing-mq/waxwing/bus"
	"github.com/waxwing-mq/waxwing/internal/sqltx"
	"github.com/waxwing-mq/waxwing/seal/ratchet"
	"github.com/waxwing-mq/waxwing/seal/senderkey"
)

// A receiver is a row of waxwing_seal_receiver: a chain of somebody else's.
type receiver struct {
	remote, name string
	lane         int
	version      int64
	until        int64 // when the certificate ends that it came under
	state        *senderkey.Receiver
}

func (e *core) receiverRow(tag [16]byte) []byte { return rowID("receiver", e.local, string(tag[:])) }

// lockReceiver reads and locks a chain, nil if there is none.
func (e *core) lockReceiver(ctx context.Context, c sqltx.Conn, tag [16]byte) (*receiver, error) {
	r := &receiver{}
	var state []byte
	err := sqltx.One(ctx, c, "SELECT remote, name, lane, version, until_us, state FROM waxwing_seal_receiver WHERE local = ? AND tag = ?"+e.dialect.ForUpdate(),
		[]any{e.local, tag[:]}, &r.remote, &r.name, &r.lane, &r.version, &r.until, &state)
	if errors.Is(err, sqltx.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, failed(err)
	}
	raw, err := e.keys.unwrap(e.receiverRow(tag), state)
	if err != nil {
		return nil, err
	}
	r.state, err = senderkey.DecodeReceiver(raw)
	return r, failed(err)
}

// openGroup opens a message to a group.
func (e *core) openGroup(ctx context.Context, c sqltx.Conn, env *Envelope, m *bus.Message, from []string) (*opened, error) {
	r, err := e.lockReceiver(ctx, c, env.Tag)
	if err != nil {
		return nil, err
	}
	if r == nil {
		return nil, text(ErrNoSession, "the group's key has not come, or is not for us")
	}
	if err := mayBeFrom(r.remote, from); err != nil {
		return nil, err
	}
	if err := e.outOfDate(r.remote, r.until); err != nil {
		return nil, err
	}
	got, err := r.state.Open(env.Body, nil)
	var need *ratchet.NeedKeys
	if errors.As(err, &need) {
		keys, kerr := e.skippedKeys(ctx, c, env.Tag, groupKeys, need.IDs)
		if kerr != nil {
			return nil, kerr
		}
		got, err = r.state.Open(env.Body, keys)
	}
	if err != nil {
		if errors.Is(err, ratchet.ErrSignature) {
			return nil, because(ErrMismatch, err)
		}
		return nil, translated(err)
	}
	o, err := e.contentOf(env, m, got.Plaintext, r.remote, r.name)
	if err != nil {
		return nil, err
	}
	if o.kind != contentEvent || o.lane != r.lane {
		return nil, text(ErrMismatch, "a content that does not belong to a group")
	}
	n, err := c.Exec(ctx, "UPDATE waxwing_seal_receiver SET version = version + 1, wrap_id = ?, state = ? WHERE local = ? AND tag = ? AND version = ?",
		int64(e.keys.active), e.keys.wrap(e.receiverRow(env.Tag), got.Next.Encode()), e.local, env.Tag[:], r.version)
	if err != nil {
		return nil, failed(err)
	}
	if n != 1 {
		return nil, text(ErrConflict, "a group's chain has changed")
	}
	return o, e.keepSkipped(ctx, c, env.Tag, groupKeys, &ratchet.Opened{Skipped: got.Skipped, Used: got.Used})
}

// groupKey reads what brings a key of a sender's to a group, under the tag that is its own.
func groupKey(from string, body []byte) (distribution, *senderkey.Receiver, error) {
	d, err := decodeDistribution(body)
	if err != nil {
		return d, nil, err
	}
	state, err := senderkey.ProcessDistribution(d.key)
	if err != nil {
		return d, nil, because(ErrMismatch, err)
	}
	if d.tag != groupTag(from, state.Chain()) {
		return d, nil, text(ErrMismatch, "the tag is not that of the group's key")
	}
	return d, state, nil
}

// learn takes a group's key from a peer. One that is known already stays as it is.
func (e *core) learn(ctx context.Context, c sqltx.Conn, from string, until int64, body []byte) error {
	d, state, err := groupKey(from, body)
	if err != nil {
		return err
	}
	n, err := c.Exec(ctx, e.dialect.InsertOnce("waxwing_seal_receiver", "local", "tag", "remote", "name", "instance", "lane", "version", "wrap_id", "state", "born_us", "until_us"),
		e.local, d.tag[:], from, d.group, d.instance, d.lane, 1, int64(e.keys.active), e.keys.wrap(e.receiverRow(d.tag), state.Encode()), e.nowUS(), until)
	if err != nil || n == 0 {
		return failed(err)
	}
	return e.forgetChains(ctx, c, from, d)
}

// forgetChains leaves the last few chains of a sender.
func (e *core) forgetChains(ctx context.Context, c sqltx.Conn, from string, d distribution) error {
	var old [][]byte
	err := sqltx.Each(ctx, c, "SELECT tag FROM waxwing_seal_receiver WHERE local = ? AND remote = ? AND name = ? AND instance = ? AND lane = ? ORDER BY born_us DESC LIMIT 100 OFFSET ?",
		[]any{e.local, from, d.group, d.instance, d.lane, groupStates}, func(read func(...any) error) error {
			var tag []byte
			err := read(&tag)
			old = append(old, tag)
			return err
		})
	if err != nil {
		return failed(err)
	}
	for _, tag := range old {
		if _, err := c.Exec(ctx, "DELETE FROM waxwing_seal_receiver WHERE local = ? AND tag = ?", e.local, tag); err != nil {
			return failed(err)
		}
		if err := e.deleteSkipped(ctx, c, tag, groupKeys); err != nil {
			return err
		}
	}
	return nil
}
