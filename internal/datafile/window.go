package datafile

import (
	"cmp"
	"errors"
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

// part is an extent of an old file.
type part struct {
	Place
	at  int64 // where it goes in the window
	run logRun
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
