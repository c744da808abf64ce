package datafile

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"

	"github.com/waxwing-mq/waxwing/internal/engine"
)

const (
	// maxIO is about the most that is read or written at once.
	maxIO = 1 << 20
	// maxGap is up to which size bytes between two extents are read along:
	// one longer read is faster than two.
	maxGap = 32 << 10
)

// rewriter writes a rewritten file. In the old files the extents of a log lie
// far apart. So it plans a window of the new file, reads what belongs there in
// the order of the old files, and then writes the window.
type rewriter struct {
	x       *Index
	ctx     context.Context
	id      engine.FileID
	data    engine.BlobWriter
	idxBlob engine.BlobWriter
	idx     *idxWriter

	pos    int64   // where the window begins in the new file
	read   int64   // bytes
	groups []group // what the window will hold
	parts  []part
	size   int64 // of the window
	window []byte
	buf    []byte // what is read at once
}

// group becomes one extent of the new file.
type group struct {
	extent Extent
	start  int64 // of the log
}

// part is an extent of an old file.
type part struct {
	Place
	at int64 // where it goes in the window
}

func (x *Index) newRewriter(ctx context.Context, id engine.FileID) (*rewriter, error) {
	data, err := x.cfg.Blobs.Create(dataName(x.cfg.Shard, id))
	if err != nil {
		return nil, err
	}
	idxBlob, err := x.cfg.Blobs.Create(idxName(x.cfg.Shard, id))
	if err != nil {
		data.Abort()
		return nil, err
	}
	w := &rewriter{x: x, ctx: ctx, id: id, data: data, idxBlob: idxBlob, pos: pageBytes}
	if w.idx, err = newIdxWriter(idxBlob, id); err == nil {
		_, err = data.Write(headerPage(magicData, id))
	}
	if err != nil {
		w.abort()
		return nil, err
	}
	return w, nil
}

func (w *rewriter) abort() {
	w.data.Abort()
	w.idxBlob.Abort()
}

// add takes the extents sorted by log and offset, and the start of their log.
func (w *rewriter) add(p Place, start int64) error {
	if w.merge(p) {
		return nil
	}
	if w.size >= w.x.cfg.WindowBytes {
		if err := w.flush(); err != nil {
			return err
		}
	}
	w.size += frameBytes
	e := p.Extent
	e.Pos = w.pos + w.size
	if e.Bytes > room(e.Pos) {
		return errors.New("the file would be larger than 4 GiB")
	}
	w.groups = append(w.groups, group{extent: e, start: start})
	w.put(p)
	return nil
}

// merge makes p a part of the last group if it goes on where that one ends.
func (w *rewriter) merge(p Place) bool {
	if len(w.groups) == 0 {
		return false
	}
	e := &w.groups[len(w.groups)-1].extent
	if p.Log != e.Log || p.Base != e.End() || e.Bytes+p.Bytes > w.x.cfg.RewriteMergeBytes ||
		e.Count+p.Count > MaxExtentCount || p.Bytes > room(w.pos+w.size) {
		return false
	}
	e.Count += p.Count
	e.Bytes += p.Bytes
	e.MaxTime = max(e.MaxTime, p.MaxTime)
	w.put(p)
	return true
}

func (w *rewriter) put(p Place) {
	w.parts = append(w.parts, part{Place: p, at: w.size})
	w.size += p.Bytes
}

// flush reads, checks and writes the window.
func (w *rewriter) flush() error {
	w.window = slices.Grow(w.window[:0], int(w.size))[:w.size]
	if err := w.fill(); err != nil {
		return err
	}
	for _, g := range w.groups {
		at := g.extent.Pos - w.pos
		bytes := w.window[at : at+g.extent.Bytes]
		f := frame{dataSum: crc32.Checksum(bytes, castagnoli), extent: g.extent}
		f.put(w.window[at-frameBytes:])
		if err := w.idx.add(g.extent, false, g.start); err != nil {
			return err
		}
	}
	if err := w.write(w.window); err != nil {
		return err
	}
	w.pos += w.size
	w.groups, w.parts, w.size = w.groups[:0], w.parts[:0], 0
	return nil
}

func (w *rewriter) write(p []byte) error {
	for chunk := range slices.Chunk(p, maxIO) {
		if err := w.x.wait(w.ctx, len(chunk)); err != nil {
			return err
		}
		if _, err := w.data.Write(chunk); err != nil {
			return err
		}
	}
	return nil
}

// fill reads all parts of the window, in the order in which they lie in the
// old files.
func (w *rewriter) fill() error {
	parts := slices.Clone(w.parts)
	slices.SortFunc(parts, func(a, b part) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Pos, b.Pos))
	})
	for len(parts) > 0 {
		n := together(parts)
		if err := w.readParts(parts[:n]); err != nil {
			return err
		}
		parts = parts[n:]
	}
	return nil
}

// lead is how many bytes before an extent belong to it.
func (p *part) lead() int64 {
	if IsRewritten(p.File) {
		return frameBytes
	}
	return 0
}

func (p *part) from() int64 { return p.Pos - p.lead() }
func (p *part) to() int64   { return p.Pos + p.Bytes }

// together returns how many of the parts should be read at once.
func together(parts []part) int {
	n := 1
	for n < len(parts) && parts[n].File == parts[0].File &&
		parts[n].from() >= parts[n-1].to() && parts[n].from()-parts[n-1].to() <= maxGap &&
		parts[n].to()-parts[0].from() <= maxIO {
		n++
	}
	return n
}

// readParts reads parts of one file that lie close together, and puts them
// into the window.
func (w *rewriter) readParts(parts []part) error {
	if len(parts) == 1 { // it may be large
		return w.readPart(&parts[0])
	}
	file, from := parts[0].File, parts[0].from()
	size := parts[len(parts)-1].to() - from
	w.buf = slices.Grow(w.buf[:0], int(size))[:size]
	if err := w.readAt(file, from, w.buf); err != nil {
		return err
	}
	for i := range parts {
		p := &parts[i]
		bytes := w.window[p.at : p.at+p.Bytes]
		copy(bytes, w.buf[p.Pos-from:])
		if err := w.check(p, w.buf[p.from()-from:p.Pos-from], bytes); err != nil {
			return err
		}
	}
	return nil
}

func (w *rewriter) readPart(p *part) error {
	var space [frameBytes]byte
	frame := space[:p.lead()]
	bytes := w.window[p.at : p.at+p.Bytes]
	if err := w.readAt(p.File, p.from(), frame); err != nil {
		return err
	}
	if err := w.readAt(p.File, p.Pos, bytes); err != nil {
		return err
	}
	return w.check(p, frame, bytes)
}

func (w *rewriter) readAt(file engine.FileID, pos int64, p []byte) error {
	for chunk := range slices.Chunk(p, maxIO) {
		if err := w.x.wait(w.ctx, len(chunk)); err != nil {
			return err
		}
		if err := w.x.Read(w.ctx, file, pos, chunk); err != nil {
			return err
		}
		pos += int64(len(chunk))
		w.read += int64(len(chunk))
	}
	return nil
}

// check checks the bytes of an extent, and its frame if the old file has one.
func (w *rewriter) check(p *part, frame, bytes []byte) error {
	if len(frame) > 0 {
		if reason := checkFrame(p.Extent, frame, bytes); reason != "" {
			return damaged(fileName(w.x.cfg.Shard, p.File), p.from(), "%s", reason)
		}
	}
	if err := w.x.cfg.Verify(p.Extent, bytes); err != nil {
		var d *engine.ErrDamaged
		if errors.As(err, &d) {
			return err
		}
		return damaged(fileName(w.x.cfg.Shard, p.File), p.Pos,
			"log %d, offset %d: %s; the files were left as they are", p.Log, p.Base, err)
	}
	return nil
}

// commit makes the file and its .idx durable. It returns nil, and writes
// nothing, if nothing was added.
func (w *rewriter) commit() (*idx, error) {
	if len(w.groups) == 0 && w.idx.count.extents == 0 {
		return nil, nil
	}
	if err := w.flush(); err != nil {
		return nil, err
	}
	var end [frameBytes]byte
	frame{extent: Extent{Log: LogID(w.idx.count.extents), Base: int64(w.idx.count.dataBytes)}}.put(end[:])
	if err := w.write(end[:]); err != nil {
		return nil, err
	}
	sum, err := w.idx.finish()
	if err != nil {
		return nil, err
	}
	if err := w.data.Commit(); err != nil {
		return nil, fmt.Errorf("data: %w", err)
	}
	if err := w.idxBlob.Commit(); err != nil {
		return nil, fmt.Errorf("index: %w", err)
	}
	name := idxName(w.x.cfg.Shard, w.id)
	return &idx{key: w.x.store.keys.Add(1), name: name, file: w.id, sum: sum, blocks: w.idx.count.blocks}, nil
}
