package sqltx

import (
	"errors"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5/pgconn"
	"modernc.org/sqlite"
)

// The codes of the errors after which a transaction can be tried again as it is.
const (
	mysqlLockWait    = 1205
	mysqlDeadlock    = 1213
	mysqlNoWait      = 3572 // NOWAIT (MariaDB says 1205)
	mysqlChanged     = 1020 // record has changed since last read (MariaDB's snapshot isolation)
	sqliteBusy       = 5
	sqliteLocked     = 6
	pgSerialization  = "40001"
	pgDeadlock       = "40P01"
	pgLockNotAvail   = "55P03"
	sqlitePrimaryBit = 0xff
)

// Transient says whether the database refused a transaction only because of
// others at the same time: a deadlock, a lock, a conflict. An error can say so itself,
// by a method Transient.
func Transient(err error) bool {
	var itself interface{ Transient() bool }
	if errors.As(err, &itself) && itself.Transient() {
		return true
	}
	var pg *pgconn.PgError
	var my *mysql.MySQLError
	var lite *sqlite.Error
	switch {
	case errors.Is(err, errTurn):
		return true
	case errors.As(err, &pg):
		return pg.Code == pgSerialization || pg.Code == pgDeadlock || pg.Code == pgLockNotAvail
	case errors.As(err, &my):
		return my.Number == mysqlDeadlock || my.Number == mysqlLockWait || my.Number == mysqlNoWait || my.Number == mysqlChanged
	case errors.As(err, &lite):
		code := lite.Code() & sqlitePrimaryBit
		return code == sqliteBusy || code == sqliteLocked
	}
	return false
}
