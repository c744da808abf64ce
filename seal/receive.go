package seal

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/waxwing-mq/waxwing/bus"
	"github.com/waxwing-mq/waxwing/internal/sqltx"
	"github.com/waxwing-mq/waxwing/seal/ratchet"
)

// An opened message is what an envelope held. What the database has to say about it is
// written already.
type opened struct {
	*content
	raw []byte // the content, encoded
}

// apply puts a message back.
func (o *opened) apply(d *bus.Delivery) {
	var headers []bus.Header
	for _, h := range d.Headers {
		if stays(h.Name) {
			headers = append(headers, h)
		}
	}
	for _, h := range o.headers {
		if !stays(h.Name) && h.Name != HeaderFrom { // the sender has not put such ones inside
			headers = append(headers, h)
		}
	}
	d.Headers = append(headers, bus.Header{Name: HeaderFrom, Value: []byte(o.sender)})
	d.Body, d.ContentType = notNil(o.body), o.ctype
}

// opening is Open.
func (e *core) opening(ctx context.Context, c sqltx.Conn, d *bus.Delivery, from []string) error {
	o, err := e.open(ctx, c, &d.Message, from, false)
	if err != nil {
		e.m.failed(err)
		return err
	}
	o.apply(d)
	e.m.opened.Inc()
	return nil
}

// openDelivery opens what the rules say.
func (e *core) openDelivery(ctx context.Context, c sqltx.Conn, d *bus.Delivery) error {
	var from []string
	r := find(e.routes.in, d.Topic)
	if r != nil {
		from = r.from
	}
	sealed := isEnvelope(d.Body)
	switch {
	case sealed:
		return e.opening(ctx, c, d, from)
	case r != nil || d.ContentType == ContentType || d.Topic == ControlTopic(e.local):
		err := text(ErrNotSealed, "topic "+d.Topic)
		e.m.failed(err)
		return err
	}
	d.Headers = slices.DeleteFunc(slices.Clone(d.Headers), func(h bus.Header) bool { return h.Name == HeaderFrom || h.Name == HeaderSealed })
	return nil
}

// open opens a message by its session, or by what was kept of it when it was put aside;
// keep leaves that there.
func (e *core) open(ctx context.Context, c sqltx.Conn, m *bus.Message, from []string, keep bool) (*opened, error) {
	env, err := ParseEnvelope(m.Body)
	if err != nil {
		return nil, err
	}
	o, err := e.openLive(ctx, c, env, m, from)
	if err == nil || !passed(err) {
		return o, err
	}
	kept, kerr := e.takePinned(ctx, c, env, m, from, keep)
	if kept != nil || kerr != nil {
		return kept, kerr
	}
	return nil, err
}

// passed says whether an error can be that of a message which its session has passed, or
// whose sender was trusted when it was put aside.
func passed(err error) bool {
	for _, kind := range []error{ErrDuplicate, ErrNoSession, ErrMismatch, ErrTooFar, ErrExpired, ErrUntrusted, ErrRolledBack} {
		if errors.Is(err, kind) {
			return true
		}
	}
	return false
}

// openLive opens a message by its session or its sender's key. It writes once nothing can
// be wrong any more but the database.
func (e *core) openLive(ctx context.Context, c sqltx.Conn, env *Envelope, m *bus.Message, from []string) (*opened, error) {
	switch {
	case env.Kind == KindGroup:
		return e.openGroup(ctx, c, env, m, from)
	case env.Profile != e.profile:
		return nil, because(ErrMismatch, fmt.Errorf("profile %v, ours is %v", env.Profile, e.profile))
	case env.Kind == KindHandshake && env.Recipient != e.local:
		return nil, text(ErrMismatch, "it is for "+env.Recipient)
	}
	s, err := e.sessionByTag(ctx, c, env.Tag)
	if err != nil {
		return nil, err
	}
	if s != nil {
		return e.openKnown(ctx, c, s, env, m, from)
	}
	if env.Kind == KindHandshake {
		return e.accept(ctx, c, env, m, from)
	}
	return nil, text(ErrNoSession, "of the message's tag")
}

// mayBeFrom says whether somebody may have sealed a message.
func mayBeFrom(sender string, from []string) error {
	if len(from) > 0 && !slices.Contains(from, sender) {
		return text(ErrUntrusted, "it is sealed by "+sender+", who is not expected")
	}
	return nil
}

// openKnown opens a message of a session that is there.
func (e *core) openKnown(ctx context.Context, c sqltx.Conn, s *session, env *Envelope, m *bus.Message, from []string) (*opened, error) {
	if err := mayBeFrom(s.remote, from); err != nil {
		return nil, err
	}
	if env.Kind == KindHandshake && env.Sender != s.remote {
		return nil, text(ErrMismatch, "the session is another peer's")
	}
	if err := e.outOfDate(s.remote, s.until); err != nil {
		return nil, err
	}
	body := env.Body
	if env.Kind == KindHandshake {
		var err error
		if _, body, err = ratchet.ParsePreKeyMessage(body); err != nil {
			return nil, translated(err)
		}
	}
	r, err := e.turn(ctx, c, s, env, body)
	if err != nil {
		if errors.Is(err, ErrDuplicate) && !errors.Is(err, ErrExpired) && s.beyond(m) {
			return nil, because(ErrRolledBack, err)
		}
		return nil, err
	}
	o, err := e.contentOf(env, m, r.Plaintext, s.remote, e.local)
	if err != nil {
		return nil, err
	}
	s.state, s.seenSeq = r.Next, max(s.seenSeq, o.seq)
	promote := s.slot > 0
	if promote {
		stream, seq, err := e.retire(ctx, c, s.remote, s.lane)
		if err != nil {
			return nil, err
		}
		s.slot, s.stream, s.seq = 0, max(s.stream, stream), max(s.seq, seq)
	}
	if err := e.saveSession(ctx, c, s, len(s.handshake) > 0); err != nil {
		return nil, err
	}
	e.recent.opened(s)
	if err := e.keepSkipped(ctx, c, s.tag, sessionKeys, r); err != nil {
		return nil, err
	}
	return o, e.act(ctx, c, o, s.until)
}

// outOfDate refuses what comes by a session, or a group's key, for too long after a
// certificate's end.
func (e *core) outOfDate(peer string, until int64) error {
	if e.nowUS() > until+certGrace.Microseconds() {
		return because(ErrUntrusted, text(ErrExpired, "the certificates that there were when "+peer+" began"))
	}
	return nil
}

// beyond says whether a message claims to be later than all that the session has opened.
func (s *session) beyond(m *bus.Message) bool {
	name, _, seq, ok := parseSealed(m.Header(HeaderSealed))
	return ok && name == s.remote && seq > s.seenSeq
}

// contentOf decodes what was inside, and compares it with the outside.
func (e *core) contentOf(env *Envelope, m *bus.Message, raw []byte, sender, recipient string) (*opened, error) {
	in, err := decodeContent(raw)
	if err != nil {
		return nil, err
	}
	if err := in.agrees(env, m, sender, recipient); err != nil {
		return nil, err
	}
	if env.Kind == KindHandshake && in.lane != env.Lane {
		return nil, text(ErrMismatch, "the lane")
	}
	if in.kind == contentDistribution {
		if _, _, err := groupKey(sender, in.body); err != nil { // before anything is written
			return nil, err
		}
	}
	return &opened{in, raw}, nil
}

// act does what a content says that is not for the caller, and takes it out.
func (e *core) act(ctx context.Context, c sqltx.Conn, o *opened, until int64) error {
	if o.kind != contentDistribution {
		return nil
	}
	body := o.body
	o.body = nil
	o.raw = o.encode()
	return e.learn(ctx, c, o.sender, until, body)
}

// turn has the ratchet open a message, with what is stored of the keys that it asks for.
// It does not ask for the key of a chain that it has forgotten: that is looked for when
// the message seems not to be authentic.
func (e *core) turn(ctx context.Context, c sqltx.Conn, s *session, env *Envelope, body []byte) (*ratchet.Opened, error) {
	var keys []ratchet.SkippedKey
	for late := false; ; {
		r, err := s.state.Open(e.rand, associated(e.profile, env.head), body, keys)
		var need *ratchet.NeedKeys
		var ids []ratchet.KeyID
		switch {
		case errors.As(err, &need):
			ids = need.IDs
		case errors.Is(err, ratchet.ErrMAC) && !late && e.profile != ratchet.WaxwingHE:
			late, ids = true, lateKey(body)
		default:
			return r, translated(err)
		}
		more, kerr := e.skippedKeys(ctx, c, s.tag, sessionKeys, ids)
		if kerr != nil {
			return nil, kerr
		}
		known := len(keys)
		for _, k := range more {
			if !slices.ContainsFunc(keys, func(old ratchet.SkippedKey) bool { return old.ID == k.ID }) {
				keys = append(keys, k)
			}
		}
		if len(keys) == known {
			return nil, translated(err)
		}
	}
}

// lateKey names the key of a message whose chain may be forgotten.
func lateKey(body []byte) []ratchet.KeyID {
	p, err := ratchet.Inspect(body)
	if err != nil {
		return nil
	}
	return []ratchet.KeyID{p.LateKey()}
}

// accept begins a session by the first message of a handshake that is opened.
func (e *core) accept(ctx context.Context, c sqltx.Conn, env *Envelope, m *bus.Message, from []string) (*opened, error) {
	if err := mayBeFrom(env.Sender, from); err != nil {
		return nil, err
	}
	cert, err := e.trust(ctx, c, env.Certificate, env.Sender)
	if err != nil {
		return nil, err
	}
	if env.Lane >= cert.Lanes {
		return nil, text(ErrMismatch, "a lane that the sender's certificate does not have")
	}
	h, body, err := ratchet.ParsePreKeyMessage(env.Body)
	if err != nil {
		return nil, translated(err)
	}
	if h.Identity != cert.Key {
		return nil, text(ErrUntrusted, "the handshake is by another key than the certificate's")
	}
	if h.Profile != e.profile {
		return nil, because(ErrMismatch, fmt.Errorf("a handshake of profile %v, ours is %v", h.Profile, e.profile))
	}
	if env.Tag != sessionTag(cert.Name, h.Base) {
		return nil, text(ErrMismatch, "the tag is not the handshake's")
	}
	keys, err := e.prekeys(ctx, c, h)
	if err != nil {
		return e.acceptedMeanwhile(ctx, c, env, m, from, err)
	}
	state, err := ratchet.Accept(e.self.key, keys.Prekeys, *h)
	if err != nil {
		return nil, translated(err)
	}
	r, err := state.Open(e.rand, associated(e.profile, env.head), body, nil)
	if err != nil {
		return nil, translated(err)
	}
	o, err := e.contentOf(env, m, r.Plaintext, cert.Name, e.local)
	if err != nil {
		return nil, err
	}
	// From here on it is authentic.
	if first, err := e.usePrekeys(ctx, c, h, keys); err != nil {
		return nil, err
	} else if !first {
		return e.acceptedMeanwhile(ctx, c, env, m, from, text(ErrDuplicate, "the handshake was accepted before"))
	}
	s := &session{
		tag: env.Tag, remote: cert.Name, lane: env.Lane, state: r.Next, seenSeq: o.seq, born: e.nowUS(),
		until: min(cert.NotAfter.UnixMicro(), e.self.certificate.NotAfter.UnixMicro()),
	}
	if keys.setBack {
		s.slot = -randomSlot()
	}
	if err := e.install(ctx, c, s, cert); err != nil {
		return nil, err
	}
	if err := e.keepSkipped(ctx, c, s.tag, sessionKeys, r); err != nil {
		return nil, err
	}
	return o, e.act(ctx, c, o, s.until)
}

// acceptedMeanwhile looks again for the session of a handshake whose keys are gone:
// another transaction may have opened another message of it, and committed.
func (e *core) acceptedMeanwhile(ctx context.Context, c sqltx.Conn, env *Envelope, m *bus.Message, from []string, err error) (*opened, error) {
	if !errors.Is(err, ErrDuplicate) && !errors.Is(err, ErrExpired) {
		return nil, err
	}
	s, serr := e.sessionByTag(ctx, c, env.Tag)
	switch {
	case serr != nil:
		return nil, serr
	case s == nil:
		return nil, err
	}
	return e.openKnown(ctx, c, s, env, m, from)
}

// install writes a session that a peer has begun: it is sealed with from here on, as
// both sides go by what was received last. One that may have begun before a restore is for
// opening only.
func (e *core) install(ctx context.Context, c sqltx.Conn, s *session, cert *Certificate) error {
	if err := e.remember(ctx, c, cert); err != nil {
		return err
	}
	number, low, err := e.streamOf(ctx, c, s.remote, s.lane)
	if err != nil {
		return err
	}
	var seq uint64
	if s.slot == 0 {
		if _, seq, err = e.retire(ctx, c, s.remote, s.lane); err != nil {
			return err
		}
	}
	s.stream, s.seq = number, max(low, seq)
	inserted, err := e.insertSession(ctx, c, s)
	if err == nil && !inserted {
		err = text(ErrConflict, "a session that begins")
	}
	return err
}
