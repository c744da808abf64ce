package sqldb_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/waxwing-mq/waxwing/sqldb"
)

// TestSQLiteOverwrites: what was deleted, or replaced, is in no file once the log is
// truncated.
func TestSQLiteOverwrites(t *testing.T) {
	dir := t.TempDir()
	db, err := sqldb.OpenSQLite(filepath.Join(dir, "test.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	found := func() (n int) {
		files, err := filepath.Glob(filepath.Join(dir, "*"))
		if err != nil || len(files) == 0 {
			t.Fatal(files, err)
		}
		for _, f := range files {
			b, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			n += bytes.Count(b, []byte("a-secret-to-be-forgotten"))
		}
		return n
	}
	exec := func(query string, args ...any) {
		t.Helper()
		if _, err := db.Exec(query, args...); err != nil {
			t.Fatal(query, err)
		}
	}
	exec("CREATE TABLE secret (id INTEGER PRIMARY KEY, k BLOB)")
	for id := range 50 {
		exec("INSERT INTO secret VALUES (?, ?)", id, bytes.Repeat([]byte("a-secret-to-be-forgotten"), 1+id))
	}
	exec("PRAGMA wal_checkpoint(TRUNCATE)")
	if found() == 0 {
		t.Fatal("the secrets are not in the file as they are")
	}
	exec("DELETE FROM secret WHERE id % 2 = 0")
	exec("UPDATE secret SET k = x'00'")
	exec("PRAGMA wal_checkpoint(TRUNCATE)")
	if n := found(); n > 0 {
		t.Errorf("%d are still there", n)
	}
}
