package record

// rawRecord is a record as it stands in a batch. Its spans are within the
// bytes that parseRecord was given.
type rawRecord struct {
	timestampDelta int64
	offsetDelta    int32
	numHeaders     int32
	key, value     span
	headers        span // encoded, without their count
}

// parseRecord reads the record at the front of b into r and returns its size
// in bytes. Everything is in bounds when fault is empty; else fault says what
// is wrong.
func parseRecord(b []byte, r *rawRecord) (size int, fault string) {
	length, pos := readVarint(b, 0)
	if pos < 0 || length < 0 || int(length) > len(b)-pos {
		return 0, "record length is malformed or exceeds the batch"
	}
	if length == 0 {
		return 0, "record is empty"
	}
	size = pos + int(length)
	b = b[:size]
	pos++ // attributes: unused
	if r.timestampDelta, pos = readVarlong(b, pos); pos < 0 {
		return 0, "timestamp delta is malformed"
	}
	if r.offsetDelta, pos = readVarint(b, pos); pos < 0 {
		return 0, "offset delta is malformed"
	}
	if r.key, pos = readSpan(b, pos); pos < 0 {
		return 0, "key is malformed or exceeds the record"
	}
	if r.value, pos = readSpan(b, pos); pos < 0 {
		return 0, "value is malformed or exceeds the record"
	}
	if r.numHeaders, pos = readVarint(b, pos); pos < 0 || r.numHeaders < 0 {
		return 0, "header count is malformed or negative"
	}
	r.headers = span{pos, size}
	if r.numHeaders == 0 && pos == size {
		return size, ""
	}
	return size, checkHeaders(b[pos:], r.numHeaders)
}

// checkHeaders reports what is wrong if b is not exactly n headers. It stops
// at the end of b however large n is.
func checkHeaders(b []byte, n int32) (fault string) {
	pos := 0
	for range n {
		var key span
		if key, pos = readSpan(b, pos); pos < 0 {
			return "header key is malformed or exceeds the record"
		}
		if key.isNull() {
			return "header key is null"
		}
		if _, pos = readSpan(b, pos); pos < 0 {
			return "header value is malformed or exceeds the record"
		}
	}
	if pos != len(b) {
		return "bytes left over after the last header"
	}
	return ""
}
