package record

import "encoding/binary"

// Patch writes the base offset and the leader epoch into the batch that
// starts b. Both lie outside the checksum. It panics if b is shorter than a
// header.
func Patch(b []byte, baseOffset int64, leaderEpoch int32) {
	b = b[:HeaderLen]
	binary.BigEndian.PutUint64(b[offBaseOffset:], uint64(baseOffset))
	binary.BigEndian.PutUint32(b[offLeaderEpoch:], uint32(leaderEpoch))
}

// StampLogAppendTime makes nowMillis, in milliseconds since 1970, the
// timestamp of every record of b, exactly one whole batch: it sets the
// timestamp type bit and the maximum timestamp, by which readers then go, and
// renews the checksum. The records and the base timestamp stay as they are.
// It panics if b is shorter than a header.
func StampLogAppendTime(b []byte, nowMillis int64) {
	attributes := binary.BigEndian.Uint16(b[offAttributes:])
	binary.BigEndian.PutUint16(b[offAttributes:], attributes|attrLogAppendTime)
	setMaxTimestamp(b, nowMillis)
}

// setMaxTimestamp writes the maximum timestamp and the checksum.
func setMaxTimestamp(b []byte, millis int64) {
	binary.BigEndian.PutUint64(b[offMaxTimestamp:], uint64(millis))
	binary.BigEndian.PutUint32(b[offCRC:], checksum(b))
}

// VerifyCRC reports whether b is exactly one batch by its length field and
// its checksum is right.
func VerifyCRC(b []byte) bool {
	size, ok := PeekSize(b)
	return ok && size == len(b) && binary.BigEndian.Uint32(b[offCRC:]) == checksum(b)
}
