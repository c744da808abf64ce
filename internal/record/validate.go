package record

import "math"

// DecompressedLimit is the most that the records of one batch may decompress
// to, in bytes, whatever ValidateOptions says.
const DecompressedLimit = 64 << 20

// ValidateOptions are the rules of the topic and of the request. The zero
// value has no size limit but DecompressedLimit, leaves timestamps alone and
// refuses zstd.
type ValidateOptions struct {
	// MaxBytes bounds the batch as it came, compressed, header included:
	// the topic's max.message.bytes. 0 is no bound.
	MaxBytes int
	// DecompressedMax bounds what the records decompress to. 0, and what
	// is above it, stand for DecompressedLimit.
	DecompressedMax int
	// ZstdAllowed is set for Produce version 7 and later.
	ZstdAllowed bool

	// NowMillis is the time, in milliseconds since 1970; never negative.
	NowMillis int64
	// LogAppendTime makes NowMillis the timestamp of all records, as
	// StampLogAppendTime does, with one checksum less. Bounds are then not
	// checked.
	LogAppendTime bool
	// CheckTimestamps refuses records with a timestamp more than
	// BeforeMaxMillis before or AfterMaxMillis after NowMillis: the topic's
	// message.timestamp.before.max.ms and message.timestamp.after.max.ms.
	// math.MaxInt64, and anything negative, is no bound. A record without
	// timestamp (-1) passes.
	CheckTimestamps bool
	BeforeMaxMillis int64
	AfterMaxMillis  int64
}

// Info is what Validate has learnt about a batch.
type Info struct {
	Header                // as it stands in the batch after Validate
	FirstNullKey      int // index of the first record without a key; -1 if all have one
	DecompressedBytes int // size of the records, decompressed
}

// HasNullKey reports whether a record has no key, as a compacted topic does
// not allow.
func (i *Info) HasNullKey() bool { return i.FirstNullKey >= 0 }

// Validate checks that b is exactly one batch that a client may produce:
// version, length, checksum, attributes, producer fields, count, and every
// record, inside compressed batches too. All errors are of type *Error; b is
// then unchanged.
//
// If the header's maximum timestamp is not that of the records, it is
// corrected in b together with the checksum, as Kafka does; so b must be the
// caller's own. A batch that validated does so again, unchanged.
//
// Uncompressed batches allocate nothing. Others decompress into pooled memory
// of at most DecompressedMax, as many at once as there are processors; more
// callers wait.
func Validate(b []byte, opt ValidateOptions) (Info, error) {
	h, err := readEnvelope(b, &opt)
	if err != nil {
		return Info{}, err
	}
	if err := checkHeader(&h); err != nil {
		return Info{}, err
	}
	w := newWalker(&h, &opt)
	if err := w.walkBody(b[HeaderLen:]); err != nil {
		return Info{}, err
	}
	switch {
	case opt.LogAppendTime:
		StampLogAppendTime(b, opt.NowMillis)
		h = decodeHeader(b)
	case h.MaxTimestamp != w.maxTimestamp:
		setMaxTimestamp(b, w.maxTimestamp)
		h = decodeHeader(b)
	}
	return Info{Header: h, FirstNullKey: w.firstNullKey, DecompressedBytes: w.bytes}, nil
}

// readEnvelope checks what can be known without trusting a field: that b is
// one batch of the right version and size, and its checksum.
func readEnvelope(b []byte, opt *ValidateOptions) (Header, error) {
	if len(b) == 0 {
		return Header{}, batchError(InvalidRecord, "no record batch")
	}
	h, err := ReadHeader(b)
	if err != nil {
		return h, err
	}
	size := int64(overhead) + int64(h.Length)
	switch {
	case size > int64(len(b)):
		return h, batchError(Corrupt, "batch of %d bytes is cut at %d", size, len(b))
	case size < int64(len(b)):
		return h, batchError(InvalidRecord, "%d bytes after the batch; want exactly one batch", int64(len(b))-size)
	case opt.MaxBytes > 0 && len(b) > opt.MaxBytes:
		return h, batchError(TooLarge, "batch has %d bytes, the limit is %d", len(b), opt.MaxBytes)
	case h.Codec() > Zstd:
		return h, batchError(UnsupportedCompression, "unknown codec %d", h.Codec())
	case h.Codec() == Zstd && !opt.ZstdAllowed:
		return h, batchError(UnsupportedCompression, "zstd needs Produce version 7 or later")
	}
	if c := checksum(b); c != h.CRC {
		return h, batchError(Corrupt, "checksum %08x, computed %08x", h.CRC, c)
	}
	return h, nil
}

// checkHeader checks the fields that the checksum covers.
func checkHeader(h *Header) error {
	switch {
	case h.LogAppendTime():
		return batchError(InvalidTimestamp, "only the broker may set the timestamp type LogAppendTime")
	case h.Control():
		return batchError(InvalidRecord, "clients may not write control batches")
	case h.Attributes&attrDeleteHorizon != 0:
		return batchError(InvalidRecord, "clients may not set a delete horizon")
	case h.ProducerID < -1:
		return batchError(InvalidRecord, "producer id %d", h.ProducerID)
	case h.Idempotent() && h.ProducerEpoch < 0:
		return batchError(InvalidRecord, "producer id %d with epoch %d", h.ProducerID, h.ProducerEpoch)
	case h.Idempotent() && h.BaseSequence < 0:
		return batchError(InvalidRecord, "producer id %d with base sequence %d", h.ProducerID, h.BaseSequence)
	case h.Transactional() && !h.Idempotent():
		return batchError(InvalidRecord, "transactional batch without a producer id")
	case h.NumRecords < 1:
		return batchError(InvalidRecord, "record count %d", h.NumRecords)
	case int64(h.LastOffsetDelta)+1 != int64(h.NumRecords):
		return batchError(InvalidRecord, "record count %d with last offset delta %d", h.NumRecords, h.LastOffsetDelta)
	}
	return nil
}

// walker goes through the records of one batch and gathers what Validate
// wants to know of them.
type walker struct {
	header           *Header
	opt              *ValidateOptions
	earliest, latest int64 // timestamps within need no closer look
	firstNullKey     int
	maxTimestamp     int64
	bytes            int
}

func newWalker(h *Header, opt *ValidateOptions) walker {
	w := walker{
		header: h, opt: opt,
		earliest: math.MinInt64, latest: math.MaxInt64,
		firstNullKey: -1, maxTimestamp: NoTimestamp,
	}
	if !opt.CheckTimestamps || opt.LogAppendTime {
		return w
	}
	if before := opt.BeforeMaxMillis; before >= 0 && before != math.MaxInt64 {
		w.earliest = opt.NowMillis - before
	}
	if after := opt.AfterMaxMillis; after >= 0 && after < math.MaxInt64-opt.NowMillis {
		w.latest = opt.NowMillis + after
	}
	return w
}

// walkBody walks the records in body, decompressing them first if need be.
func (w *walker) walkBody(body []byte) error {
	if w.header.Codec() == None {
		return w.walk(body)
	}
	limit := DecompressedLimit
	if m := w.opt.DecompressedMax; m > 0 && m < limit {
		limit = m
	}
	if int64(w.header.NumRecords)*minRecord > int64(limit) {
		return batchError(TooLarge, "%d records cannot fit in the limit of %d bytes decompressed", w.header.NumRecords, limit)
	}
	d := acquireDecoder()
	defer releaseDecoder(d)
	plain, err := d.decompress(w.header.Codec(), body, limit)
	if err != nil {
		return err
	}
	return w.walk(plain)
}

// walk checks every record in plain, and that nothing follows the last.
func (w *walker) walk(plain []byte) error {
	count := int(w.header.NumRecords)
	if int64(count)*minRecord > int64(len(plain)) {
		return batchError(InvalidRecord, "%d records cannot fit in %d bytes", count, len(plain))
	}
	w.bytes = len(plain)
	var r rawRecord
	for i := range count {
		size, fault := parseRecord(plain, &r)
		if fault != "" {
			return recordError(InvalidRecord, i, "%s", fault)
		}
		plain = plain[size:]
		if int(r.offsetDelta) != i {
			return recordError(InvalidRecord, i, "offset delta %d, want %d", r.offsetDelta, i)
		}
		if r.key.isNull() && w.firstNullKey < 0 {
			w.firstNullKey = i
		}
		ts := w.header.BaseTimestamp + r.timestampDelta
		overflow := (r.timestampDelta < 0) != (ts < w.header.BaseTimestamp)
		if overflow || ts < w.earliest || ts > w.latest {
			if err := w.timestampError(i, ts, overflow); err != nil {
				return err
			}
		}
		w.maxTimestamp = max(w.maxTimestamp, ts)
	}
	if len(plain) > 0 {
		return batchError(InvalidRecord, "%d bytes after the last record", len(plain))
	}
	return nil
}

// timestampError says what is wrong with the timestamp of record i, if
// anything is: a record without one is fine.
func (w *walker) timestampError(i int, ts int64, overflow bool) error {
	now := w.opt.NowMillis
	switch {
	case overflow:
		return recordError(InvalidTimestamp, i, "timestamp delta overflows base timestamp %d", w.header.BaseTimestamp)
	case ts == NoTimestamp:
		return nil
	case ts < w.earliest:
		return recordError(InvalidTimestamp, i, "timestamp %d is more than %d ms before %d", ts, w.opt.BeforeMaxMillis, now)
	default:
		return recordError(InvalidTimestamp, i, "timestamp %d is more than %d ms after %d", ts, w.opt.AfterMaxMillis, now)
	}
}
