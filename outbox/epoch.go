package outbox

import (
	"context"
	"errors"
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
	read := func() error {
		return sqltx.One(ctx, s.conn, "SELECT value FROM waxwing_meta WHERE name = ?", []any{epochName}, &value)
	}
	if err = read(); !errors.Is(err, sqltx.ErrNoRows) {
		return value, err
	}
	if err = s.makeEpoch(ctx, s.conn); err == nil {
		err = read()
	}
	return value, err
}

func (s *store) makeEpoch(ctx context.Context, c sqltx.Conn) error {
	_, err := c.Exec(ctx, s.dialect.InsertOnce("waxwing_meta", "name", "value"), epochName, newEpoch())
	return err
}

// RenewEpoch begins a new epoch. Call it after a database was restored from a
// backup, or a failover lost commits, before relays run again: ids that were
// handed out before may be handed out again then, and consumers would take the new
// events for duplicates of the old ones. It takes the leases from relays that run
// all the same; they go on in the new epoch.
func (o *Outbox[TX]) RenewEpoch(ctx context.Context) error {
	s := o.store()
	err := s.inTx(ctx, func(ctx context.Context, c sqltx.Conn) error {
		if err := s.makeEpoch(ctx, c); err != nil {
			return err
		}
		if _, err := c.Exec(ctx, "UPDATE waxwing_meta SET value = ? WHERE name = ?", newEpoch(), epochName); err != nil {
			return err
		}
		// The tokens that were handed out since the backup are forgotten, too: the next are
		// higher than any of them.
		_, err := c.Exec(ctx, "UPDATE waxwing_outbox_lease SET owner = '', expires_us = 0, token = token + "+s.dialect.Now())
		return err
	})
	if err != nil {
		return fmt.Errorf("outbox: epoch: %w", err)
	}
	return nil
}

// sequence is the value of bus.HeaderSequence.
func sequence(epoch string, id int64) []byte {
	return strconv.AppendInt([]byte(epoch+":"), id, 10)
}
