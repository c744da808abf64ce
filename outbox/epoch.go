package outbox

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/waxwing-mq/waxwing/internal/sqltx"
)

// epochName is the row of waxwing_meta that holds the epoch.
const epochName = "outbox-epoch"

func newEpoch() string { return strings.ReplaceAll(newID(), "-", "")[:16] }

// epoch is the name of the run of ids that the database is in; the first who asks
// makes it up.
func (s *store) epoch(ctx context.Context) (value string, err error) {
	if _, err := s.conn.Exec(ctx, s.dialect.InsertOnce("waxwing_meta", "name", "value"), epochName, newEpoch()); err != nil {
		return "", err
	}
	err = sqltx.One(ctx, s.conn, "SELECT value FROM waxwing_meta WHERE name = ?", []any{epochName}, &value)
	return value, err
}

// RenewEpoch begins a new epoch. Call it after a database was restored from a
// backup, or a failover lost commits, before relays run again: ids that were
// handed out before may be handed out again then, and consumers would take the new
// events for duplicates of the old ones. A relay that runs stays in the epoch in
// which it started.
func (o *Outbox[TX]) RenewEpoch(ctx context.Context) error {
	s := o.store()
	if _, err := s.epoch(ctx); err != nil {
		return fmt.Errorf("outbox: epoch: %w", err)
	}
	if _, err := s.conn.Exec(ctx, "UPDATE waxwing_meta SET value = ? WHERE name = ?", newEpoch(), epochName); err != nil {
		return fmt.Errorf("outbox: epoch: %w", err)
	}
	return nil
}

// sequence is the value of bus.HeaderSequence.
func sequence(epoch string, id int64) []byte {
	return strconv.AppendInt([]byte(epoch+":"), id, 10)
}
