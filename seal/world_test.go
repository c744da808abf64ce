package seal

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/waxwing-mq/waxwing/bus"
	"github.com/waxwing-mq/waxwing/internal/sqltest"
	"github.com/waxwing-mq/waxwing/internal/sqltx"
	"github.com/waxwing-mq/waxwing/seal/directory"
	"github.com/waxwing-mq/waxwing/sqldb"
)

func TestMain(m *testing.M) { os.Exit(sqltest.Run(m)) }

// memDirectory is a directory in memory, which can lie, and a counter.
type memDirectory struct {
	mu    sync.Mutex
	ids   map[string]*published
	marks map[string]map[uint32]uint64
	lie   func(name string, b *directory.Bundle)
	takes int
	down  error
}

type published struct {
	directory.Publication
	max, maxKEM uint32
}

func newMemDirectory() *memDirectory {
	return &memDirectory{ids: map[string]*published{}, marks: map[string]map[uint32]uint64{}}
}

func (d *memDirectory) Publish(_ context.Context, name string, p directory.Publication) (directory.Status, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.down != nil {
		return directory.Status{}, d.down
	}
	id := d.ids[name]
	if id == nil {
		id = &published{}
		d.ids[name] = id
	}
	id.Certificate, id.RegistrationID = p.Certificate, p.RegistrationID
	if p.Signed != nil {
		id.Signed = p.Signed
	}
	if p.LastResort != nil {
		id.LastResort = p.LastResort
	}
	if p.Replace { // what is below the first of its own goes
		id.OneTime = slices.DeleteFunc(id.OneTime, func(k directory.Key) bool { return len(p.OneTime) == 0 || k.ID < p.OneTime[0].ID })
		id.OneTimeKEM = slices.DeleteFunc(id.OneTimeKEM, func(k directory.SignedKey) bool { return len(p.OneTimeKEM) == 0 || k.ID < p.OneTimeKEM[0].ID })
	}
	for _, k := range p.OneTime {
		if k.ID > id.max {
			id.OneTime, id.max = append(id.OneTime, k), k.ID
		}
	}
	for _, k := range p.OneTimeKEM {
		if k.ID > id.maxKEM {
			id.OneTimeKEM, id.maxKEM = append(id.OneTimeKEM, k), k.ID
		}
	}
	return d.status(name, id), nil
}

func (d *memDirectory) status(name string, id *published) directory.Status {
	return directory.Status{Name: name, RegistrationID: id.RegistrationID, SignedID: id.Signed.ID, LastResortID: id.LastResort.ID,
		OneTime: len(id.OneTime), OneTimeKEM: len(id.OneTimeKEM), OneTimeIDMax: id.max, OneTimeKEMIDMax: id.maxKEM}
}

func (d *memDirectory) Status(_ context.Context, name string) (directory.Status, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if id := d.ids[name]; id != nil {
		return d.status(name, id), d.down
	}
	return directory.Status{}, directory.ErrNotFound
}

func (d *memDirectory) Take(_ context.Context, name string) (directory.Bundle, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	id := d.ids[name]
	if id == nil || d.down != nil {
		return directory.Bundle{}, errors.Join(d.down, directory.ErrNotFound)
	}
	d.takes++
	b := directory.Bundle{Name: name, RegistrationID: id.RegistrationID, Certificate: id.Certificate, Signed: *id.Signed}
	if len(id.OneTime) > 0 {
		b.OneTime, id.OneTime = &id.OneTime[0], id.OneTime[1:]
	}
	if len(id.OneTimeKEM) > 0 {
		b.KEM, id.OneTimeKEM = &id.OneTimeKEM[0], id.OneTimeKEM[1:]
	} else {
		b.KEM, b.LastResort = id.LastResort, true
	}
	if d.lie != nil {
		d.lie(name, &b)
	}
	return b, nil
}

func (d *memDirectory) Raise(_ context.Context, name string, marks map[uint32]uint64) (map[uint32]uint64, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.marks[name] == nil {
		d.marks[name] = map[uint32]uint64{}
	}
	for s, seq := range marks {
		d.marks[name][s] = max(d.marks[name][s], seq)
	}
	return maps.Clone(d.marks[name]), d.down
}

func (d *memDirectory) Marks(_ context.Context, name string) (map[uint32]uint64, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ids[name] == nil && d.marks[name] == nil {
		return nil, directory.ErrNotFound
	}
	return maps.Clone(d.marks[name]), d.down
}

// drain gives out all one-time keys.
func (d *memDirectory) drain(name string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ids[name].OneTime, d.ids[name].OneTimeKEM = nil, nil
}

type endpoint = Endpoint[*sql.Tx]

// A world is a database with services in it, and a directory.
type world struct {
	t    testing.TB
	d    sqltest.Database
	db   *sqldb.DB[*sql.Tx]
	pool *sql.DB
	dir  *memDirectory
	root *Root
	keys *KeyRing
	ids  map[string]*Identity

	mu  sync.Mutex
	at  time.Time
	n   int
	log *bytes.Buffer
}

// each runs a test in each kind of database.
func each(t *testing.T, run func(t *testing.T, w *world)) {
	sqltest.Each(t, func(t *testing.T, d sqltest.Database) { run(t, newWorld(t, d)) })
}

// quick runs a test in SQLite only.
func quick(t testing.TB) *world { return newWorld(t, sqltest.New(t, "sqlite")) }

func newWorld(t testing.TB, d sqltest.Database) *world {
	t.Helper()
	if d.Dialect == "sqlite" {
		d.DSN += "?_pragma=synchronous(off)" // no test loses power
	}
	w := &world{t: t, d: d, dir: newMemDirectory(), ids: map[string]*Identity{}, at: time.Now(), log: &bytes.Buffer{}}
	w.db, w.pool = sqltest.Open(t, d)
	var err error
	if w.root, err = NewRoot(); err != nil {
		t.Fatal(err)
	}
	key, err := NewStorageKey(1)
	if err != nil {
		t.Fatal(err)
	}
	if w.keys, err = NewKeyRing(key); err != nil {
		t.Fatal(err)
	}
	return w
}

// must ends the test.
func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// want checks that an error is of a kind.
func (w *world) want(err, kind error) {
	w.t.Helper()
	if !errors.Is(err, kind) {
		w.t.Fatalf("%v, want %v", err, kind)
	}
}

func (w *world) now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.at
}

// later moves the clock.
func (w *world) later(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.at = w.at.Add(d)
}

// identity is one with a certificate by the root, for a year.
func (w *world) identity(name string, lanes int) *Identity {
	w.t.Helper()
	if id := w.ids[name]; id != nil {
		return id
	}
	id, err := NewIdentity(name)
	w.must(err)
	c, err := w.root.Issue(Certificate{Name: name, Key: id.Key(), Lanes: lanes, NotBefore: w.now(), NotAfter: w.now().Add(365 * 24 * time.Hour)})
	w.must(err)
	id, err = id.WithCertificate(c)
	w.must(err)
	w.ids[name] = id
	return id
}

// bare is an endpoint of a process that has just started, with one lane.
func (w *world) bare(name string, opts ...Option) *endpoint {
	w.t.Helper()
	return w.with(w.db, w.identity(name, 1), opts...)
}

func (w *world) with(db *sqldb.DB[*sql.Tx], id *Identity, opts ...Option) *endpoint {
	w.t.Helper()
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	ep, err := New(db, id, w.keys, append([]Option{Pinned(w.root.Public()), Through(w.dir), Clock(w.now), OneTimeKeys(4), Logger(log)}, opts...)...)
	w.must(err)
	return ep
}

// service is an endpoint that has published its keys.
func (w *world) service(name string, opts ...Option) *endpoint {
	w.t.Helper()
	ep := w.bare(name, opts...)
	w.must(ep.Publish(w.t.Context()))
	return ep
}

// message is a new one.
func (w *world) message(topic, key, body string) *bus.Message {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.n++
	return &bus.Message{Topic: topic, Key: key, ID: fmt.Sprintf("m%d", w.n), Type: "thing.done", ContentType: "text/plain", Body: []byte(body),
		Headers: []bus.Header{{Name: "traceparent", Value: []byte("00-1-2-3")}, {Name: "tenant", Value: []byte("t1")}}}
}

func (w *world) inTx(f func(ctx context.Context, tx *sql.Tx) error) error {
	return w.db.InTx(w.t.Context(), f)
}

// seal seals a message and commits.
func (w *world) seal(from *endpoint, to, body string) *bus.Message {
	w.t.Helper()
	m := w.message("things", "k", body)
	w.must(w.trySeal(from, to, m))
	return m
}

func (w *world) trySeal(from *endpoint, to string, m *bus.Message) error {
	return w.inTx(func(ctx context.Context, tx *sql.Tx) error { return from.Seal(ctx, tx, to, m) })
}

var errAgain = errors.New("rolled back by the test")

// open opens a message and commits.
func (w *world) open(at *endpoint, m *bus.Message, from ...string) (*bus.Delivery, error) {
	d := &bus.Delivery{Message: *m}
	err := w.inTx(func(ctx context.Context, tx *sql.Tx) error { return at.Open(ctx, tx, d, from...) })
	return d, err
}

// opens checks that a message opens as a text.
func (w *world) opens(at *endpoint, m *bus.Message, body string) {
	w.t.Helper()
	d, err := w.open(at, m)
	if err != nil {
		w.t.Fatalf("%s opens %q: %v", at.Name(), body, err)
	}
	if string(d.Body) != body || d.ContentType != "text/plain" || d.Type != "thing.done" || string(d.Header("tenant")) != "t1" || string(d.Header("traceparent")) != "00-1-2-3" {
		w.t.Fatalf("%q came as %+v", body, d.Message)
	}
}

// count counts rows.
func (w *world) count(table, where string, args ...any) (n int) {
	w.t.Helper()
	w.must(sqltx.One(w.t.Context(), w.db.Conn(), "SELECT COUNT(*) FROM waxwing_seal_"+table+" WHERE "+where, args, &n))
	return n
}

var sealTables = []string{"identity", "peer", "stream", "session", "skipped", "pinned", "prekey", "replay", "bundle", "group", "member", "sender", "receiver"}

// A backup is all rows of the tables.
type backup map[string][]map[string]any

// dump reads all rows.
func (w *world) dump() backup {
	w.t.Helper()
	out := backup{}
	for _, table := range sealTables {
		rows, err := w.pool.Query("SELECT * FROM waxwing_seal_" + table)
		w.must(err)
		columns, err := rows.Columns()
		w.must(err)
		for rows.Next() {
			values, dest := make([]any, len(columns)), make([]any, len(columns))
			for i := range values {
				dest[i] = &values[i]
			}
			w.must(rows.Scan(dest...))
			row := map[string]any{}
			for i, c := range columns {
				if b, ok := values[i].([]byte); ok {
					values[i] = notNil(slices.Clone(b))
				}
				row[c] = values[i]
			}
			out[table] = append(out[table], row)
		}
		w.must(rows.Err())
		rows.Close()
	}
	return out
}

// same says whether two dumps are alike.
func (b backup) same(c backup) bool { return fmt.Sprint(b) == fmt.Sprint(c) }

// restore puts the rows of an identity back, or all, if name is "".
func (w *world) restore(b backup, name string) {
	w.t.Helper()
	for _, table := range sealTables {
		owner := "local"
		if table == "identity" {
			owner = "name"
		}
		_, err := w.db.Conn().Exec(w.t.Context(), "DELETE FROM waxwing_seal_"+table+" WHERE "+owner+" = ? OR ? = ''", name, name)
		w.must(err)
		for _, row := range b[table] {
			if name != "" && bytesOf(row[owner]) != name {
				continue
			}
			columns := slices.Sorted(maps.Keys(row))
			var args []any
			for _, c := range columns {
				args = append(args, row[c])
			}
			_, err := w.db.Conn().Exec(w.t.Context(), "INSERT INTO waxwing_seal_"+table+" ("+strings.Join(columns, ", ")+") VALUES ("+sqltx.Marks(len(columns))+")", args...)
			w.must(err)
		}
	}
}
