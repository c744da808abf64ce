package record_test

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"testing"

	"github.com/waxwing-mq/waxwing/internal/record"
)

// recordsOf copies the records of a batch.
func recordsOf(t testing.TB, batch []byte) []record.Record {
	t.Helper()
	var records []record.Record
	err := record.Iterate(batch, func(r record.Record) bool {
		r.Key, r.Value = bytes.Clone(r.Key), bytes.Clone(r.Value)
		var headers []record.RecordHeader
		for _, h := range r.Headers {
			headers = append(headers, record.RecordHeader{Key: bytes.Clone(h.Key), Value: bytes.Clone(h.Value)})
		}
		r.Headers = headers
		records = append(records, r)
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	return records
}

// seal makes the length and checksum of b right, so that what else is wrong
// with it can be seen.
func seal(b []byte) []byte {
	if len(b) >= record.HeaderLen {
		binary.BigEndian.PutUint32(b[8:], uint32(len(b)-12))
		binary.BigEndian.PutUint32(b[17:], crc32.Checksum(b[21:], crc32.MakeTable(crc32.Castagnoli)))
	}
	return b
}
