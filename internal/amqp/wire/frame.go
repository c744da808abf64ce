package wire

import "encoding/binary"

// A frame (AMQP 0-9-1, section 4.2.3; all integers big endian):
//
//	0      1         3      7           7+size
//	+------+---------+------+-----------+------+
//	| type | channel | size | payload … | 0xCE |
//	| u8   | u16     | u32  |           | u8   |
//	+------+---------+------+-----------+------+
//
// The payload is, by type:
//
//	1 method     class u16, method u16, then the method's fields
//	2 header     class u16, weight u16 (0), body size u64, then properties
//	3 body       bytes of the content
//	8 heartbeat  nothing; channel 0
const (
	// FrameHeaderLen is the size of what stands before the payload.
	FrameHeaderLen = 7
	// FrameOverhead is the size of a frame without its payload.
	FrameOverhead = FrameHeaderLen + 1
	// FrameEnd is the last octet of every frame.
	FrameEnd = 0xCE
	// FrameMaxMin is the smallest frame-max that peers may agree on.
	FrameMaxMin = 4096

	offChannel = 1
	offSize    = 3
)

// FrameType is the first octet of a frame.
type FrameType uint8

// The frame types.
const (
	TypeMethod    FrameType = 1
	TypeHeader    FrameType = 2
	TypeBody      FrameType = 3
	TypeHeartbeat FrameType = 8
)

// FrameHeader is what stands before a frame's payload.
type FrameHeader struct {
	Type    FrameType
	Channel uint16
	Size    uint32 // of the payload, in bytes
}

// Frame is a whole frame. The payload aliases what it was parsed from.
type Frame struct {
	Type    FrameType
	Channel uint16
	Payload []byte
}

// ParseFrameHeader reads and checks the header of a frame, so that the caller
// may then take h.Size+1 bytes for payload and end octet.
//
// frameMax is the frame-max that the peers agreed on; where they agreed on
// none (0), the caller puts a limit of its own. As in RabbitMQ a payload may
// have frameMax bytes, though frameMax should count the frame's other 8 too:
// some clients get that wrong.
//
// A size above that, an unknown type and a heartbeat with a payload are a
// FrameError, a heartbeat on a channel an UnexpectedFrame.
func ParseFrameHeader(b [FrameHeaderLen]byte, frameMax uint32) (FrameHeader, error) {
	h := FrameHeader{
		Type:    FrameType(b[0]),
		Channel: binary.BigEndian.Uint16(b[offChannel:]),
		Size:    binary.BigEndian.Uint32(b[offSize:]),
	}
	if h.Size > frameMax {
		return h, newError(FrameError, "frame of type %d on channel %d has %d bytes, frame-max is %d", h.Type, h.Channel, h.Size, frameMax)
	}
	switch h.Type {
	case TypeMethod, TypeHeader, TypeBody:
		return h, nil
	case TypeHeartbeat:
		if h.Size != 0 {
			return h, newError(FrameError, "heartbeat of %d bytes", h.Size)
		}
		if h.Channel != 0 {
			return h, newError(UnexpectedFrame, "heartbeat on channel %d", h.Channel)
		}
		return h, nil
	}
	return h, newError(FrameError, "unknown frame type %d", h.Type)
}

// CheckFrameEnd checks the octet that follows a payload; any other than
// FrameEnd is a FrameError.
func CheckFrameEnd(end byte) error {
	if end != FrameEnd {
		return newError(FrameError, "frame ends in 0x%02x", end)
	}
	return nil
}

// ParseFrame reads the frame that b begins with. It returns the number of
// bytes that the frame takes, or 0 without an error while b does not hold all
// of it. frameMax and errors are those of ParseFrameHeader and CheckFrameEnd;
// a bad header is found as soon as b has its 7 bytes.
func ParseFrame(b []byte, frameMax uint32) (Frame, int, error) {
	if len(b) < FrameHeaderLen {
		return Frame{}, 0, nil
	}
	h, err := ParseFrameHeader([FrameHeaderLen]byte(b), frameMax)
	if err != nil {
		return Frame{}, 0, err
	}
	if uint64(len(b)) < uint64(h.Size)+FrameOverhead {
		return Frame{}, 0, nil
	}
	end := FrameHeaderLen + int(h.Size)
	if err := CheckFrameEnd(b[end]); err != nil {
		return Frame{}, 0, err
	}
	return Frame{Type: h.Type, Channel: h.Channel, Payload: b[FrameHeaderLen:end:end]}, end + 1, nil
}

// AppendFrameHeader appends a frame's header to dst. The caller adds size
// bytes of payload and FrameEnd; it is for writing a payload from where it
// lies.
func AppendFrameHeader(dst []byte, t FrameType, channel uint16, size uint32) []byte {
	return append(dst, byte(t), byte(channel>>8), byte(channel),
		byte(size>>24), byte(size>>16), byte(size>>8), byte(size))
}

// AppendHeartbeat appends a heartbeat frame to dst.
func AppendHeartbeat(dst []byte) []byte {
	return append(AppendFrameHeader(dst, TypeHeartbeat, 0, 0), FrameEnd)
}

// closeFrame ends the frame whose header, with a size of 0, stands at start.
func closeFrame(dst []byte, start int) []byte {
	size := len(dst) - start - FrameHeaderLen
	binary.BigEndian.PutUint32(dst[start+offSize:], uint32(size))
	return append(dst, FrameEnd)
}
