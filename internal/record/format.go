// Package record reads, checks, patches and writes the Kafka v2 record batch,
// the one noun that all packages of Waxwing share. It does no I/O.
//
// A batch is kept byte for byte as its producer sent it; the broker changes
// only the base offset and the leader epoch (Patch), and the maximum
// timestamp, timestamp type and checksum where Kafka does (Validate,
// StampLogAppendTime). docs/format/record-batch.md gives the rules in prose.
//
// Functions never keep a reference to a slice that they are given. All of
// them may be called from any goroutine, on different slices.
package record

import "hash/crc32"

// A batch (Kafka protocol guide, "Record Batch"; all integers big endian):
//
//	offset size field
//	   0    8   base offset             of the first record; set by the broker
//	   8    4   length                  bytes after this field
//	  12    4   partition leader epoch  set by the broker
//	  16    1   magic                   2
//	  17    4   CRC-32C                 of everything from offset 21 to the end
//	  21    2   attributes              see below
//	  23    4   last offset delta       last offset = base offset + this
//	  27    8   base timestamp          ms since 1970; records hold deltas to it
//	  35    8   max timestamp           ms since 1970; -1 if no record has one
//	  43    8   producer id             -1: not idempotent
//	  51    2   producer epoch
//	  53    4   base sequence
//	  57    4   record count
//	  61    …   records                 compressed as one block, or plain
//
// Attributes, from the lowest bit: 0–2 codec, 3 timestamp type (1 is
// LogAppendTime), 4 transactional, 5 control, 6 base timestamp is a delete
// horizon (set only by compaction), 7–15 unused.
//
// A record (varint: zigzag, at most 5 bytes; varlong: at most 10):
//
//	varint   length            bytes after this field
//	int8     attributes        unused
//	varlong  timestamp delta   to the base timestamp
//	varint   offset delta      to the base offset
//	varint   key length        -1: null
//	…        key
//	varint   value length      -1: null
//	…        value
//	varint   header count
//	         per header: varint key length, key, varint value length (-1: null), value
const (
	offBaseOffset      = 0
	offLength          = 8
	offLeaderEpoch     = 12
	offMagic           = 16
	offCRC             = 17
	offAttributes      = 21
	offLastOffsetDelta = 23
	offBaseTimestamp   = 27
	offMaxTimestamp    = 35
	offProducerID      = 43
	offProducerEpoch   = 51
	offBaseSequence    = 53
	offCount           = 57

	// HeaderLen is the size of a batch without its records, in bytes.
	HeaderLen = 61

	// overhead is what the length field does not count.
	overhead = offLength + 4

	// minRecord is the smallest record there can be: seven one-byte fields.
	minRecord = 7
)

const (
	attrCodec         = 0x07
	attrLogAppendTime = 0x08
	attrTransactional = 0x10
	attrControl       = 0x20
	attrDeleteHorizon = 0x40
)

// Magic is the only batch version that is accepted.
const Magic = 2

// NoTimestamp stands for the timestamp of a record that has none.
const NoTimestamp = -1

// Codec is how the records of a batch are compressed.
type Codec uint8

// The codecs of the protocol. 5 to 7 fit the field and mean nothing.
const (
	None Codec = iota
	Gzip
	Snappy
	LZ4
	Zstd
)

// String is the codec's name as `compression.type` spells it.
func (c Codec) String() string {
	switch c {
	case None:
		return "none"
	case Gzip:
		return "gzip"
	case Snappy:
		return "snappy"
	case LZ4:
		return "lz4"
	case Zstd:
		return "zstd"
	}
	return "unknown"
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// checksum is the CRC-32C of a whole batch.
func checksum(batch []byte) uint32 { return crc32.Checksum(batch[offAttributes:], castagnoli) }
