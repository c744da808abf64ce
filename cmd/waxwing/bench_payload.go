package main

import (
	"encoding/binary"
	"math/rand/v2"
	"time"
)

// The value of a record that bench sends, if it is long enough:
//
//	0        8        16       24
//	| run id | stamp  | number | hexadecimal filler …
//
// run id tells this run's records from others; stamp is when the record was
// due, in ns since the run's base; number is the producer's index in the upper
// 24 bits and the record's sequence in the lower 40. All are big-endian.
const (
	stampBytes   = 24
	sequenceBits = 40

	// warmUpSequence marks the records sent before the clock starts.
	warmUpSequence = 1<<sequenceBits - 1
)

// newPayload returns a value of size bytes whose filler compresses about two to
// one, as much data does.
func newPayload(size int, rng *rand.Rand) []byte {
	const digits = "0123456789abcdef"
	value := make([]byte, size)
	for i := range value {
		value[i] = digits[rng.IntN(len(digits))]
	}
	return value
}

// stamp writes run, stamp and number into value, if there is room.
func stamp(value []byte, run uint64, due time.Duration, producer int, sequence uint64) {
	if len(value) < stampBytes {
		return
	}
	binary.BigEndian.PutUint64(value, run)
	binary.BigEndian.PutUint64(value[8:], uint64(due))
	binary.BigEndian.PutUint64(value[16:], uint64(producer)<<sequenceBits|sequence)
}

// readStamp is the reverse of stamp; ok is false for a record of another run.
func readStamp(value []byte, run uint64) (due time.Duration, producer int, sequence uint64, ok bool) {
	if len(value) < stampBytes || binary.BigEndian.Uint64(value) != run {
		return 0, 0, 0, false
	}
	number := binary.BigEndian.Uint64(value[16:])
	return time.Duration(binary.BigEndian.Uint64(value[8:])),
		int(number >> sequenceBits), number & warmUpSequence, true
}
