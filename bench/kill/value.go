package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
)

// A record's value says which record it is, and its length and filler are
// random but known, so that a reader notices any byte that is not as sent:
//
//	0   producer   uint32
//	4   partition  uint32
//	8   sequence   uint64, from 0 on for each producer and partition
//	16  filler     a piece of the pattern; where it begins follows from the above
const valueHeadBytes = 16

// ident names a record within its partition. 0 names none.
type ident uint64

const (
	sequenceBits = 48
	producersMax = 1<<(64-sequenceBits) - 1
)

func newIdent(producer int, sequence uint64) ident {
	return ident(uint64(producer+1)<<sequenceBits | sequence)
}

func (id ident) producer() int    { return int(id>>sequenceBits) - 1 }
func (id ident) sequence() uint64 { return uint64(id) & (1<<sequenceBits - 1) }

func (id ident) String() string {
	if id == 0 {
		return "nothing"
	}
	return fmt.Sprintf("record %d of producer %d", id.sequence(), id.producer())
}

const (
	patternBytes = 1 << 18
	fillerMax    = 64 << 10
)

// pattern does not compress, so that what is sent is what is stored.
var pattern = func() []byte {
	b := make([]byte, patternBytes)
	rng := rand.NewChaCha8([32]byte{1})
	_, _ = rng.Read(b) // it never fails
	return b
}()

// filler is the piece of the pattern that belongs to a record.
func filler(id ident, partition int32, n int) []byte {
	at := (uint64(id)*0x9e3779b97f4a7c15 + uint64(partition)) >> 32 % (patternBytes - fillerMax)
	return pattern[at:][:n]
}

// appendValue appends the value of a record with n bytes of filler, at most
// fillerMax.
func appendValue(v []byte, id ident, partition int32, n int) []byte {
	v = append(v, make([]byte, valueHeadBytes)...)
	binary.BigEndian.PutUint32(v, uint32(id.producer()))
	binary.BigEndian.PutUint32(v[4:], uint32(partition))
	binary.BigEndian.PutUint64(v[8:], id.sequence())
	return append(v, filler(id, partition, n)...)
}

// decodeValue says which record a value is. It fails if that was never sent
// to the partition.
func decodeValue(v []byte, partition int32) (ident, error) {
	if len(v) < valueHeadBytes || len(v) > valueHeadBytes+fillerMax {
		return 0, fmt.Errorf("a value of %d bytes was never sent", len(v))
	}
	producer, sequence := binary.BigEndian.Uint32(v), binary.BigEndian.Uint64(v[8:])
	if producer >= producersMax || sequence>>sequenceBits != 0 {
		return 0, fmt.Errorf("record %d of producer %d was never sent", sequence, producer)
	}
	id := newIdent(int(producer), sequence)
	if p := int32(binary.BigEndian.Uint32(v[4:])); p != partition {
		return 0, fmt.Errorf("%v was sent to partition %d and is in partition %d", id, p, partition)
	}
	if !bytes.Equal(v[valueHeadBytes:], filler(id, partition, len(v)-valueHeadBytes)) {
		return 0, fmt.Errorf("%v has other bytes than were sent", id)
	}
	return id, nil
}
