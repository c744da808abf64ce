package record

import "sync"

// Record is one record of a batch. A nil Key or Value is null, an empty one
// is not. Timestamp is in milliseconds since 1970, -1 if there is none.
type Record struct {
	Offset    int64
	Timestamp int64
	Key       []byte
	Value     []byte
	Headers   []RecordHeader
}

// RecordHeader is one header of a record. Keys are UTF-8 by the protocol's
// word, may repeat, and may be empty. A nil Value is null.
type RecordHeader struct {
	Key   []byte
	Value []byte
}

// Iterate calls fn for each record of b, exactly one whole batch, in order,
// until fn returns false. Offsets are absolute; with LogAppendTime every
// timestamp is the batch's maximum. Control batches are iterated as any
// other.
//
// Key, Value and the headers' bytes alias b if the batch is uncompressed, and
// else a buffer that is only valid until fn returns; Headers itself always is
// only valid until then.
//
// Iterate may be called by fn, and fn may block: so, other than Validate, it
// does not wait for other callers, and a compressed batch takes up to
// DecompressedLimit of memory until it returns. Who iterates for peers bounds
// how many do so at once.
//
// b should have been validated: the checksum is not looked at. Nothing in b
// can make it panic or decompress more than DecompressedLimit. A malformed
// batch gives an *Error, after the records before the fault.
func Iterate(b []byte, fn func(Record) bool) error {
	h, err := ReadHeader(b)
	if err != nil {
		return err
	}
	if h.Size() != len(b) {
		return batchError(Corrupt, "batch of %d bytes in %d", h.Size(), len(b))
	}
	plain := b[HeaderLen:]
	if h.Codec() != None && h.NumRecords > 0 {
		d := decoders.Get().(*decoder)
		defer d.recycle()
		if plain, err = d.decompress(h.Codec(), plain, DecompressedLimit); err != nil {
			return err
		}
	}
	return iteratePlain(&h, plain, fn)
}

// headerSlices holds *[]RecordHeader, so that iterating allocates nothing.
var headerSlices = sync.Pool{New: func() any { return new([]RecordHeader) }}

func iteratePlain(h *Header, plain []byte, fn func(Record) bool) error {
	headers := headerSlices.Get().(*[]RecordHeader)
	defer func() {
		clear((*headers)[:cap(*headers)]) // pin no batch
		headerSlices.Put(headers)
	}()
	last := int32(-1)
	var r rawRecord
	for i := range int(h.NumRecords) {
		size, fault := parseRecord(plain, &r)
		if fault != "" {
			return recordError(InvalidRecord, i, "%s", fault)
		}
		// Compaction leaves gaps; order stays.
		if r.offsetDelta <= last || r.offsetDelta > h.LastOffsetDelta {
			return recordError(InvalidRecord, i, "offset delta %d after %d, last %d", r.offsetDelta, last, h.LastOffsetDelta)
		}
		last = r.offsetDelta
		*headers = appendHeaders((*headers)[:0], r.headers.of(plain), r.numHeaders)
		if !fn(resolve(h, &r, plain, *headers)) {
			return nil
		}
		plain = plain[size:]
	}
	if len(plain) > 0 {
		return batchError(InvalidRecord, "%d bytes after the last record", len(plain))
	}
	return nil
}

// resolve makes r's deltas absolute and its spans, which lie in plain, slices.
func resolve(h *Header, r *rawRecord, plain []byte, headers []RecordHeader) Record {
	ts := h.BaseTimestamp + r.timestampDelta
	if h.LogAppendTime() {
		ts = h.MaxTimestamp
	}
	return Record{
		Offset:    h.BaseOffset + int64(r.offsetDelta),
		Timestamp: ts,
		Key:       r.key.of(plain),
		Value:     r.value.of(plain),
		Headers:   headers,
	}
}

// appendHeaders decodes n headers from b, which parseRecord has checked.
func appendHeaders(dst []RecordHeader, b []byte, n int32) []RecordHeader {
	pos := 0
	for range n {
		var key, value span
		key, pos = readSpan(b, pos)
		value, pos = readSpan(b, pos)
		dst = append(dst, RecordHeader{Key: key.of(b), Value: value.of(b)})
	}
	return dst
}
