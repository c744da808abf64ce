package datafile

import (
	"bufio"
	"fmt"
	"io"
	"math"

	"github.com/waxwing-mq/waxwing/internal/engine"
)

// An .idx blob describes one file completely:
//
//	page 0      header
//	B pages     blocks: the extents, sorted by log and offset
//	F pages     fences: for each block its first log and offset, and its max time
//	D pages     directory: one line per log
//	S pages     shares: for lines with holes, how much of them is live
//	last page   trailer: how many there are of each
//
// A fence, 170 in a page:
//
//	+-----------+-----------+-----------+
//	| log       | base      | max time  |
//	+-----------+-----------+-----------+
//
// A line of the directory, 102 in a page; block is where the log's extents
// begin, and they end at the latest in the block where the next line begins:
//
//	+-----------+-----------+-----------+-------+-------+-------+---------+
//	| log       | first     | max time  | count | bytes | block | extents |
//	+-----------+-----------+-----------+-------+-------+-------+---------+
//
// A log has a second line if its offsets in the file span more than 2³²-1.
//
// A share, 511 in a page, for each line in which less is live than it spans
// offsets: the number of the line, from 0 on, and how many offsets were live when
// the file was written.
//
//	+-------+-------+
//	| line  | live  |
//	+-------+-------+
//
// The trailer:
//
//	8        12       16        20       24        32            40
//	+--------+--------+---------+--------+---------+-------------+- … -+
//	| blocks | fences | entries | shares | extents | data bytes  | 0   |
//	|        | pages  | in dir. |        |         |             |     |
//	+--------+--------+---------+--------+---------+-------------+- … -+
const (
	fenceBytes    = 24
	fencesPerPage = pageSpace / fenceBytes
	entryBytes    = 40
	entriesInPage = pageSpace / entryBytes
	shareBytes    = 8
	sharesInPage  = pageSpace / shareBytes
)

// fence stands for one block.
type fence struct {
	log     LogID
	base    int64
	maxTime int64
}

func (f fence) put(p []byte) {
	le.PutUint64(p[0:], uint64(f.log))
	le.PutUint64(p[8:], uint64(f.base))
	le.PutUint64(p[16:], uint64(f.maxTime))
}

func getFence(p []byte) fence {
	return fence{log: LogID(le.Uint64(p[0:])), base: int64(le.Uint64(p[8:])), maxTime: int64(le.Uint64(p[16:]))}
}

// entry is a line of the directory.
type entry struct {
	log     LogID
	first   int64 // offset
	maxTime int64 // ms
	count   uint32
	bytes   uint32
	block   uint32
	extents uint32
	live    uint32 // offsets that were live when the file was written; in the shares if less than count
}

func (d *entry) next() int64 { return d.first + int64(d.count) }

func (d *entry) put(p []byte) {
	le.PutUint64(p[0:], uint64(d.log))
	le.PutUint64(p[8:], uint64(d.first))
	le.PutUint64(p[16:], uint64(d.maxTime))
	le.PutUint32(p[24:], d.count)
	le.PutUint32(p[28:], d.bytes)
	le.PutUint32(p[32:], d.block)
	le.PutUint32(p[36:], d.extents)
}

func getEntry(p []byte) entry {
	return entry{
		log: LogID(le.Uint64(p[0:])), first: int64(le.Uint64(p[8:])), maxTime: int64(le.Uint64(p[16:])),
		count: le.Uint32(p[24:]), bytes: le.Uint32(p[28:]), block: le.Uint32(p[32:]), extents: le.Uint32(p[36:]),
		live: le.Uint32(p[24:]),
	}
}

// trailer counts what an .idx holds.
type trailer struct {
	blocks     uint32
	fencePages uint32
	entries    uint32
	shares     uint32
	extents    uint64
	dataBytes  uint64
}

func (t *trailer) put(p []byte) {
	le.PutUint32(p[8:], t.blocks)
	le.PutUint32(p[12:], t.fencePages)
	le.PutUint32(p[16:], t.entries)
	le.PutUint32(p[20:], t.shares)
	le.PutUint64(p[24:], t.extents)
	le.PutUint64(p[32:], t.dataBytes)
}

func getTrailer(p []byte) trailer {
	return trailer{
		blocks: le.Uint32(p[8:]), fencePages: le.Uint32(p[12:]), entries: le.Uint32(p[16:]), shares: le.Uint32(p[20:]),
		extents: le.Uint64(p[24:]), dataBytes: le.Uint64(p[32:]),
	}
}

// fits reports whether e can be counted to a line that starts at first, ends
// before next and holds bytes: a line counts offsets and bytes in 32 bits.
func fits(first int64, bytes uint32, e Extent) bool {
	return e.End()-first <= math.MaxUint32 && int64(bytes)+e.Bytes <= math.MaxUint32
}

// idxWriter writes an .idx from front to back. It keeps the fences and the
// directory in RAM, 24 bytes a block and 40 a log.
type idxWriter struct {
	w      *bufio.Writer
	file   engine.FileID
	pages  uint64 // written so far
	block  blockWriter
	fences []fence
	dir    []entry
	count  trailer
}

func newIdxWriter(w io.Writer, file engine.FileID) (*idxWriter, error) {
	x := &idxWriter{w: bufio.NewWriterSize(w, 16*pageBytes), file: file, pages: 1}
	x.block.reset()
	_, err := x.w.Write(formatIdx.header(file))
	return x, err
}

func (x *idxWriter) page(p []byte, kind byte, records int) error {
	sealPage(p, x.file, x.pages, kind, records)
	x.pages++
	_, err := x.w.Write(p)
	return err
}

// add takes the extents sorted by log and offset. With line set, the extent
// starts a line of its own in the directory. A line that starts with e counts
// from the start of the log if e begins below: what is below is dead, and not
// worth telling.
func (x *idxWriter) add(e Extent, line bool, r logRun) error {
	if err := e.check(); err != nil {
		return err
	}
	if n := len(x.dir); n > 0 {
		last := &x.dir[n-1]
		if e.Log < last.log || (e.Log == last.log && e.Base < last.next()) {
			return fmt.Errorf("log %d, offset %d: extents must be sorted", e.Log, e.Base)
		}
		line = line || e.Log != last.log || !fits(last.first, last.bytes, e)
	}
	if !x.block.add(e) {
		if err := x.flushBlock(); err != nil {
			return err
		}
		x.block.add(e)
	}
	if line || len(x.dir) == 0 {
		x.dir = append(x.dir, entry{log: e.Log, first: max(e.Base, r.start), maxTime: math.MinInt64, block: x.count.blocks})
	}
	d := &x.dir[len(x.dir)-1]
	d.count = uint32(e.End() - d.first)
	if r.holes {
		d.live = uint32(min(int64(d.live)+e.Count, max(1, r.live), int64(d.count)))
	} else {
		d.live = d.count
	}
	d.bytes += uint32(e.Bytes)
	d.maxTime = max(d.maxTime, e.MaxTime)
	d.extents++
	x.count.extents++
	x.count.dataBytes += uint64(e.Bytes)
	return nil
}

func (x *idxWriter) flushBlock() error {
	b := &x.block
	x.fences = append(x.fences, fence{log: b.first.Log, base: b.first.Base, maxTime: b.maxTime})
	x.count.blocks++
	err := x.page(b.finish(), kindBlock, b.n)
	b.reset()
	return err
}

// finish writes what follows the blocks, and returns the checksum of the
// trailer. The writer below is not committed.
func (x *idxWriter) finish() (sum uint32, err error) {
	if x.block.n > 0 {
		if err := x.flushBlock(); err != nil {
			return 0, err
		}
	}
	x.count.fencePages = uint32((len(x.fences) + fencesPerPage - 1) / fencesPerPage)
	x.count.entries = uint32(len(x.dir))
	if err := x.records(kindFence, len(x.fences), fenceBytes, func(i int, p []byte) { x.fences[i].put(p) }); err != nil {
		return 0, err
	}
	if err := x.records(kindDirectory, len(x.dir), entryBytes, func(i int, p []byte) { x.dir[i].put(p) }); err != nil {
		return 0, err
	}
	shares := x.shares()
	x.count.shares = uint32(len(shares))
	if err := x.records(kindShare, len(shares), shareBytes, func(i int, p []byte) {
		le.PutUint32(p[0:], shares[i])
		le.PutUint32(p[4:], x.dir[shares[i]].live)
	}); err != nil {
		return 0, err
	}
	p := make([]byte, pageBytes)
	x.count.put(p)
	if err := x.page(p, kindTrailer, 0); err != nil {
		return 0, err
	}
	return le.Uint32(p), x.w.Flush()
}

// shares lists the lines of the directory that need one.
func (x *idxWriter) shares() []uint32 {
	var lines []uint32
	for i := range x.dir {
		if x.dir[i].live < x.dir[i].count {
			lines = append(lines, uint32(i))
		}
	}
	return lines
}

// records writes n records of a fixed size in as many pages as they need.
func (x *idxWriter) records(kind byte, n, size int, put func(i int, p []byte)) error {
	page := make([]byte, pageBytes)
	per := pageSpace / size
	for i := 0; i < n; i += per {
		clear(page)
		m := min(per, n-i)
		for j := range m {
			put(i+j, page[pageHeadBytes+j*size:])
		}
		if err := x.page(page, kind, m); err != nil {
			return err
		}
	}
	return nil
}
