package enginetest

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/waxwing-mq/waxwing/internal/engine"
)

// putBlob writes a blob in pieces of growing length.
func putBlob(b engine.BlobStore, name string, content []byte) error {
	w, err := b.Create(name)
	if err != nil {
		return err
	}
	defer w.Abort()
	for n := 1; len(content) > 0; n *= 3 {
		piece := content[:min(n, len(content))]
		if _, err := w.Write(piece); err != nil {
			return err
		}
		content = content[len(piece):]
	}
	return w.Commit()
}

func checkBlob(t *testing.T, b engine.BlobStore, name string, want []byte) {
	t.Helper()
	blob, err := b.Open(name)
	if err != nil {
		t.Errorf("open %s: %v", name, err)
		return
	}
	checkContent(t, name, blob, want)
	if err := blob.Close(); err != nil {
		t.Error(err)
	}
}

func checkContent(t *testing.T, name string, blob engine.Blob, want []byte) {
	t.Helper()
	if blob.Size() != int64(len(want)) {
		t.Errorf("%s has %d bytes, want %d", name, blob.Size(), len(want))
	}
	got, err := io.ReadAll(io.NewSectionReader(blob, 0, blob.Size()))
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s holds other bytes than were written: %v", name, err)
	}
	if n, err := blob.ReadAt(make([]byte, 10), blob.Size()); n != 0 || err != io.EOF {
		t.Errorf("read behind the end of %s: %d, %v, want io.EOF", name, n, err)
	}
}

func checkNoBlob(t *testing.T, b engine.BlobStore, name string) {
	t.Helper()
	if _, err := b.Open(name); !errors.Is(err, engine.ErrNotFound) {
		t.Errorf("open %s: %v, want ErrNotFound", name, err)
	}
	names, err := b.List("")
	if err != nil || slices.Contains(names, name) {
		t.Errorf("list has %s: %q, %v", name, names, err)
	}
}

func testBlobRoundTrip(t *testing.T, p Place) {
	s := start(t, p, nil, 0)
	contents := map[string][]byte{
		"0000/empty":             {},
		"0000/checkpoint/000042": fill(1, 0, 100_000).data,
		"a.b-c/d/e/f":            fill(2, 0, 1).data,
	}
	for name, content := range contents {
		if err := putBlob(s.eng.Blobs(), name, content); err != nil {
			t.Fatal(err)
		}
		checkBlob(t, s.eng.Blobs(), name, content)
	}
	s.kill()
	s = start(t, p, nil, 0)
	for name, content := range contents {
		checkBlob(t, s.eng.Blobs(), name, content)
		if err := s.eng.Blobs().Delete(name); err != nil {
			t.Fatal(err)
		}
		checkNoBlob(t, s.eng.Blobs(), name)
		if err := s.eng.Blobs().Delete(name); err != nil {
			t.Errorf("delete again: %v", err)
		}
	}
	s.kill()
	s = start(t, p, nil, 0)
	for name := range contents {
		checkNoBlob(t, s.eng.Blobs(), name)
	}
}

func testBlobExists(t *testing.T, p Place) {
	s := start(t, p, nil, 0)
	b := s.eng.Blobs()
	if err := putBlob(b, "x/y", []byte("first")); err != nil {
		t.Fatal(err)
	}
	if err := putBlob(b, "x/y", []byte("second")); !errors.Is(err, engine.ErrExists) {
		t.Errorf("second blob of a name: %v, want ErrExists", err)
	}
	checkBlob(t, b, "x/y", []byte("first"))
	if err := b.Delete("x/y"); err != nil {
		t.Fatal(err)
	}
	if err := putBlob(b, "x/y", []byte("third")); err != nil {
		t.Errorf("a name that was deleted: %v", err)
	}
	w, err := b.Create("x/z")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Create("x/z"); !errors.Is(err, engine.ErrExists) {
		t.Errorf("a name that is being written: %v, want ErrExists", err)
	}
	w.Abort()
	if err := putBlob(b, "x/z", []byte("z")); err != nil {
		t.Errorf("a name whose writer has aborted: %v", err)
	}
	checkBlob(t, b, "x/z", []byte("z"))
}

func testBlobInvisible(t *testing.T, p Place) {
	s := start(t, p, nil, 0)
	stored := len(p.Names())
	w, err := s.eng.Blobs().Create("x/y")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(fill(1, 0, 50_000).data); err != nil {
		t.Fatal(err)
	}
	checkNoBlob(t, s.eng.Blobs(), "x/y")
	w.Abort()
	w.Abort()
	checkNoBlob(t, s.eng.Blobs(), "x/y")
	if _, err := w.Write([]byte("x")); err == nil {
		t.Error("write after Abort")
	}
	if err := w.Commit(); err == nil {
		t.Error("commit after Abort")
	}

	w, err = s.eng.Blobs().Create("x/y")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(fill(1, 0, 50_000).data); err != nil {
		t.Fatal(err)
	}
	s.kill()
	s = start(t, p, nil, 0)
	checkNoBlob(t, s.eng.Blobs(), "x/y")
	if n := len(p.Names()); n > stored+1 { // the journal may have a spare more
		t.Errorf("%d files stored after an unfinished blob, %d before: %q", n, stored, p.Names())
	}
	w, err = s.eng.Blobs().Create("x/y")
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Commit(); err != nil {
		t.Fatal(err)
	}
	w.Abort()
	checkBlob(t, s.eng.Blobs(), "x/y", nil)
}

func testBlobList(t *testing.T, p Place) {
	s := start(t, p, nil, 0)
	names := []string{"a-b/x", "a/b/1", "a/b/2", "a/c", "a/ba", "b/1", "a.b/y"}
	for _, name := range names {
		if err := putBlob(s.eng.Blobs(), name, []byte(name)); err != nil {
			t.Fatal(err)
		}
	}
	slices.Sort(names)
	for _, prefix := range []string{"", "a", "a/", "a/b", "a/b/", "a/b/1", "a/b/1/", "a-", "b", "c", "x/y/z"} {
		got, err := s.eng.Blobs().List(prefix)
		want := slices.DeleteFunc(slices.Clone(names), func(n string) bool { return !strings.HasPrefix(n, prefix) })
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("list %q: %q, %v, want %q", prefix, got, err, want)
		}
	}
}

func testBlobNames(t *testing.T, p Place) {
	s := start(t, p, nil, 0)
	b := s.eng.Blobs()
	for _, name := range []string{
		"", "x", "/x", "x/", "x//y", "../x", "x/../y", "./x", "x/.", "X/y", "x/y z", "x/\x00", "x/é", "x/~y",
		"x/" + strings.Repeat("y", 1000), "x/y\n",
	} {
		if w, err := b.Create(name); err == nil {
			w.Abort()
			t.Errorf("blob name %q accepted", name)
		}
		if _, err := b.Open(name); err == nil {
			t.Errorf("blob name %q opened", name)
		}
		if err := b.Delete(name); err == nil {
			t.Errorf("blob name %q deleted", name)
		}
	}
}

func testBlobDeleteWhileOpen(t *testing.T, p Place) {
	s := start(t, p, nil, 0)
	content := fill(1, 0, 10_000).data
	if err := putBlob(s.eng.Blobs(), "x/y", content); err != nil {
		t.Fatal(err)
	}
	blob, err := s.eng.Blobs().Open("x/y")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.eng.Blobs().Delete("x/y"); err != nil {
		t.Fatal(err)
	}
	checkNoBlob(t, s.eng.Blobs(), "x/y")
	checkContent(t, "x/y", blob, content)
	if err := blob.Close(); err != nil {
		t.Error(err)
	}
}
