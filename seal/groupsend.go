package seal

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/waxwing-mq/waxwing/bus"
	"github.com/waxwing-mq/waxwing/internal/sqltx"
	"github.com/waxwing-mq/waxwing/seal/senderkey"
)

// A sender is a row of waxwing_seal_sender: a chain of ours in a group, one per lane.
type sender struct {
	name    string
	lane    int
	tag     [16]byte
	stream  uint32
	seq     uint64
	sent    int64
	version int64
	group   int64    // the group's version that members are of; -1: to be replaced
	members []string // who has the chain
	state   *senderkey.Sender
	born    int64

	isNew bool
}

func (e *core) senderRow(s *sender) []byte {
	return rowID("sender", e.local, s.name, e.instance, strconv.Itoa(s.lane), string(s.tag[:]))
}

// lockSender reads and locks a chain of ours, with the group's version; nil if there is
// none.
func (e *core) lockSender(ctx context.Context, c sqltx.Conn, name string, lane int) (*sender, error) {
	s := &sender{name: name, lane: lane}
	var tag, members, state []byte
	var stream, seq int64
	err := sqltx.One(ctx, c, "SELECT tag, stream, seq, sent, version, group_version, members, state, born_us FROM waxwing_seal_sender"+
		" WHERE local = ? AND name = ? AND instance = ? AND lane = ?"+e.dialect.ForUpdate(), []any{e.local, name, e.instance, lane},
		&tag, &stream, &seq, &s.sent, &s.version, &s.group, &members, &state, &s.born)
	if errors.Is(err, sqltx.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, failed(err)
	}
	s.tag, s.stream, s.seq = [16]byte(tag), uint32(stream), uint64(seq)
	if len(members) > 0 {
		s.members = strings.Split(string(members), "\n")
	}
	raw, err := e.keys.unwrap(e.senderRow(s), state)
	if err != nil {
		return nil, err
	}
	s.state, err = senderkey.DecodeSender(raw)
	return s, failed(err)
}

// saveSender writes a chain.
func (e *core) saveSender(ctx context.Context, c sqltx.Conn, s *sender) error {
	members := []byte(strings.Join(s.members, "\n"))
	state := e.keys.wrap(e.senderRow(s), s.state.Encode())
	changed := one("a group's chain has changed")
	if s.isNew {
		return failed(sqltx.Put(ctx, c, changed, e.dialect.InsertOnce("waxwing_seal_sender", "local", "name", "instance", "lane", "tag", "stream", "seq", "sent", "version",
			"group_version", "members", "wrap_id", "state", "born_us"), e.local, s.name, e.instance, s.lane, s.tag[:], int64(s.stream), int64(s.seq), s.sent, 1,
			s.group, notNil(members), int64(e.keys.active), state, s.born))
	}
	return failed(sqltx.Put(ctx, c, changed, "UPDATE waxwing_seal_sender SET tag = ?, seq = ?, sent = ?, version = version + 1, group_version = ?, members = ?, wrap_id = ?, state = ?, born_us = ?"+
		" WHERE local = ? AND name = ? AND instance = ? AND lane = ? AND version = ?", s.tag[:], int64(s.seq), s.sent, s.group, notNil(members),
		int64(e.keys.active), state, s.born, e.local, s.name, e.instance, s.lane, s.version))
}

// sealGroup seals messages to a group, and returns the messages that carry new keys to
// members.
func (e *core) sealGroup(ctx context.Context, c sqltx.Conn, name string, msgs []*bus.Message) (extra []bus.Message, err error) {
	if err := e.ready(); err != nil {
		return nil, err
	}
	order := slices.Clone(msgs)
	slices.SortStableFunc(order, func(a, b *bus.Message) int { return cmp.Compare(e.laneOf(a.Key), e.laneOf(b.Key)) })
	var sealed []sealedMessage
	for len(order) > 0 {
		lane, n := e.laneOf(order[0].Key), 1
		for n < len(order) && e.laneOf(order[n].Key) == lane {
			n++
		}
		some, more, err := e.sealLane(ctx, c, name, lane, order[:n])
		if err != nil {
			return nil, err
		}
		sealed, extra, order = append(sealed, some...), append(extra, more...), order[n:]
	}
	for _, s := range sealed {
		s.apply()
	}
	return extra, nil
}

// sealLane seals messages of one lane to a group.
func (e *core) sealLane(ctx context.Context, c sqltx.Conn, name string, lane int, msgs []*bus.Message) (out []sealedMessage, extra []bus.Message, err error) {
	s, err := e.lockSender(ctx, c, name, lane)
	if err != nil {
		return nil, nil, err
	}
	version, err := e.groupVersion(ctx, c, name)
	if err != nil {
		return nil, nil, err
	}
	if s, extra, err = e.upToDate(ctx, c, s, name, lane, version, len(msgs)); err != nil {
		return nil, nil, err
	}
	for _, m := range msgs {
		one, err := e.sealToGroup(s, m)
		if err != nil {
			return nil, nil, err
		}
		out = append(out, one)
	}
	return out, extra, e.saveSender(ctx, c, s)
}

// upToDate replaces a chain that is too old, or known to somebody who is no member any
// more, and has members know it who do not.
func (e *core) upToDate(ctx context.Context, c sqltx.Conn, s *sender, name string, lane int, version int64, n int) (*sender, []bus.Message, error) {
	worn := s != nil && (e.marks.beyond(s.state.SendIndex()) || s.sent+int64(n) > int64(e.groupMessages) || e.now().Sub(time.UnixMicro(s.born)) > e.groupAge)
	if s != nil && !worn && s.group == version {
		return s, nil, nil
	}
	members, err := e.members(ctx, c, name)
	if err != nil {
		return nil, nil, err
	}
	members = slices.DeleteFunc(members, func(m string) bool { return m == e.local })
	newcomers := members
	if s != nil && !worn && s.group >= 0 && !slices.ContainsFunc(s.members, func(m string) bool { return !slices.Contains(members, m) }) {
		newcomers = slices.DeleteFunc(slices.Clone(members), func(m string) bool { return slices.Contains(s.members, m) })
	} else if s, err = e.newChain(ctx, c, s, name, lane); err != nil {
		return nil, nil, err
	}
	s.group, s.members = version, members
	extra, err := e.distribute(ctx, c, s, newcomers)
	return s, extra, err
}

// newChain begins a chain, in place of one if there is one.
func (e *core) newChain(ctx context.Context, c sqltx.Conn, old *sender, name string, lane int) (*sender, error) {
	s := &sender{name: name, lane: lane, born: e.nowUS(), isNew: old == nil}
	number, low, err := e.stream(ctx, c, groupStream(name, e.instance), lane)
	if err != nil {
		return nil, err
	}
	s.stream, s.seq = number, low
	if old != nil {
		s.seq, s.version = max(low, old.seq), old.version
	}
	var group [16]byte
	rand.Read(group[:]) // never fails
	if s.state, err = senderkey.NewSender(e.rand, group); err != nil {
		return nil, failed(err)
	}
	chain, _ := s.state.SendIndex()
	s.tag = groupTag(e.local, chain)
	return s, nil
}

// groupStream is how waxwing_seal_stream knows a group's chains: by nothing that could be
// a peer's name.
func groupStream(name, instance string) string {
	sum := sha256.Sum256(rowID(name, instance))
	return "#" + hex.EncodeToString(sum[:16])
}

// distribute seals a chain, as it is now, to members.
func (e *core) distribute(ctx context.Context, c sqltx.Conn, s *sender, to []string) ([]bus.Message, error) {
	body := distribution{group: s.name, instance: e.instance, lane: s.lane, tag: s.tag, key: s.state.Distribution()}.encode()
	msgs := make([]bus.Message, len(to))
	jobs := make([]job, len(to))
	for i, member := range to {
		msgs[i] = bus.Message{Topic: ControlTopic(member), Key: e.local, ID: randomID(), Type: TypeDistribution, Body: body}
		jobs[i] = job{to: member, kind: contentDistribution, m: &msgs[i]}
	}
	return msgs, e.sealAll(ctx, c, jobs)
}

// randomID is the id of a message of ours.
func randomID() string {
	var b [16]byte
	rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// sealToGroup moves a chain on by a message.
func (e *core) sealToGroup(s *sender, m *bus.Message) (sealedMessage, error) {
	outside, inside := split(m.Headers)
	s.seq++
	s.sent++
	in := content{
		kind: contentEvent, tag: s.tag, sender: e.local, recipient: s.name, id: m.ID, topic: m.Topic, key: m.Key, typ: m.Type, ctype: m.ContentType,
		lane: s.lane, stream: s.stream, seq: s.seq, headers: inside, body: m.Body,
	}
	if err := in.fits(); err != nil {
		return sealedMessage{}, err
	}
	chain, n := s.state.SendIndex()
	if from := e.marks.from(chain); from > n {
		var err error
		if s.state, err = s.state.Burn(from); err != nil {
			return sealedMessage{}, failed(err)
		}
		n = from
	}
	next, body, err := s.state.Seal(e.rand, in.encode())
	if err != nil {
		return sealedMessage{}, failed(err)
	}
	e.marks.used(chain, n)
	s.state = next
	env := Envelope{Profile: e.profile, Kind: KindGroup, Tag: s.tag}
	return sealedMessage{m, slices.Concat(env.header(), body), append(outside, e.seen(s.stream, s.seq))}, nil
}

// A distribution is the body of a content that brings a sender key:
//
//	1 version │ group │ instance │ lane │ 16 tag │ senderkey's distribution
//
// The texts are a length (uvarint) and bytes, the lane is a uvarint; the rest goes to the
// end.
type distribution struct {
	group, instance string
	lane            int
	tag             [16]byte
	key             []byte
}

func (d distribution) encode() []byte {
	b := appendText([]byte{1}, d.group)
	b = appendText(b, d.instance)
	b = binary.AppendUvarint(b, uint64(d.lane))
	b = append(b, d.tag[:]...)
	return append(b, d.key...)
}

func decodeDistribution(b []byte) (d distribution, err error) {
	r := &reader{b: b}
	version := r.byte()
	d.group, d.instance = string(r.text(nameMax)), string(r.text(nameMax))
	lane := r.uvarint()
	copy(d.tag[:], r.take(16))
	if r.failed || version != 1 || lane >= MaxLanes || checkName(d.group) != nil || checkName(d.instance) != nil {
		return d, text(ErrMismatch, "a group's key is damaged")
	}
	d.lane, d.key = int(lane), bytes.Clone(r.b)
	return d, nil
}
