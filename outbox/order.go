package outbox

import (
	"context"
	"hash/fnv"
	"slices"
	"strings"

	"github.com/waxwing-mq/waxwing/bus"
	"github.com/waxwing-mq/waxwing/internal/sqltx"
)

// Transactions that publish the same key must not overlap between the moment in
// which the one's event gets its id and its commit: otherwise the lower id could
// commit, and be published, after the higher one. An inbox, which takes whatever
// has a lower sequence than it has seen for a duplicate, would skip it. Therefore
// Publish locks the keys, until the transaction ends. A lock is of one of slots,
// to which keys are hashed, so that a transaction holds a bounded number of them.
//
//	PostgreSQL   advisory locks, taken by the statement that inserts
//	MySQL        rows of waxwing_outbox_slot, by a statement of their own
//	SQLite       has one writer at a time
const (
	slots     = 1024
	lockClass = 0x77617877 // of PostgreSQL's advisory locks of two numbers
)

// slotsOf are the locks of messages, in the order in which all take them.
func slotsOf(msgs []bus.Message) []int32 {
	var out []int32
	for i := range msgs {
		if msgs[i].Key == "" {
			continue // in no order
		}
		h := fnv.New32a()
		h.Write([]byte(msgs[i].Topic))
		h.Write([]byte{0})
		h.Write([]byte(msgs[i].Key))
		out = append(out, int32(h.Sum32()%slots))
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// lockKeys takes locks, where the statement that inserts does not.
func lockKeys(ctx context.Context, c sqltx.Conn, d sqltx.Dialect, locks []int32) error {
	if d != sqltx.MySQL || len(locks) == 0 {
		return nil
	}
	args := make([]any, len(locks))
	for i, n := range locks {
		args[i] = n
	}
	query := "SELECT slot FROM waxwing_outbox_slot WHERE slot IN (" + sqltx.Marks(len(args)) + ") ORDER BY slot FOR UPDATE"
	return sqltx.Each(ctx, c, query, args, func(read func(...any) error) error {
		var n int
		return read(&n)
	})
}

var types = []string{"smallint", "text", "bytea", "text", "text", "text", "bytea", "bytea", "bigint"}

// insertion is a statement that inserts n rows, which get ids in their order. In
// PostgreSQL its first argument are the locks, which it takes before it gives the
// first id: the rows are joined with a count for which all must have been taken.
func insertion(d sqltx.Dialect, n int) string {
	if n == 1 {
		return insertionOfOne[d]
	}
	return insertionOf(d, n)
}

// insertionOfOne is the usual one, by dialect.
var insertionOfOne = map[sqltx.Dialect]string{
	sqltx.Postgres: insertionOf(sqltx.Postgres, 1), sqltx.MySQL: insertionOf(sqltx.MySQL, 1), sqltx.SQLite: insertionOf(sqltx.SQLite, 1),
}

func insertionOf(d sqltx.Dialect, n int) string {
	begin := "INSERT INTO waxwing_outbox (" + strings.Join(columns, ", ") + ") "
	if d != sqltx.Postgres {
		row := "(" + sqltx.Marks(len(columns)) + ")"
		return begin + "VALUES " + row + strings.Repeat(", "+row, n-1)
	}
	row := "(?::" + strings.Join(types, ", ?::") + ")"
	return begin + "SELECT r.* FROM (SELECT count(*) AS n FROM unnest(?::int[]) AS slot, LATERAL pg_advisory_xact_lock(2002876535, slot)) AS locked, " +
		"(VALUES " + row + strings.Repeat(", "+row, n-1) + ") AS r WHERE locked.n >= 0"
}
