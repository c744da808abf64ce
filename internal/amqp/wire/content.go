package wire

import (
	"encoding/binary"
	"math"
)

// ContentHeader is the payload of a header frame: it follows a method that has
// content, and says how many bytes of body come in the frames after it.
//
//	0       2        4            12
//	+-------+--------+------------+--------------+
//	| class | weight | body size  | properties … |
//	| u16   | u16, 0 | u64, bytes |              |
//	+-------+--------+------------+--------------+
type ContentHeader struct {
	BodySize   uint64 // bytes, of all body frames together
	Properties RawProperties
}

// contentHeaderLen is the size of a header's payload without the properties.
const contentHeaderLen = 12

// ParseContentHeader reads the payload of a header frame; the properties alias
// it. One that is cut off is a FrameError, one of another class than basic or
// with a weight an UnexpectedFrame, malformed properties are a SyntaxError.
// The size of the body is the caller's to limit.
func ParseContentHeader(payload []byte) (ContentHeader, error) {
	if len(payload) < contentHeaderLen {
		return ContentHeader{}, newError(FrameError, "content header of %d bytes", len(payload))
	}
	class, weight := binary.BigEndian.Uint16(payload), binary.BigEndian.Uint16(payload[2:])
	if class != ClassBasic || weight != 0 {
		return ContentHeader{}, newError(UnexpectedFrame, "content header for class %d with weight %d", class, weight)
	}
	properties, err := ParseProperties(payload[contentHeaderLen:])
	if err != nil {
		return ContentHeader{}, err
	}
	return ContentHeader{BodySize: binary.BigEndian.Uint64(payload[4:]), Properties: properties}, nil
}

// AppendContentHeader appends a header frame to dst. The protocol cannot split
// it.
func AppendContentHeader(dst []byte, channel uint16, h ContentHeader) []byte {
	p := h.Properties.Bytes()
	dst = AppendFrameHeader(dst, TypeHeader, channel, uint32(contentHeaderLen+len(p)))
	dst = append(dst, 0, ClassBasic, 0, 0)
	dst = binary.BigEndian.AppendUint64(dst, h.BodySize)
	return append(append(dst, p...), FrameEnd)
}

// AppendBody appends body to dst in as many frames as frameMax, in bytes,
// asks for; none if it is empty. 0 is no limit.
func AppendBody(dst []byte, channel uint16, frameMax uint32, body []byte) []byte {
	for most := PayloadMax(frameMax); len(body) > 0; {
		n := min(len(body), most)
		dst = AppendFrameHeader(dst, TypeBody, channel, uint32(n))
		dst = append(append(dst, body[:n]...), FrameEnd)
		body = body[n:]
	}
	return dst
}

// PayloadMax is the largest payload, in bytes, of a frame within frameMax, of
// which 0 is no limit. It is at least 1.
func PayloadMax(frameMax uint32) int {
	if frameMax == 0 {
		return math.MaxInt32
	}
	return max(int(frameMax)-FrameOverhead, 1)
}
