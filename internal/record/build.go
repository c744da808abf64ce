package record

import (
	"fmt"
	"math"
)

// BatchSpec describes a batch to encode.
type BatchSpec struct {
	BaseOffset    int64
	LeaderEpoch   int32
	Codec         Codec
	Transactional bool
	Control       bool
	Producer      *Producer // nil: not idempotent
	Records       []Record

	// KeepOffsets encodes the records with their own offsets, which must
	// grow and lie between BaseOffset and LastOffset; gaps are allowed, and
	// so is a batch without records. That is what compaction leaves. Without
	// it the records' offsets are ignored and go on from BaseOffset.
	KeepOffsets bool
	LastOffset  int64
}

// Producer identifies an idempotent producer's batch.
type Producer struct {
	ID       int64
	Epoch    int16
	Sequence int32 // of the batch's first record
}

// Append encodes a batch behind dst and returns the extended slice. The base
// timestamp is that of the first record, the maximum timestamp that of all.
// What it encodes Validate accepts, unless it is a control batch or has gaps.
//
// It panics if the records are not what spec promises: none without
// KeepOffsets, offsets out of order or range, an unknown codec, timestamps
// more than 2⁶³ ms apart, or a batch beyond 2 GiB.
func Append(dst []byte, spec BatchSpec) []byte {
	h := specHeader(&spec)
	start := len(dst)
	dst = append(dst, make([]byte, HeaderLen)...)
	switch {
	case spec.Codec == None || len(spec.Records) == 0:
		dst = appendRecords(dst, &h, &spec)
	default:
		e := encoders.Get().(*encoder)
		e.plain = appendRecords(e.plain[:0], &h, &spec)
		dst = e.compress(dst, spec.Codec)
		e.recycle()
	}
	if len(dst)-start > math.MaxInt32 {
		panic("record: batch beyond 2 GiB")
	}
	batch := dst[start:]
	h.Length = int32(len(batch) - overhead)
	h.encode(batch)
	h.CRC = checksum(batch)
	h.encode(batch)
	return dst
}

// specHeader is the header of the batch, but for length and checksum.
func specHeader(spec *BatchSpec) Header {
	h := Header{
		BaseOffset:    spec.BaseOffset,
		LeaderEpoch:   spec.LeaderEpoch,
		Magic:         Magic,
		BaseTimestamp: NoTimestamp,
		MaxTimestamp:  NoTimestamp,
		ProducerID:    -1,
		ProducerEpoch: -1,
		BaseSequence:  -1,
		NumRecords:    int32(len(spec.Records)),
	}
	if len(spec.Records) > 0 {
		h.Attributes = int16(spec.Codec)
		h.BaseTimestamp = spec.Records[0].Timestamp
	}
	if spec.Transactional {
		h.Attributes |= attrTransactional
	}
	if spec.Control {
		h.Attributes |= attrControl
	}
	if p := spec.Producer; p != nil {
		h.ProducerID, h.ProducerEpoch, h.BaseSequence = p.ID, p.Epoch, p.Sequence
	}
	for i := range spec.Records {
		h.MaxTimestamp = max(h.MaxTimestamp, spec.Records[i].Timestamp)
	}
	h.LastOffsetDelta = lastOffsetDelta(spec)
	return h
}

func lastOffsetDelta(spec *BatchSpec) int32 {
	if !spec.KeepOffsets {
		if n := len(spec.Records); n == 0 || n > math.MaxInt32 {
			panic(fmt.Sprintf("record: batch of %d records", n))
		}
		return int32(len(spec.Records) - 1)
	}
	delta := spec.LastOffset - spec.BaseOffset
	if delta < 0 || delta > math.MaxInt32-1 {
		panic(fmt.Sprintf("record: batch from offset %d to %d", spec.BaseOffset, spec.LastOffset))
	}
	last := spec.BaseOffset - 1
	for i := range spec.Records {
		if o := spec.Records[i].Offset; o <= last || o > spec.LastOffset {
			panic(fmt.Sprintf("record: offset %d after %d, last is %d", o, last, spec.LastOffset))
		}
		last = spec.Records[i].Offset
	}
	return int32(delta)
}

func appendRecords(dst []byte, h *Header, spec *BatchSpec) []byte {
	for i := range spec.Records {
		r := &spec.Records[i]
		delta := int64(i)
		if spec.KeepOffsets {
			delta = r.Offset - spec.BaseOffset
		}
		ts := r.Timestamp - h.BaseTimestamp
		if (ts > 0) != (r.Timestamp > h.BaseTimestamp) && ts != 0 {
			panic("record: timestamps too far apart")
		}
		dst = appendRecord(dst, r, ts, delta)
	}
	return dst
}

func appendRecord(dst []byte, r *Record, timestampDelta, offsetDelta int64) []byte {
	size := 1 + varintLen(timestampDelta) + varintLen(offsetDelta) +
		bytesLen(r.Key) + bytesLen(r.Value) + varintLen(int64(len(r.Headers)))
	for i := range r.Headers {
		h := &r.Headers[i]
		size += varintLen(int64(len(h.Key))) + len(h.Key) + bytesLen(h.Value)
	}
	dst = appendVarint(dst, int64(size))
	dst = append(dst, 0)
	dst = appendVarint(dst, timestampDelta)
	dst = appendVarint(dst, offsetDelta)
	dst = appendBytes(dst, r.Key)
	dst = appendBytes(dst, r.Value)
	dst = appendVarint(dst, int64(len(r.Headers)))
	for i := range r.Headers {
		h := &r.Headers[i]
		dst = appendVarint(dst, int64(len(h.Key))) // never null
		dst = append(dst, h.Key...)
		dst = appendBytes(dst, h.Value)
	}
	return dst
}
