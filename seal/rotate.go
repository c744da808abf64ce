package seal

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/waxwing-mq/waxwing/internal/sqltx"
	"github.com/waxwing-mq/waxwing/sqldb"
)

// A wrappedTable is a table with secrets, and how its rows are identified.
type wrappedTable struct {
	name   string
	owner  string   // column with the identity's name
	key    []string // the other columns of the primary key, texts and numbers as such
	extra  []string // further columns of the row's identity
	secret string
	id     func(local string, values []any) []byte // of key and extra columns
}

func bytesOf(v any) string {
	switch v := v.(type) {
	case []byte:
		return string(v)
	case string:
		return v
	case int64:
		return strconv.FormatInt(v, 10)
	}
	return fmt.Sprint(v)
}

// plainID is a row's identity out of its columns as they are.
func plainID(table string) func(string, []any) []byte {
	return func(local string, values []any) []byte {
		parts := []string{local}
		for _, v := range values {
			parts = append(parts, bytesOf(v))
		}
		return rowID(table, parts...)
	}
}

var wrappedTables = []wrappedTable{
	{name: "waxwing_seal_identity", owner: "name", secret: "secret", id: plainID("identity")},
	{name: "waxwing_seal_session", owner: "local", key: []string{"tag"}, secret: "state", id: plainID("session")},
	{name: "waxwing_seal_skipped", owner: "local", key: []string{"tag", "chain", "pq", "n"}, secret: "secret", id: skippedID},
	{name: "waxwing_seal_pinned", owner: "local", key: []string{"envelope"}, secret: "secret", id: plainID("pinned")},
	{name: "waxwing_seal_prekey", owner: "local", key: []string{"id"}, secret: "secret", id: plainID("prekey")},
	{name: "waxwing_seal_sender", owner: "local", key: []string{"name", "instance", "lane"}, extra: []string{"tag"}, secret: "state", id: plainID("sender")},
	{name: "waxwing_seal_receiver", owner: "local", key: []string{"tag"}, secret: "state", id: plainID("receiver")},
}

// skippedID is the identity that skippedRow gives.
func skippedID(local string, values []any) []byte {
	n, _ := strconv.ParseUint(bytesOf(values[3]), 10, 32)
	var b [5]byte
	binary.BigEndian.PutUint32(b[:], uint32(n))
	b[4] = bytesOf(values[2])[0] - '0'
	return rowID("skipped", local, bytesOf(values[0]), bytesOf(values[1]), string(b[:]))
}

const rotateBatch = 50

// Rotate rewraps all of the identity's rows that are not wrapped under the active storage
// key, in transactions of a few, and returns how many those were. All processes must have
// the new key in their rings before it becomes the active one of any. It may be
// interrupted, and goes on when it is called again; messages are sealed and opened
// meanwhile. After it, backups and replicas apart, the old key opens nothing.
func (e *Endpoint[TX]) Rotate(ctx context.Context) (rows int, err error) {
	for i := range wrappedTables {
		n, err := e.core.rotate(ctx, &wrappedTables[i])
		rows += n
		if err != nil {
			return rows, fmt.Errorf("seal: %s: %w", wrappedTables[i].name, err)
		}
	}
	return rows, nil
}

// rotate rewraps the rows of a table.
func (e *core) rotate(ctx context.Context, t *wrappedTable) (total int, err error) {
	for {
		n := 0
		err := e.inTx(ctx, func(ctx context.Context, c sqltx.Conn) (err error) {
			n, err = e.rewrap(ctx, c, t)
			return err
		})
		if err != nil && !sqltx.Transient(err) {
			return total, err
		}
		if err == nil {
			total += n
		}
		if n > 0 {
			continue
		}
		var left int
		if err := sqltx.One(ctx, e.conn, "SELECT COUNT(*) FROM "+t.name+" WHERE "+t.owner+" = ? AND wrap_id <> ?", []any{e.local, int64(e.keys.active)}, &left); err != nil || left == 0 {
			return total, err
		}
		if err := sleep(ctx, 20*time.Millisecond); err != nil { // others have them locked
			return total, err
		}
	}
}

// rewrap rewraps a batch of rows that nobody has locked.
func (e *core) rewrap(ctx context.Context, c sqltx.Conn, t *wrappedTable) (int, error) {
	type row struct {
		values  []any
		wrapped []byte
	}
	var rows []row
	columns := append(append([]string{}, t.key...), t.extra...)
	err := sqltx.Each(ctx, c, "SELECT "+strings.Join(append(slices.Clone(columns), t.secret), ", ")+" FROM "+t.name+" WHERE "+t.owner+" = ? AND wrap_id <> ? LIMIT "+
		strconv.Itoa(rotateBatch)+e.dialect.SkipLocked(), []any{e.local, int64(e.keys.active)}, func(read func(...any) error) error {
		r := row{values: make([]any, len(columns))}
		var dest []any
		for i := range r.values {
			dest = append(dest, &r.values[i])
		}
		err := read(append(dest, &r.wrapped)...)
		for i, v := range r.values {
			if b, ok := v.([]byte); ok {
				r.values[i] = slices.Clone(b)
			}
		}
		rows = append(rows, r)
		return err
	})
	if err != nil {
		return 0, err
	}
	where := t.owner + " = ?"
	for _, k := range t.key {
		where += " AND " + k + " = ?"
	}
	for _, r := range rows {
		id, wrapped := t.id(e.local, r.values), []byte{}
		if len(r.wrapped) > 0 {
			secret, err := e.keys.unwrap(id, r.wrapped)
			if err != nil {
				return 0, err
			}
			wrapped = e.keys.wrap(id, secret)
		}
		args := append([]any{wrapped, int64(e.keys.active), e.local}, r.values[:len(t.key)]...)
		n, err := c.Exec(ctx, "UPDATE "+t.name+" SET "+t.secret+" = ?, wrap_id = ? WHERE "+where, args...)
		if err != nil {
			return 0, err
		}
		if n != 1 {
			return 0, text(ErrConflict, "a row")
		}
	}
	return len(rows), nil
}

// StoreIdentity keeps an identity in the database, wrapped, in place of one of its name. In
// a database that has none of that name, the next Publish replaces what others were to be
// given of another database's keys.
func StoreIdentity[TX any](ctx context.Context, db *sqldb.DB[TX], keys *KeyRing, id *Identity) error {
	wrapped := keys.wrap(rowID("identity", id.name), id.bytes())
	return failed(db.InTx(ctx, func(ctx context.Context, tx TX) error {
		c := db.Bind(tx)
		n, err := c.Exec(ctx, db.Dialect().InsertOnce("waxwing_seal_identity", "name", "wrap_id", "secret", "next_id", "renew", "signer"), id.name, int64(keys.active), wrapped, 1, 1, []byte{})
		if err != nil || n == 1 {
			return err
		}
		_, err = c.Exec(ctx, "UPDATE waxwing_seal_identity SET wrap_id = ?, secret = ? WHERE name = ?", int64(keys.active), wrapped, id.name)
		return err
	}))
}

// ErrNoIdentity means that the database has no identity of a name.
var ErrNoIdentity = errors.New("seal: the database has no such identity")

// LoadIdentity reads an identity that StoreIdentity has stored. It returns ErrNoIdentity
// if there is none.
func LoadIdentity[TX any](ctx context.Context, db *sqldb.DB[TX], keys *KeyRing, name string) (*Identity, error) {
	var wrapped []byte
	err := sqltx.One(ctx, db.Conn(), "SELECT secret FROM waxwing_seal_identity WHERE name = ?", []any{name}, &wrapped)
	if errors.Is(err, sqltx.ErrNoRows) || err == nil && len(wrapped) == 0 {
		return nil, ErrNoIdentity
	}
	if err != nil {
		return nil, failed(err)
	}
	b, err := keys.unwrap(rowID("identity", name), wrapped)
	if err != nil {
		return nil, err
	}
	return identityOf(b)
}
