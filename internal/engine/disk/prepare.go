package disk

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/waxwing-mq/waxwing/internal/engine"
)

// How much is filled with zeros between two syncs, in bytes: little while the
// journal has time, much when it waits for the file. Each sync holds up the
// journal's own for as long as the device needs for the chunk.
const (
	fillChunk       = 1 << 20
	fillChunkUrgent = 16 << 20
)

var zeros [fillChunk]byte

// draft is a journal file that is to be made.
type draft struct {
	fileHeader
	size int64  // length of the file in bytes
	slot []byte // the first slot as it stands in the file, or nil
	// pace is called after each chunk that was filled and synced, with the
	// bytes done so far. It may sleep, says how large the next chunk is, or
	// fails to give up. nil fills at full speed and syncs once.
	pace func(done int64) (next int64, err error)
}

// errNamed says that a file got its name but perhaps not durably. It cannot
// be taken back, so no other file may follow.
var errNamed = errors.New("journal file may not be durable under its name")

// prepare makes the file: filled with zeros, because that is what makes later
// syncs cheap, synced, and only then under its name. It returns the file with
// its handle open.
func (d *draft) prepare(fsys FS, dir string) (*journalFile, error) {
	name := journalFileName(dir, d.file)
	f, err := fsys.Create(name + tempSuffix)
	if err != nil {
		return nil, fmt.Errorf("prepare journal file: %w", err)
	}
	err = d.fill(f)
	if err == nil {
		err = fsys.Rename(name+tempSuffix, name)
	}
	if err != nil {
		err = errors.Join(err, f.Close())
		if e := fsys.Remove(name + tempSuffix); e != nil && !errors.Is(e, fs.ErrNotExist) {
			err = errors.Join(err, e)
		}
		return nil, fmt.Errorf("prepare journal file: %w", err)
	}
	if err := fsys.SyncDir(dir); err != nil {
		return nil, errors.Join(fmt.Errorf("%w: %w", errNamed, err), f.Close())
	}
	return &journalFile{
		fileHeader: d.fileHeader,
		name:       name,
		size:       d.size,
		end:        pageBytes,
		handle:     f,
		pinned:     true,
	}, nil
}

// fill writes the whole content and syncs it.
func (d *draft) fill(f File) error {
	if err := f.Preallocate(d.size); err != nil {
		return err
	}
	page := make([]byte, pageBytes)
	d.encode(page)
	if _, err := f.WriteAt(page, 0); err != nil {
		return err
	}
	from := int64(pageBytes)
	if d.slot != nil {
		if _, err := f.WriteAt(d.slot, from); err != nil {
			return err
		}
		from += int64(len(d.slot))
	}
	if err := fillZeros(f, from, d.size, d.pace); err != nil {
		return err
	}
	return f.Sync()
}

// fillZeros writes zeros from one offset to another.
func fillZeros(f File, from, to int64, pace func(done int64) (int64, error)) error {
	unsynced, chunk := int64(0), int64(fillChunk)
	for from < to {
		n := min(to-from, fillChunk)
		if _, err := f.WriteAt(zeros[:n], from); err != nil {
			return err
		}
		from += n
		unsynced += n
		if pace == nil || unsynced < chunk {
			continue
		}
		// One sync of the whole file would hold up those of the journal for
		// as long as the device needs for all of it.
		if err := f.Sync(); err != nil {
			return err
		}
		unsynced = 0
		var err error
		if chunk, err = pace(from); err != nil {
			return err
		}
	}
	return nil
}

// nextDraft is the continuation that follows file prev.
func (s *shard) nextDraft(id, prev engine.FileID) (draft, error) {
	salt, err := s.e.random()
	if err != nil {
		return draft{}, err
	}
	return draft{
		fileHeader: fileHeader{
			shard: s.id,
			file:  id,
			epoch: s.epoch,
			kind:  continuation,
			salt:  salt,
			prev:  chainEnd{file: prev},
		},
		size: s.e.opt.FileBytes,
	}, nil
}
