package seal

import (
	"context"
	"errors"
	"fmt"

	"github.com/waxwing-mq/waxwing/bus"
	"github.com/waxwing-mq/waxwing/internal/sqltx"
)

// A Group is services that read the same messages: each is sealed once, under a sender
// key that every member was sent over its session. The key is replaced when a member is
// removed, after a number of messages, and after a time (RotateGroups). The members are
// in the database; the sender need not be one.
//
// Members are sent keys on their ControlTopic, which they have to receive. A message may
// come before its key: Open returns ErrNoSession then, and the message has to be tried
// again.
type Group[TX any] struct {
	e    *Endpoint[TX]
	name string
}

// Group is the group of a name. There need be none yet.
func (e *Endpoint[TX]) Group(name string) *Group[TX] { return &Group[TX]{e, name} }

// Add adds members. They can open what is sealed from here on. The next message begins a
// session with each who has none; Maintain fetches what that needs ahead.
func (g *Group[TX]) Add(ctx context.Context, tx TX, members ...string) error {
	return g.e.core.addMembers(ctx, g.e.db.Bind(tx), g.name, members)
}

// Remove removes members. They cannot open what is sealed in transactions that begin
// after this one's commit.
func (g *Group[TX]) Remove(ctx context.Context, tx TX, members ...string) error {
	return g.e.core.removeMembers(ctx, g.e.db.Bind(tx), g.name, members)
}

// Members are the members, sorted.
func (g *Group[TX]) Members(ctx context.Context, tx TX) ([]string, error) {
	return g.e.core.members(ctx, g.e.db.Bind(tx), g.name)
}

// Rotate replaces the sender keys with the next message.
func (g *Group[TX]) Rotate(ctx context.Context, tx TX) error {
	_, err := g.e.db.Bind(tx).Exec(ctx, "UPDATE waxwing_seal_sender SET group_version = -1, version = version + 1 WHERE local = ? AND name = ?", g.e.core.local, g.name)
	return failed(err)
}

// Seal seals messages to the members, as Endpoint.Seal does to one. What it returns must
// be published in the same transaction: keys for members, on their control topics.
func (g *Group[TX]) Seal(ctx context.Context, tx TX, msgs ...*bus.Message) ([]bus.Message, error) {
	extra, err := g.e.core.sealGroup(ctx, g.e.db.Bind(tx), g.name, msgs)
	return extra, g.e.core.counting(err, len(msgs))
}

func (e *core) addMembers(ctx context.Context, c sqltx.Conn, name string, members []string) error {
	for _, m := range append([]string{name}, members...) {
		if err := checkName(m); err != nil {
			return err
		}
	}
	if _, err := c.Exec(ctx, e.dialect.InsertOnce("waxwing_seal_group", "local", "name", "version"), e.local, name, 1); err != nil {
		return failed(err)
	}
	for _, m := range members {
		if _, err := c.Exec(ctx, e.dialect.InsertOnce("waxwing_seal_member", "local", "name", "member"), e.local, name, m); err != nil {
			return failed(err)
		}
	}
	return e.groupChanged(ctx, c, name)
}

func (e *core) removeMembers(ctx context.Context, c sqltx.Conn, name string, members []string) error {
	for _, m := range members {
		if _, err := c.Exec(ctx, "DELETE FROM waxwing_seal_member WHERE local = ? AND name = ? AND member = ?", e.local, name, m); err != nil {
			return failed(err)
		}
	}
	return e.groupChanged(ctx, c, name)
}

func (e *core) groupChanged(ctx context.Context, c sqltx.Conn, name string) error {
	_, err := c.Exec(ctx, "UPDATE waxwing_seal_group SET version = version + 1 WHERE local = ? AND name = ?", e.local, name)
	return failed(err)
}

func (e *core) members(ctx context.Context, c sqltx.Conn, name string) (out []string, err error) {
	err = sqltx.Each(ctx, c, "SELECT member FROM waxwing_seal_member WHERE local = ? AND name = ? ORDER BY member", []any{e.local, name}, func(read func(...any) error) error {
		var m string
		err := read(&m)
		out = append(out, m)
		return err
	})
	return out, failed(err)
}

// groupVersion is how often a group has changed.
func (e *core) groupVersion(ctx context.Context, c sqltx.Conn, name string) (v int64, err error) {
	err = sqltx.One(ctx, c, "SELECT version FROM waxwing_seal_group WHERE local = ? AND name = ?", []any{e.local, name}, &v)
	if errors.Is(err, sqltx.ErrNoRows) {
		return 0, text(ErrNoSession, fmt.Sprintf("there is no group %q (Group.Add)", name))
	}
	return v, failed(err)
}
