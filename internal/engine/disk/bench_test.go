package disk_test

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/waxwing-mq/waxwing/internal/engine"
	"github.com/waxwing-mq/waxwing/internal/engine/disk"
)

// openShard opens and recovers shard 0 of a folder.
func openShard(b testing.TB, dir string, fn func(engine.Slot) error) (*disk.Engine, engine.Shard) {
	b.Helper()
	e, err := disk.Open(disk.Options{Dir: dir})
	if err != nil {
		b.Fatal(err)
	}
	s, err := e.Claim(context.Background(), 0)
	if err != nil {
		b.Fatal(err)
	}
	if err := s.Recover(context.Background(), 0, fn); err != nil {
		b.Fatal(err)
	}
	return e, s
}

func ignore(engine.Slot) error { return nil }

func benchmarkAppend(b *testing.B, headLen, dataLen int) {
	e, s := openShard(b, b.TempDir(), ignore)
	r := payload(headLen + dataLen)
	head, data := r[:headLen], [][]byte{r[headLen:]}
	b.SetBytes(int64(headLen + dataLen))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Append(head, data, false).Wait(); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		trimAll(b, s)
		b.StartTimer()
	}
	b.StopTimer()
	if err := s.Release(); err != nil {
		b.Fatal(err)
	}
	if err := e.Close(); err != nil {
		b.Fatal(err)
	}
}

func payload(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*7 + i>>8)
	}
	return b
}

// trimAll keeps a benchmark from filling the disk.
func trimAll(b *testing.B, s engine.Shard) {
	for _, f := range s.Files() {
		if f.Open {
			continue
		}
		if err := s.Trim(f.ID); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppend4K(b *testing.B)  { benchmarkAppend(b, 100, 3900) }
func BenchmarkAppend64K(b *testing.B) { benchmarkAppend(b, 1000, 64<<10) }
func BenchmarkAppend1M(b *testing.B)  { benchmarkAppend(b, 4000, 1<<20) }

// BenchmarkSync compares what a write and fdatasync cost in a file that grows,
// in one whose space was taken with fallocate, and in one that was filled with
// zeros. The last is what journal files are.
func BenchmarkSync(b *testing.B) {
	const fileBytes = 64 << 20
	ahead := map[string]func(disk.File) error{
		"grow":   func(disk.File) error { return nil },
		"falloc": func(f disk.File) error { return f.Preallocate(fileBytes) },
		"zero": func(f disk.File) error {
			zeros := make([]byte, 1<<20)
			for off := int64(0); off < fileBytes; off += int64(len(zeros)) {
				if _, err := f.WriteAt(zeros, off); err != nil {
					return err
				}
			}
			return nil
		},
	}
	for _, size := range []int{4 << 10, 64 << 10, 1 << 20} {
		for _, mode := range []string{"grow", "falloc", "zero"} {
			b.Run(fmt.Sprintf("%s/%dK", mode, size>>10), func(b *testing.B) {
				p, dir := payload(size), b.TempDir()
				var f disk.File
				off, n := int64(fileBytes), 0
				b.SetBytes(int64(size))
				for b.Loop() {
					if off+int64(size) > fileBytes {
						b.StopTimer()
						f = nextFile(b, dir, n, f, ahead[mode])
						off, n = 0, n+1
						b.StartTimer()
					}
					if _, err := f.WriteAt(p, off); err != nil {
						b.Fatal(err)
					}
					if err := f.Sync(); err != nil {
						b.Fatal(err)
					}
					off += int64(size)
				}
				b.StopTimer()
				if err := f.Close(); err != nil {
					b.Fatal(err)
				}
			})
		}
	}
}

// nextFile replaces file number n-1 by file number n, made ready and synced.
func nextFile(b *testing.B, dir string, n int, old disk.File, ahead func(disk.File) error) disk.File {
	fsys := disk.OS()
	name := func(n int) string { return filepath.Join(dir, fmt.Sprint(n)) }
	if old != nil {
		if err := old.Close(); err != nil {
			b.Fatal(err)
		}
		if err := fsys.Remove(name(n - 1)); err != nil {
			b.Fatal(err)
		}
	}
	f, err := fsys.Create(name(n))
	if err == nil {
		err = ahead(f)
	}
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = fsys.SyncDir(dir)
	}
	if err != nil {
		b.Fatal(err)
	}
	return f
}

// BenchmarkRecover reads a journal file that is full of slots with one
// message each, the most slots that a file can have.
func BenchmarkRecover(b *testing.B) {
	dir := b.TempDir()
	writeSmallSlots(b, dir, 32000)
	for b.Loop() {
		n := 0
		e, s := openShard(b, dir, func(engine.Slot) error { n++; return nil })
		b.StopTimer()
		if n != 32000 {
			b.Fatalf("recovered %d slots", n)
		}
		if err := s.Release(); err != nil {
			b.Fatal(err)
		}
		if err := e.Close(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}

// writeSmallSlots writes slots of a page without waiting for the device.
func writeSmallSlots(b *testing.B, dir string, n int) {
	e, err := disk.Open(disk.Options{Dir: dir, FS: unsynced{disk.OS()}})
	if err != nil {
		b.Fatal(err)
	}
	s, err := e.Claim(context.Background(), 0)
	if err != nil {
		b.Fatal(err)
	}
	if err := s.Recover(context.Background(), 0, ignore); err != nil {
		b.Fatal(err)
	}
	r := payload(1000)
	for range n {
		if _, err := s.Append(r[:100], [][]byte{r[100:]}, false).Wait(); err != nil {
			b.Fatal(err)
		}
	}
	if err := s.Release(); err != nil {
		b.Fatal(err)
	}
	if err := e.Close(); err != nil {
		b.Fatal(err)
	}
}

// unsynced is a file system whose syncs do nothing.
type unsynced struct{ disk.FS }

func (u unsynced) Create(name string) (disk.File, error) {
	f, err := u.FS.Create(name)
	return unsyncedFile{f}, err
}

type unsyncedFile struct{ disk.File }

func (unsyncedFile) Sync() error { return nil }
