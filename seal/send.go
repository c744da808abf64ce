package seal

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/waxwing-mq/waxwing/bus"
	"github.com/waxwing-mq/waxwing/internal/sqltx"
	"github.com/waxwing-mq/waxwing/seal/ratchet"
)

// A job is a message that is to be sealed to a peer.
type job struct {
	to   string
	kind byte // of content
	m    *bus.Message

	lane  int
	laned bool // lane is not the key's
}

// sealAll seals messages, those of a session by one read and one write of its row.
// Sessions are taken in the order of their names, so that two transactions that seal to
// the same peers do not wait for each other. Messages change only if all goes well.
func (e *core) sealAll(ctx context.Context, c sqltx.Conn, jobs []job) error {
	if err := e.ready(); err != nil {
		return err
	}
	for i := range jobs {
		if !jobs[i].laned {
			jobs[i].lane = e.laneOf(jobs[i].m.Key)
		}
	}
	order := slices.Clone(jobs)
	slices.SortStableFunc(order, func(a, b job) int { return cmp.Or(cmp.Compare(a.to, b.to), cmp.Compare(a.lane, b.lane)) })
	var sealed []sealedMessage
	for len(order) > 0 {
		n := 1
		for n < len(order) && order[n].to == order[0].to && order[n].lane == order[0].lane {
			n++
		}
		some, err := e.sealTo(ctx, c, order[:n])
		if err != nil {
			return err
		}
		sealed, order = append(sealed, some...), order[n:]
	}
	for _, s := range sealed {
		s.apply()
	}
	return nil
}

// ready says whether anything may be sealed.
func (e *core) ready() error {
	if e.counter != nil && !e.checked.Load() {
		return text(ErrRolledBack, "the counter was not compared with the database yet (Check)")
	}
	return e.self.certificate.valid(e.now())
}

// A sealedMessage is what a message becomes.
type sealedMessage struct {
	m       *bus.Message
	body    []byte
	headers []bus.Header
}

func (s *sealedMessage) apply() {
	s.m.Body, s.m.Headers, s.m.ContentType = s.body, s.headers, ContentType
}

// seen is what HeaderSealed says.
func (e *core) seen(stream uint32, seq uint64) bus.Header {
	return bus.Header{Name: HeaderSealed, Value: []byte(strconv.FormatUint(uint64(stream), 10) + ":" + strconv.FormatUint(seq, 10) + ":" + e.local)}
}

// sealTo seals messages of one peer and lane.
func (e *core) sealTo(ctx context.Context, c sqltx.Conn, jobs []job) ([]sealedMessage, error) {
	if out, err := e.sealRecent(ctx, c, jobs); out != nil || err != nil {
		return out, err
	}
	for range 5 {
		s, err := e.sending(ctx, c, jobs[0].to, jobs[0].lane)
		if err != nil {
			return nil, err
		}
		out, err := e.sealJobs(s, jobs)
		e.used(s) // whatever becomes of the transaction
		if err != nil {
			return nil, err
		}
		if !s.isNew {
			if err := e.saveSession(ctx, c, s, false); err != nil {
				return nil, err
			}
			e.recent.keep(s)
			return out, nil
		}
		inserted, err := e.insertSession(ctx, c, s)
		if err != nil {
			return nil, err
		}
		if inserted {
			return out, e.dropBundle(ctx, c, s.remote, s.lane)
		}
		// Another transaction has begun the session meanwhile.
	}
	return nil, text(ErrConflict, "a session that begins")
}

// sending is the locked session for a peer and lane, or a new one that is not written yet.
func (e *core) sending(ctx context.Context, c sqltx.Conn, to string, lane int) (*session, error) {
	s, err := e.currentSession(ctx, c, to, lane)
	if err == nil && s == nil {
		// Who waited for a row that is not the current one any more is shown none by
		// PostgreSQL, also where another one is.
		s, err = e.currentSession(ctx, c, to, lane)
	}
	if err != nil {
		return nil, err
	}
	if s != nil && !e.outlived(s) && !e.marks.beyond(s.state.SendIndex()) {
		return s, e.numbered(ctx, c, s)
	}
	next, err := e.begin(ctx, c, to, lane)
	if err != nil || s == nil {
		return next, err
	}
	if _, _, err := e.retire(ctx, c, to, lane); err != nil {
		return nil, err
	}
	next.seq = max(next.seq, s.seq)
	return next, nil
}

// numbered gives a session its stream, if it has none.
func (e *core) numbered(ctx context.Context, c sqltx.Conn, s *session) error {
	if s.stream != noStream {
		return nil
	}
	number, low, err := e.stream(ctx, c, s.remote, s.lane)
	s.stream, s.seq = int64(number), max(s.seq, low)
	return err
}

// outlived says whether a session has to begin anew: one of the certificates that it
// began with has ended, or the peer has not answered for too long, or not before this
// identity had another key: its certificate would not be the handshake's.
func (e *core) outlived(s *session) bool {
	now := e.now()
	return now.UnixMicro() > s.until || len(s.handshake) > 0 && (now.Sub(time.UnixMicro(s.born)) > unanswered || s.state.Self() != e.self.certificate.Key)
}

// begin makes a session with a peer, by a bundle.
func (e *core) begin(ctx context.Context, c sqltx.Conn, to string, lane int) (*session, error) {
	b, err := e.bundle(ctx, c, to, lane)
	if err != nil {
		return nil, err
	}
	cert, err := e.trust(ctx, c, b.Certificate, to)
	if err != nil {
		return nil, err
	}
	public, err := bundleOf(b, cert.Key, e.profile)
	if err != nil {
		return nil, err
	}
	state, h, err := ratchet.Initiate(e.rand, e.profile, e.self.key, e.self.registration, public)
	if err != nil {
		return nil, translated(err)
	}
	if err := e.remember(ctx, c, cert); err != nil {
		return nil, err
	}
	number, low, err := e.stream(ctx, c, to, lane)
	if err != nil {
		return nil, err
	}
	return &session{
		tag: sessionTag(e.local, h.Base), remote: to, lane: lane, stream: int64(number), seq: low, state: state, handshake: h.Encode(),
		born: e.nowUS(), until: min(cert.NotAfter.UnixMicro(), e.self.certificate.NotAfter.UnixMicro()), isNew: true,
	}, nil
}

// sealOne moves a session on by a message.
func (e *core) sealOne(s *session, j job) (sealedMessage, error) {
	m := j.m
	outside, inside := split(m.Headers)
	s.seq++
	in := content{
		kind: j.kind, tag: s.tag, sender: e.local, recipient: s.remote, id: m.ID, topic: m.Topic, key: m.Key, typ: m.Type, ctype: m.ContentType,
		lane: s.lane, stream: uint32(s.stream), seq: s.seq, headers: inside, body: m.Body,
	}
	env := Envelope{Profile: e.profile, Kind: KindMessage, Tag: s.tag}
	if len(s.handshake) > 0 {
		env.Kind, env.Sender, env.Recipient, env.Lane, env.Certificate = KindHandshake, e.local, s.remote, s.lane, e.self.certificate.Bytes()
	}
	if err := in.fits(); err != nil {
		return sealedMessage{}, err
	}
	head := env.header()
	if err := e.unused(s); err != nil {
		return sealedMessage{}, err
	}
	next, body, err := s.state.Seal(e.rand, associated(e.profile, head), in.encode())
	if err != nil {
		return sealedMessage{}, failed(err)
	}
	s.state = next
	if len(s.handshake) > 0 {
		h, err := ratchet.DecodeHandshake(s.handshake)
		if err != nil {
			return sealedMessage{}, failed(err)
		}
		body = ratchet.EncodePreKeyMessage(h, body)
	}
	return sealedMessage{m, slices.Concat(head, body), append(outside, e.seen(uint32(s.stream), s.seq))}, nil
}

// unused moves a session past the numbers that this process has used, in transactions
// that were rolled back.
func (e *core) unused(s *session) error {
	chain, n := s.state.SendIndex()
	from := e.marks.from(chain)
	if from <= n {
		return nil
	}
	var err error
	if s.state, err = s.state.Burn(from); err != nil {
		return failed(err)
	}
	return nil
}

// associated is the associated data of a message, of which only one profile has any.
func associated(p ratchet.Profile, head []byte) []byte {
	if p == ratchet.WaxwingHE {
		return head
	}
	return nil
}

// fits refuses what could not be read back.
func (c *content) fits() error {
	for _, s := range []string{c.id, c.topic, c.key, c.typ, c.ctype} {
		if len(s) > textMax {
			return fmt.Errorf("seal: id, topic, key, type and content type have at most %d bytes each", textMax)
		}
	}
	return nil
}

// isControl says whether a message is one of ours already, to a peer's endpoint (Greet,
// Group.Seal): a pattern may fit its control topic.
func isControl(m *bus.Message) bool {
	return strings.HasSuffix(m.Topic, controlSuffix) && m.ContentType == ContentType && isEnvelope(m.Body)
}

// sealEvents seals what the rules say.
func (e *core) sealEvents(ctx context.Context, c sqltx.Conn, msgs []bus.Message) ([]bus.Message, error) {
	var jobs []job
	groups := map[string][]*bus.Message{}
	var names []string
	for i := range msgs {
		m := &msgs[i]
		r := find(e.routes.out, m.Topic)
		switch {
		case r == nil || isControl(m):
		case r.group != "":
			if groups[r.group] == nil {
				names = append(names, r.group)
			}
			groups[r.group] = append(groups[r.group], m)
		default:
			jobs = append(jobs, job{to: r.peer, kind: contentEvent, m: m})
		}
	}
	if err := e.counting(e.sealAll(ctx, c, jobs), len(jobs)); err != nil {
		return nil, err
	}
	slices.Sort(names)
	var extra []bus.Message
	for _, name := range names {
		more, err := e.sealGroup(ctx, c, name, groups[name])
		if err := e.counting(err, len(groups[name])); err != nil {
			return nil, err
		}
		extra = append(extra, more...)
	}
	if len(extra) == 0 {
		return msgs, nil
	}
	return append(extra, msgs...), nil
}
