package record

import (
	"encoding/binary"
	"iter"
	"math"
)

// Header is the fixed part of a batch, field by field. Timestamps are
// milliseconds since 1970.
type Header struct {
	BaseOffset      int64
	Length          int32 // bytes after the length field; Size is the whole
	LeaderEpoch     int32
	Magic           int8
	CRC             uint32
	Attributes      int16
	LastOffsetDelta int32
	BaseTimestamp   int64
	MaxTimestamp    int64
	ProducerID      int64
	ProducerEpoch   int16
	BaseSequence    int32
	NumRecords      int32
}

// ReadHeader decodes the header at the front of b, which need not hold the
// records. It fails with UnsupportedMagic, or with Corrupt when b is shorter
// than a header or the length field cannot be that of a batch. It checks
// nothing else.
func ReadHeader(b []byte) (Header, error) {
	// The magic byte stands at the same place in every version, so a batch
	// of another version is told from damage.
	if len(b) > offMagic && b[offMagic] != Magic {
		return Header{}, batchError(UnsupportedMagic, "magic %d, want %d", int8(b[offMagic]), Magic)
	}
	if len(b) < HeaderLen {
		return Header{}, batchError(Corrupt, "%d bytes are less than a batch header", len(b))
	}
	h := decodeHeader(b)
	if h.Length < HeaderLen-overhead {
		return Header{}, batchError(Corrupt, "length field %d is less than a batch header", h.Length)
	}
	return h, nil
}

func decodeHeader(b []byte) Header {
	b = b[:HeaderLen]
	return Header{
		BaseOffset:      int64(binary.BigEndian.Uint64(b[offBaseOffset:])),
		Length:          int32(binary.BigEndian.Uint32(b[offLength:])),
		LeaderEpoch:     int32(binary.BigEndian.Uint32(b[offLeaderEpoch:])),
		Magic:           int8(b[offMagic]),
		CRC:             binary.BigEndian.Uint32(b[offCRC:]),
		Attributes:      int16(binary.BigEndian.Uint16(b[offAttributes:])),
		LastOffsetDelta: int32(binary.BigEndian.Uint32(b[offLastOffsetDelta:])),
		BaseTimestamp:   int64(binary.BigEndian.Uint64(b[offBaseTimestamp:])),
		MaxTimestamp:    int64(binary.BigEndian.Uint64(b[offMaxTimestamp:])),
		ProducerID:      int64(binary.BigEndian.Uint64(b[offProducerID:])),
		ProducerEpoch:   int16(binary.BigEndian.Uint16(b[offProducerEpoch:])),
		BaseSequence:    int32(binary.BigEndian.Uint32(b[offBaseSequence:])),
		NumRecords:      int32(binary.BigEndian.Uint32(b[offCount:])),
	}
}

// encode writes the header into b, which holds at least HeaderLen bytes.
func (h *Header) encode(b []byte) {
	b = b[:HeaderLen]
	binary.BigEndian.PutUint64(b[offBaseOffset:], uint64(h.BaseOffset))
	binary.BigEndian.PutUint32(b[offLength:], uint32(h.Length))
	binary.BigEndian.PutUint32(b[offLeaderEpoch:], uint32(h.LeaderEpoch))
	b[offMagic] = byte(h.Magic)
	binary.BigEndian.PutUint32(b[offCRC:], h.CRC)
	binary.BigEndian.PutUint16(b[offAttributes:], uint16(h.Attributes))
	binary.BigEndian.PutUint32(b[offLastOffsetDelta:], uint32(h.LastOffsetDelta))
	binary.BigEndian.PutUint64(b[offBaseTimestamp:], uint64(h.BaseTimestamp))
	binary.BigEndian.PutUint64(b[offMaxTimestamp:], uint64(h.MaxTimestamp))
	binary.BigEndian.PutUint64(b[offProducerID:], uint64(h.ProducerID))
	binary.BigEndian.PutUint16(b[offProducerEpoch:], uint16(h.ProducerEpoch))
	binary.BigEndian.PutUint32(b[offBaseSequence:], uint32(h.BaseSequence))
	binary.BigEndian.PutUint32(b[offCount:], uint32(h.NumRecords))
}

// Size is the whole batch in bytes, header included.
func (h *Header) Size() int { return overhead + int(h.Length) }

// LastOffset is the offset of the batch's last record. After compaction that
// record itself may be gone.
func (h *Header) LastOffset() int64 { return h.BaseOffset + int64(h.LastOffsetDelta) }

// Codec is how the records are compressed; it may be an unknown one.
func (h *Header) Codec() Codec { return Codec(h.Attributes & attrCodec) }

// LogAppendTime reports whether MaxTimestamp is the time of the append and
// holds for every record.
func (h *Header) LogAppendTime() bool { return h.Attributes&attrLogAppendTime != 0 }

// Transactional reports whether the batch is part of a transaction.
func (h *Header) Transactional() bool { return h.Attributes&attrTransactional != 0 }

// Control reports whether the batch holds a marker that consumers never see.
func (h *Header) Control() bool { return h.Attributes&attrControl != 0 }

// Idempotent reports whether the batch carries a producer id.
func (h *Header) Idempotent() bool { return h.ProducerID >= 0 }

// LastSequence is the sequence number of the last record. Sequences go from
// 2³¹−1 back to 0. It is meaningful only if Idempotent.
func (h *Header) LastSequence() int32 {
	return int32((int64(h.BaseSequence) + int64(h.LastOffsetDelta)) & math.MaxInt32)
}

// PeekSize is the size in bytes of the batch that starts b, header included,
// read from its length field alone; b may hold less than that. ok is false if
// b is too short to tell, or if the field cannot be that of a batch.
func PeekSize(b []byte) (size int, ok bool) {
	if len(b) < overhead {
		return 0, false
	}
	length := int32(binary.BigEndian.Uint32(b[offLength:]))
	if length < HeaderLen-overhead || length > math.MaxInt32-overhead {
		return 0, false
	}
	return overhead + int(length), true
}

// Batches yields the consecutive batches of b, each a slice of it. It ends
// before the first that is not whole; the caller can tell by the bytes that
// are left over. Nothing but the lengths is looked at.
func Batches(b []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for rest := b; ; {
			size, ok := PeekSize(rest)
			if !ok || size > len(rest) || !yield(rest[:size:size]) {
				return
			}
			rest = rest[size:]
		}
	}
}
