package disk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/waxwing-mq/waxwing/internal/engine"
)

// shard is a claimed shard.
type shard struct {
	e      *Engine
	id     engine.ShardID
	dir    string // the journal folder
	epoch  engine.Epoch
	files  fileTable
	keeper *keeper

	// damage was found when the shard was claimed; Recover reports it.
	damage error

	// appending is held by Append, Recover and Release, and guards buf and last.
	appending sync.Mutex
	buf       []byte // page-aligned
	last      link   // the last durable slot

	trimming sync.Mutex // held by Trim

	mu        sync.Mutex
	recovered bool
	released  bool
	failed    error    // set once; nothing is appended after it
	scanned   bookmark // where the last Scan ended
}

var _ engine.Shard = (*shard)(nil)

// link is what the next slot must follow on.
type link struct {
	no  engine.SlotNo
	crc uint32 // header checksum
}

// Claim reads the headers of all journal files to find an epoch above theirs.
// The epoch becomes durable in Recover.
func (e *Engine) Claim(ctx context.Context, id engine.ShardID) (engine.Shard, error) {
	s := &shard{e: e, id: id, dir: e.path(fmt.Sprintf("shard-%04d", id), "journal")}
	s.files.fs, s.files.limit = e.opt.FS, maxOpenFiles
	s.keeper = newKeeper(s)
	if err := e.register(s); err != nil {
		return nil, err
	}
	if err := s.survey(ctx); err != nil {
		e.unregister(s)
		return nil, errors.Join(err, s.files.closeAll())
	}
	return s, nil
}

func (e *Engine) register(s *shard) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return fmt.Errorf("%s: engine closed", e.opt.Dir)
	}
	for _, other := range e.shards {
		if other.id == s.id {
			return fmt.Errorf("shard %d of %s: claimed already: %w", s.id, e.opt.Dir, engine.ErrHeld)
		}
	}
	e.shards = append(e.shards, s)
	return nil
}

func (e *Engine) unregister(s *shard) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.shards = slices.DeleteFunc(e.shards, func(o *shard) bool { return o == s })
}

// survey makes the folder if it is missing, sweeps what a crash left, and
// reads the header of each journal file.
func (s *shard) survey(ctx context.Context) error {
	if err := s.makeFolders(); err != nil {
		return fmt.Errorf("shard %d: %w", s.id, err)
	}
	entries, err := s.e.opt.FS.List(s.dir)
	if err != nil {
		return fmt.Errorf("shard %d: %w", s.id, err)
	}
	for _, entry := range entries {
		if err := ctx.Err(); err != nil {
			return err
		}
		name := filepath.Join(s.dir, entry.Name)
		if strings.HasSuffix(entry.Name, tempSuffix) {
			if err := s.e.opt.FS.Remove(name); err != nil {
				return fmt.Errorf("shard %d: %w", s.id, err)
			}
			continue
		}
		if id, ok := journalFileID(entry.Name); ok {
			if err := s.surveyFile(id); err != nil {
				return err
			}
		}
	}
	s.epoch = 1
	for _, f := range s.files.list {
		s.epoch = max(s.epoch, f.epoch+1)
	}
	return nil
}

// makeFolders also syncs, even what is there: a process may have died after
// it made a folder or renamed a file and before it made that durable.
func (s *shard) makeFolders() error {
	shardDir := s.e.path(fmt.Sprintf("shard-%04d", s.id))
	for _, dir := range []string{shardDir, s.dir} {
		if err := s.e.opt.FS.Mkdir(dir); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	for _, dir := range []string{s.e.opt.Dir, shardDir, s.dir} {
		if err := s.e.opt.FS.SyncDir(dir); err != nil {
			return err
		}
	}
	return nil
}

func journalFileID(name string) (engine.FileID, bool) {
	digits, ok := strings.CutSuffix(name, ".wal")
	id, err := strconv.ParseUint(digits, 16, 64)
	return engine.FileID(id), ok && err == nil && name == filepath.Base(journalFileName("", engine.FileID(id)))
}

// surveyFile adds a file to the table. A newer format fails; damage is kept
// for Recover.
func (s *shard) surveyFile(id engine.FileID) error {
	f := &journalFile{name: journalFileName(s.dir, id), end: pageBytes}
	f.file = id
	s.files.list = append(s.files.list, f) // List is sorted, and so are the names
	if _, err := s.files.acquire(id); err != nil {
		return err
	}
	defer s.files.release(f)
	size, err := f.handle.Size()
	if err != nil {
		return fmt.Errorf("%s: %w", f.name, err)
	}
	f.size = size
	page := make([]byte, pageBytes)
	if err := readFull(f.handle, page, 0); err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%s: %w", f.name, err)
	}
	f.fileHeader, err = decodeFileHeader(page)
	if errors.Is(err, engine.ErrNewer) {
		return fmt.Errorf("%s: %w; use the newer version", f.name, err)
	}
	if err == nil && (f.file != id || f.shard != s.id) {
		err = fmt.Errorf("it is file %016x of shard %d under a wrong name", uint64(f.file), f.shard)
	}
	f.file = id
	if err != nil && s.damage == nil {
		s.damage = damaged(f, 0, err.Error())
	}
	return nil
}

// Epoch returns the epoch that this process writes under.
func (s *shard) Epoch() engine.Epoch { return s.epoch }

// Files lists the journal files. The file of a slot in flight is not among
// them before the slot is durable.
func (s *shard) Files() []engine.FileInfo {
	if s.usable() != nil {
		return nil
	}
	return s.files.infos()
}

// ReadAt reads from a journal file, and stops at its end with io.EOF.
func (s *shard) ReadAt(id engine.FileID, p []byte, off int64) (int, error) {
	if err := s.usable(); err != nil {
		return 0, err
	}
	f, err := s.files.acquire(id)
	if err != nil {
		return 0, err
	}
	defer s.files.release(f)
	return f.handle.ReadAt(p, off)
}

// Trim deletes files; those that are gone already are no error.
func (s *shard) Trim(ids ...engine.FileID) error {
	if err := s.usable(); err != nil {
		return err
	}
	s.trimming.Lock()
	defer s.trimming.Unlock()
	var files []*journalFile
	s.files.mu.Lock()
	for _, id := range ids {
		f := s.files.find(id)
		if f == s.files.open && f != nil {
			s.files.mu.Unlock()
			return fmt.Errorf("shard %d: journal file %016x is open and cannot be trimmed", s.id, uint64(id))
		}
		if f != nil && !slices.Contains(files, f) {
			files = append(files, f)
		}
	}
	s.files.mu.Unlock()
	if err := s.markEnds(files); err != nil {
		return fmt.Errorf("shard %d: trim: %w", s.id, err)
	}
	if err := s.files.remove(s.dir, files); err != nil {
		return fmt.Errorf("shard %d: trim: %w", s.id, err)
	}
	s.e.freed()
	return nil
}

// usable fails before Recover and after Release.
func (s *shard) usable() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.released {
		return engine.ErrReleased
	}
	if !s.recovered {
		return fmt.Errorf("shard %d: not recovered", s.id)
	}
	return nil
}

// Release waits for the slot in flight. The files stay as they are: the next
// claim treats a shard that was released like one whose process died.
func (s *shard) Release() error {
	s.appending.Lock()
	defer s.appending.Unlock()
	s.mu.Lock()
	again := s.released
	s.released = true
	s.mu.Unlock()
	if again {
		return nil
	}
	err := errors.Join(s.keeper.stop(), s.files.closeAll())
	s.e.unregister(s)
	return err
}

// damaged says where a file is bad.
func damaged(f *journalFile, off int64, reason string) error {
	return &engine.ErrDamaged{Path: f.name, Off: off, Reason: reason +
		". This was durable once, so the disk or somebody has changed it"}
}
