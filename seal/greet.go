package seal

import (
	"context"
	"strconv"

	"github.com/waxwing-mq/waxwing/bus"
	"github.com/waxwing-mq/waxwing/internal/sqltx"
)

// TypeGreeting is the type of messages that say nothing, see Greet.
const TypeGreeting = "waxwing.seal.greeting"

// Greet seals a message that says nothing to a peer, in each lane in which there is a
// session with it, and returns them, to be published in the same transaction: they go to
// the peer's ControlTopic. The peer goes on with the session that they come by. A service
// that is only ever sent messages greets now and then, as that is what gives its peers'
// sessions new keys; one whose database was set back greets those who would seal to it
// with the old ones (Renew first, if Check has not found that). Where the rows of the
// sessions are lost there is none to greet by: the peer has to Renew.
func (e *Endpoint[TX]) Greet(ctx context.Context, tx TX, peer string) ([]bus.Message, error) {
	return e.core.greet(ctx, e.db.Bind(tx), peer)
}

func (e *core) greet(ctx context.Context, c sqltx.Conn, peer string) ([]bus.Message, error) {
	var lanes []int
	err := sqltx.Each(ctx, c, "SELECT DISTINCT lane FROM waxwing_seal_session WHERE local = ? AND remote = ? ORDER BY lane", []any{e.local, peer}, func(read func(...any) error) error {
		var l int
		err := read(&l)
		lanes = append(lanes, l)
		return err
	})
	if err != nil {
		return nil, failed(err)
	}
	msgs := make([]bus.Message, len(lanes))
	jobs := make([]job, len(lanes))
	for i, l := range lanes {
		msgs[i] = bus.Message{Topic: ControlTopic(peer), Key: e.local + "/" + strconv.Itoa(l), ID: randomID(), Type: TypeGreeting, Body: []byte{}}
		jobs[i] = job{to: peer, kind: contentGreeting, m: &msgs[i], lane: l, laned: true}
	}
	return msgs, e.counting(e.sealAll(ctx, c, jobs), len(jobs))
}

// Renew has the next message to a peer begin a new session, in every lane. What the peer
// has sealed with the old ones still opens. It is for sessions that the peer has lost.
func (e *Endpoint[TX]) Renew(ctx context.Context, tx TX, peer string) error {
	c := e.db.Bind(tx)
	if err := e.core.openingOnly(ctx, c, " AND remote = ?", peer); err != nil {
		return err
	}
	if err := e.core.keepSequences(ctx, c, peer); err != nil {
		return err
	}
	_, err := c.Exec(ctx, "DELETE FROM waxwing_seal_bundle WHERE local = ? AND remote = ?", e.core.local, peer)
	return failed(err)
}

// lockSessions locks sessions and returns their tags.
func (e *core) lockSessions(ctx context.Context, c sqltx.Conn, where string, args ...any) (tags [][]byte, err error) {
	err = sqltx.Each(ctx, c, "SELECT tag FROM waxwing_seal_session WHERE local = ?"+where+e.dialect.ForUpdate(), append([]any{e.local}, args...),
		func(read func(...any) error) error {
			var tag []byte
			err := read(&tag)
			tags = append(tags, tag)
			return err
		})
	return tags, failed(err)
}

// openingOnly leaves sessions for opening only.
func (e *core) openingOnly(ctx context.Context, c sqltx.Conn, where string, args ...any) error {
	tags, err := e.lockSessions(ctx, c, " AND slot >= 0"+where, args...)
	if err != nil {
		return err
	}
	for _, tag := range tags {
		if _, err := c.Exec(ctx, "UPDATE waxwing_seal_session SET slot = ?, version = version + 1 WHERE local = ? AND tag = ?", -randomSlot(), e.local, tag); err != nil {
			return failed(err)
		}
	}
	return nil
}
