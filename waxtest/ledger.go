package waxtest

import (
	"context"

	"github.com/waxwing-mq/waxwing/internal/sqltx"
	"github.com/waxwing-mq/waxwing/sqldb"
)

// A Ledger is two tables in which causes and effects are written down, in the
// transactions in which they happen. They have no unique keys, so that nothing
// hides what happens twice.
type Ledger[TX any] struct{ db *sqldb.DB[TX] }

// NewLedger makes the tables waxtest_cause and waxtest_effect, unless they are
// there.
func NewLedger[TX any](ctx context.Context, db *sqldb.DB[TX]) (*Ledger[TX], error) {
	id := map[sqltx.Dialect]string{
		sqltx.Postgres: "BIGINT GENERATED ALWAYS AS IDENTITY (CACHE 1) PRIMARY KEY",
		sqltx.MySQL:    "BIGINT AUTO_INCREMENT PRIMARY KEY",
		sqltx.SQLite:   "INTEGER PRIMARY KEY AUTOINCREMENT",
	}[db.Dialect()]
	blob := "VARBINARY(1000)"
	if db.Dialect() == sqltx.Postgres {
		blob = "BYTEA"
	}
	for _, s := range []string{
		"CREATE TABLE IF NOT EXISTS waxtest_cause (id " + id + ", cause_id VARCHAR(255) NOT NULL, cause_key " + blob + " NOT NULL, version BIGINT NOT NULL)",
		"CREATE TABLE IF NOT EXISTS waxtest_effect (id " + id + ", consumer VARCHAR(255) NOT NULL, cause_id VARCHAR(255) NOT NULL, cause_key " + blob + " NOT NULL, version BIGINT NOT NULL, amount BIGINT NOT NULL)",
	} {
		if _, err := db.Conn().Exec(ctx, s); err != nil {
			return nil, err
		}
	}
	return &Ledger[TX]{db}, nil
}

// Cause writes down a cause in the transaction that commits it.
func (l *Ledger[TX]) Cause(ctx context.Context, tx TX, c Cause) error {
	_, err := l.db.Bind(tx).Exec(ctx, "INSERT INTO waxtest_cause (cause_id, cause_key, version) VALUES (?, ?, ?)", c.ID, []byte(c.Key), c.Version)
	return err
}

// Effect writes down an effect in the transaction that has it.
func (l *Ledger[TX]) Effect(ctx context.Context, tx TX, e Effect) error {
	_, err := l.db.Bind(tx).Exec(ctx, "INSERT INTO waxtest_effect (consumer, cause_id, cause_key, version, amount) VALUES (?, ?, ?, ?, ?)",
		e.Consumer, e.CauseID, []byte(e.Key), e.Version, e.Amount)
	return err
}

// Causes are all causes so far, in the order of their ids.
func (l *Ledger[TX]) Causes(ctx context.Context) (out []Cause, err error) {
	err = sqltx.Each(ctx, l.db.Conn(), "SELECT cause_id, cause_key, version FROM waxtest_cause ORDER BY id", nil, func(read func(...any) error) error {
		var c Cause
		var key []byte
		if err := read(&c.ID, &key, &c.Version); err != nil {
			return err
		}
		c.Key = string(key)
		out = append(out, c)
		return nil
	})
	return out, err
}

// Effects are all effects so far, in the order of their ids, which for the effects
// of a key is that of their commits.
func (l *Ledger[TX]) Effects(ctx context.Context) (out []Effect, err error) {
	err = sqltx.Each(ctx, l.db.Conn(), "SELECT consumer, cause_id, cause_key, version, amount FROM waxtest_effect ORDER BY id", nil, func(read func(...any) error) error {
		var e Effect
		var key []byte
		if err := read(&e.Consumer, &e.CauseID, &key, &e.Version, &e.Amount); err != nil {
			return err
		}
		e.Key = string(key)
		out = append(out, e)
		return nil
	})
	return out, err
}
