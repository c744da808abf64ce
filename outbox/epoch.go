package outbox

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/waxwing-mq/waxwing/internal/sqltx"
)

// epochName is the row of waxwing_meta that holds the epochs.
const epochName = "outbox-epoch"

func newEpoch() string { return strings.ReplaceAll(newID(), "-", "")[:16] }

// epochs are the names of the runs of ids that a database has been in: the current
// one, behind those before it of which events may still wait, each with the last id
// that it has named. In the database they are a text, "older:20 old:100 current".
type epochs []epoch

type epoch struct {
	name string
	last int64 // of the current one 0
}

func parseEpochs(text string) (out epochs, err error) {
	for f := range strings.FieldsSeq(text) {
		name, last, past := strings.Cut(f, ":")
		e := epoch{name: name}
		if past {
			if e.last, err = strconv.ParseInt(last, 10, 64); err != nil {
				return nil, fmt.Errorf("outbox: epochs %q: %w", text, err)
			}
		}
		out = append(out, e)
	}
	if len(out) == 0 || out[len(out)-1].last != 0 {
		return nil, fmt.Errorf("outbox: epochs %q have no current one", text)
	}
	return out, nil
}

func (es epochs) String() string {
	var b strings.Builder
	for _, e := range es[:len(es)-1] {
		fmt.Fprintf(&b, "%s:%d ", e.name, e.last)
	}
	return b.String() + es.current()
}

// current is the name of the current epoch.
func (es epochs) current() string { return es[len(es)-1].name }

// of is the epoch that names an id.
func (es epochs) of(id int64) string {
	for _, e := range es[:len(es)-1] {
		if id <= e.last {
			return e.name
		}
	}
	return es.current()
}

// next are the epochs after a renewal, at which the outbox holds ids from first to
// last; both are 0 if it is empty.
func (es epochs) next(first, last int64) (out epochs) {
	for _, e := range es {
		if e.last == 0 {
			e.last = last
		}
		if e.last >= first && first > 0 { // some of its events wait
			out = append(out, e)
		}
	}
	return append(out, epoch{name: newEpoch()})
}

// epochs reads them; the first who asks makes the first one up.
func (s *store) epochs(ctx context.Context) (epochs, error) {
	var text string
	read := func(c sqltx.Conn) error {
		return sqltx.One(ctx, c, "SELECT value FROM waxwing_meta WHERE name = ?", []any{epochName}, &text)
	}
	err := read(s.conn)
	if errors.Is(err, sqltx.ErrNoRows) {
		if err = s.makeEpoch(ctx, s.conn); err == nil {
			err = read(s.conn)
		}
	}
	if err != nil {
		return nil, err
	}
	return parseEpochs(text)
}

func (s *store) makeEpoch(ctx context.Context, c sqltx.Conn) error {
	_, err := c.Exec(ctx, s.dialect.InsertOnce("waxwing_meta", "name", "value"), epochName, newEpoch())
	return err
}

// RenewEpoch begins a new epoch. Call it after a database was restored from a
// backup, a failover lost commits, or a database was cloned, before anybody writes
// to it or runs a relay: ids that were handed out before may be handed out again
// then, and consumers would take the new events for duplicates of the old ones.
// Events that the backup holds keep the epoch that they had, so that those which
// were published after the backup are known as duplicates. It takes the leases from
// relays that run all the same; they go on in the new epoch.
func (o *Outbox[TX]) RenewEpoch(ctx context.Context) error {
	s := o.store()
	if err := s.inTx(ctx, func(ctx context.Context, c sqltx.Conn) error { return s.renewEpoch(ctx, c) }); err != nil {
		return fmt.Errorf("outbox: epoch: %w", err)
	}
	return nil
}

func (s *store) renewEpoch(ctx context.Context, c sqltx.Conn) error {
	if err := s.makeEpoch(ctx, c); err != nil {
		return err
	}
	var text string
	if err := sqltx.One(ctx, c, "SELECT value FROM waxwing_meta WHERE name = ?"+s.dialect.ForUpdate(), []any{epochName}, &text); err != nil {
		return err
	}
	es, err := parseEpochs(text)
	if err != nil {
		return err
	}
	var first, last int64
	if err := sqltx.One(ctx, c, "SELECT COALESCE(MIN(id), 0), COALESCE(MAX(id), 0) FROM waxwing_outbox", nil, &first, &last); err != nil {
		return err
	}
	if _, err := c.Exec(ctx, "UPDATE waxwing_meta SET value = ? WHERE name = ?", es.next(first, last).String(), epochName); err != nil {
		return err
	}
	// The tokens that were handed out since the backup are forgotten, too: the next are
	// higher than any of them.
	_, err = c.Exec(ctx, "UPDATE waxwing_outbox_lease SET owner = '', expires_us = 0, token = token + "+s.dialect.Now())
	return err
}

// sequence is the value of bus.HeaderSequence.
func sequence(epoch string, id int64) []byte {
	return strconv.AppendInt([]byte(epoch+":"), id, 10)
}
