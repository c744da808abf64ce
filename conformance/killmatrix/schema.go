//go:build killpoints

package killmatrix

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/waxwing-mq/waxwing/sqldb"
	"github.com/waxwing-mq/waxwing/waxtest"
)

// prepare makes the tables of a case.
func prepare(ctx context.Context, db *sqldb.DB[*sql.Tx], pool *sql.DB) error {
	if err := sqldb.Migrate(ctx, db); err != nil {
		return err
	}
	if _, err := waxtest.NewLedger(ctx, db); err != nil {
		return err
	}
	for _, s := range []string{
		"CREATE TABLE account (k VARCHAR(100) PRIMARY KEY, version BIGINT NOT NULL, balance BIGINT NOT NULL)",
		"CREATE TABLE fixed (event_id VARCHAR(100) PRIMARY KEY)", // what the operator has mended
	} {
		if _, err := pool.ExecContext(ctx, s); err != nil {
			return err
		}
	}
	for k := range keys {
		if _, err := pool.ExecContext(ctx, fmt.Sprintf("INSERT INTO account (k, version, balance) VALUES ('key-%d', 0, 0)", k)); err != nil {
			return err
		}
	}
	return nil
}
