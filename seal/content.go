package seal

import (
	"encoding/binary"
	"math/bits"
	"slices"
	"strings"

	"github.com/waxwing-mq/waxwing/bus"
	"github.com/waxwing-mq/waxwing/internal/busrow"
)

// What is inside, by kind.
const (
	contentEvent        = 1
	contentDistribution = 2 // a group's sender key, for its members
	contentGreeting     = 3 // nothing
)

// content is what an envelope holds, encrypted:
//
//	1 version │ 1 kind │ 16 tag │ sender │ recipient │ id │ topic │ key │ type │ content type │ lane │ stream │ sequence │ headers │ body │ zeros
//
// Texts, headers (internal/busrow) and the body are a length (uvarint) and bytes, numbers
// are uvarints. All but content type, headers and body are repeated from outside, and
// compared. Zeros fill up to a bucket.
type content struct {
	kind                       byte
	tag                        [16]byte
	sender, recipient          string
	id, topic, key, typ, ctype string
	lane                       int
	stream                     uint32
	seq                        uint64
	headers                    []bus.Header
	body                       []byte
}

const contentVersion = 1

// textMax bounds each text of a content; the whole is bounded by the message.
const textMax = 1 << 16

// bucketed is the size up to which n bytes are padded: a multiple of 256 up to 2 KiB,
// then of an eighth of the power of two below. At most 12.5 % are added to what is
// larger.
func bucketed(n int) int {
	step := 256
	if n > 2048 {
		step = 1 << (bits.Len(uint(n-1)) - 1) / 8
	}
	return (n + step - 1) / step * step
}

func (c *content) encode() []byte {
	b := make([]byte, 0, len(c.body)+512)
	b = append(b, contentVersion, c.kind)
	b = append(b, c.tag[:]...)
	for _, s := range []string{c.sender, c.recipient, c.id, c.topic, c.key, c.typ, c.ctype} {
		b = appendText(b, s)
	}
	b = binary.AppendUvarint(b, uint64(c.lane))
	b = binary.AppendUvarint(b, uint64(c.stream))
	b = binary.AppendUvarint(b, c.seq)
	b = appendText(b, busrow.EncodeHeaders(c.headers))
	b = appendText(b, c.body)
	return append(b, make([]byte, bucketed(len(b))-len(b))...)
}

func decodeContent(b []byte) (*content, error) {
	r := &reader{b: b}
	if r.byte() != contentVersion {
		return nil, text(ErrMismatch, "a content of a version that this release does not know")
	}
	c := &content{kind: r.byte()}
	copy(c.tag[:], r.take(16))
	for _, s := range []*string{&c.sender, &c.recipient, &c.id, &c.topic, &c.key, &c.typ, &c.ctype} {
		*s = string(r.text(textMax))
	}
	c.lane, c.stream, c.seq = int(r.uvarint()), uint32(r.uvarint()), r.uvarint()
	headers := r.text(len(b))
	c.body = slices.Clone(r.text(len(b)))
	if r.failed {
		return nil, text(ErrMismatch, "a content is damaged")
	}
	var err error
	if c.headers, err = busrow.DecodeHeaders(headers); err != nil {
		return nil, because(ErrMismatch, err)
	}
	for i := range c.headers {
		c.headers[i].Value = slices.Clone(c.headers[i].Value)
	}
	return c, nil
}

// agrees compares what is inside with what is outside: of a session, or sender key, of
// these two, for this message.
func (c *content) agrees(env *Envelope, m *bus.Message, sender, recipient string) error {
	switch {
	case c.tag != env.Tag:
		return text(ErrMismatch, "the session's tag")
	case c.sender != sender || c.recipient != recipient:
		return text(ErrMismatch, "sender or recipient")
	case c.id != m.ID:
		return text(ErrMismatch, "the id")
	case c.topic != m.Topic:
		return text(ErrMismatch, "the topic")
	case c.key != m.Key:
		return text(ErrMismatch, "the key")
	case c.typ != m.Type:
		return text(ErrMismatch, "the type")
	case c.kind < contentEvent || c.kind > contentGreeting:
		return text(ErrMismatch, "a kind of content that this release does not know")
	}
	return nil
}

// stays says whether a header is not sealed: what relays, tracing and brokers need, and
// nothing of the message.
func stays(name string) bool {
	switch strings.ToLower(name) {
	case "traceparent", "tracestate", bus.HeaderSequence, HeaderSealed:
		return true
	}
	return false
}

// split divides headers into those that stay and those that are sealed. Ours are neither:
// they are of another message.
func split(headers []bus.Header) (outside, inside []bus.Header) {
	for _, h := range headers {
		switch {
		case h.Name == HeaderFrom || h.Name == HeaderSealed:
		case stays(h.Name):
			outside = append(outside, h)
		default:
			inside = append(inside, h)
		}
	}
	return outside, inside
}
