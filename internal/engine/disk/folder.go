package disk

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/waxwing-mq/waxwing/internal/engine"
)

const (
	// folderVersion is the layout of the folder that this code writes.
	folderVersion = 1
	formatPrefix  = "waxwing folder format "
	formatBytes   = 256    // more than the file ever has
	tempSuffix    = ".tmp" // of journal files and FORMAT, while they are written
)

// openFolder checks the version of the folder, takes its lock and writes the
// version if the folder is new. The caller closes the lock.
func openFolder(fsys FS, dir string) (io.Closer, error) {
	version, err := readFormat(fsys, dir)
	if err != nil {
		return nil, err
	}
	isNew := version == 0
	if isNew {
		if err := makeFolder(fsys, dir); err != nil {
			return nil, err
		}
	}
	lock, err := fsys.Lock(filepath.Join(dir, "LOCK"))
	if errors.Is(err, engine.ErrHeld) {
		return nil, fmt.Errorf("%w: %s", err, dir)
	}
	if err != nil {
		return nil, fmt.Errorf("data folder %s cannot be used: %w", dir, err)
	}
	if isNew {
		// Somebody else may have made the folder between the look and the lock.
		version, err = readFormat(fsys, dir)
		if err == nil && version == 0 {
			err = writeFormat(fsys, dir)
		}
	}
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return lock, nil
}

// readFormat returns the version that DIR/FORMAT states, or 0 if there is no
// such file.
func readFormat(fsys FS, dir string) (int, error) {
	name := filepath.Join(dir, "FORMAT")
	f, err := fsys.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("data folder %s cannot be used: %w", dir, err)
	}
	defer f.Close()
	buf := make([]byte, formatBytes)
	n, err := f.ReadAt(buf, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return 0, fmt.Errorf("data folder %s cannot be used: %w", dir, err)
	}
	text, ok := strings.CutPrefix(string(buf[:n]), formatPrefix)
	text, _, _ = strings.Cut(text, "\n")
	version, err := strconv.Atoi(text)
	if !ok || err != nil || version < 1 {
		return 0, &engine.ErrDamaged{Path: name, Reason: "it does not state a format version",
			Advice: "if this is a Waxwing folder, restore it from a backup, else choose another"}
	}
	if version > folderVersion {
		return 0, fmt.Errorf("%w: %s has format %d, this version knows %d; use the newer version",
			engine.ErrNewer, dir, version, folderVersion)
	}
	return version, nil
}

// makeFolder creates dir and the folders above it, durably.
func makeFolder(fsys FS, dir string) error {
	if err := makeFolders(fsys, dir); err != nil {
		return fmt.Errorf("data folder %s cannot be created: %w", dir, err)
	}
	entries, err := fsys.List(dir)
	if err != nil {
		return fmt.Errorf("data folder %s cannot be used: %w", dir, err)
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name, "shard-") {
			return &engine.ErrDamaged{Path: filepath.Join(dir, "FORMAT"),
				Reason: "it is missing although there are shards"}
		}
	}
	return nil
}

func makeFolders(fsys FS, dir string) error {
	err := fsys.Mkdir(dir)
	parent := filepath.Dir(dir)
	if errors.Is(err, fs.ErrNotExist) && parent != dir {
		if err := makeFolders(fsys, parent); err != nil {
			return err
		}
		err = fsys.Mkdir(dir)
	}
	if errors.Is(err, fs.ErrExist) {
		// It may have been made by a process that died before the sync. One
		// that was there before us may be closed to us, and needs no sync.
		if err := fsys.SyncDir(parent); errors.Is(err, fs.ErrPermission) {
			return nil
		} else {
			return err
		}
	}
	if err != nil {
		return err
	}
	return fsys.SyncDir(parent)
}

func writeFormat(fsys FS, dir string) error {
	name := filepath.Join(dir, "FORMAT")
	text := fmt.Appendf(nil, "%s%d\n", formatPrefix, folderVersion)
	if err := writeWhole(fsys, name, text); err != nil {
		return fmt.Errorf("data folder %s cannot be written: %w", dir, err)
	}
	return nil
}

// writeWhole writes a small file so that it appears whole or not at all.
func writeWhole(fsys FS, name string, text []byte) error {
	temp := name + tempSuffix
	if err := fsys.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := fsys.Create(temp)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(text, 0)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := fsys.Rename(temp, name); err != nil {
		return err
	}
	return fsys.SyncDir(filepath.Dir(name))
}
