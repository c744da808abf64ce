package saga

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/waxwing-mq/waxwing/bus"
	"github.com/waxwing-mq/waxwing/inbox"
	"github.com/waxwing-mq/waxwing/internal/flow"
	"github.com/waxwing-mq/waxwing/internal/sqltx"
	"github.com/waxwing-mq/waxwing/outbox"
	"github.com/waxwing-mq/waxwing/sqldb"
)

// Participant serves commands of sagas in its own database: what a command does, the
// barrier's row, the inbox's and the reply in the outbox commit together.
type Participant[TX any] struct {
	db *sqldb.DB[TX]
	ib *inbox.Inbox[TX]
	ob *outbox.Outbox[TX]
}

// NewParticipant is a participant whose commands come through ib and whose replies
// go through ob, both of the database db.
func NewParticipant[TX any](db *sqldb.DB[TX], ib *inbox.Inbox[TX], ob *outbox.Outbox[TX]) *Participant[TX] {
	return &Participant[TX]{db, ib, ob}
}

// Run runs the inbox, and has replies sent without delay.
func (p *Participant[TX]) Run(ctx context.Context, sub bus.Subscriber) error {
	return p.ib.Run(ctx, waking[TX]{sub, p.ob})
}

// An Act carries out a command in a transaction, and returns the reply, which
// becomes JSON; nil if there is nothing to say. If it returns an error its writes are
// undone. Rejected and Failed answer so; any other error is the inbox's, which tries
// the command again. It is called at most once with lasting effect.
type Act[T, TX any] func(ctx context.Context, tx TX, cmd T, m *bus.Delivery) (reply any, err error)

// Serve has the commands of a topic and type carried out as actions.
func Serve[T, TX any](p *Participant[TX], topic, commandType string, act Act[T, TX]) {
	serve(p, topic, commandType, flow.Action, act)
}

// ServeCompensation has the commands of a topic and type carried out as
// compensations. act is called only if the action had its effect, and then bars it.
// It should not be rejected: the saga would ask again and then need attention.
func ServeCompensation[T, TX any](p *Participant[TX], topic, commandType string, act Act[T, TX]) {
	serve(p, topic, commandType, flow.Compensation, act)
}

// A refusal is an error that is an answer.
type refusal struct {
	outcome flow.Outcome
	err     error
}

func (r *refusal) Error() string { return r.err.Error() }
func (r *refusal) Unwrap() error { return r.err }

// Rejected answers that the command is refused for good: the saga turns back, or, if
// it cannot any more, asks again.
func Rejected(err error) error { return &refusal{flow.Rejected, orText(err, "rejected")} }

// Failed answers that the command could not be carried out now: the saga asks again
// some times.
func Failed(err error) error { return &refusal{flow.Failed, orText(err, "failed")} }

func orText(err error, text string) error {
	if err == nil {
		return errors.New(text)
	}
	return err
}

func serve[T, TX any](p *Participant[TX], topic, commandType string, op flow.Op, act Act[T, TX]) {
	inbox.Handle(p.ib, topic, commandType, func(ctx context.Context, tx TX, cmd T, m *bus.Delivery) error {
		o, err := readOrder(&m.Message)
		if err == nil && o.op != op {
			err = fmt.Errorf("saga: command %s asks for %q, which %s does not serve", m.ID, o.op, commandType)
		}
		if err == nil && o.replyTo == "" {
			err = fmt.Errorf("saga: command %s does not say where to reply", m.ID)
		}
		if err != nil {
			return inbox.DeadLetter(err)
		}
		a := answer{order: o}
		err = p.perform(ctx, p.db.Bind(tx), &a, func() (any, error) { return act(ctx, tx, cmd, m) })
		if err != nil {
			return err
		}
		return p.reply(ctx, tx, &a)
	})
}

// An answer is what a command comes to.
type answer struct {
	*order
	outcome flow.Outcome
	reply   []byte
	err     string
}

// refused takes what a refusal says.
func (a *answer) refused(r *refusal) {
	a.outcome, a.err, a.reply = r.outcome, cut(r.Error()), nil
}

// errorMax bounds what is told of an error, in bytes.
const errorMax = 1000

// cut is a text that every database takes.
func cut(s string) string {
	s = strings.ReplaceAll(s[:min(len(s), errorMax)], "\x00", "")
	return strings.ToValidUTF8(s, "?")
}

// call calls act, whose writes are undone if it refuses.
func call(ctx context.Context, c sqltx.Conn, a *answer, act func() (any, error)) error {
	if _, err := c.Exec(ctx, "SAVEPOINT waxwing_saga"); err != nil {
		return err
	}
	reply, err := act()
	var r *refusal
	switch {
	case errors.As(err, &r):
		a.refused(r)
		_, err = c.Exec(ctx, "ROLLBACK TO SAVEPOINT waxwing_saga")
	case err == nil && reply != nil:
		a.outcome = flow.OK
		if a.reply, err = json.Marshal(reply); err != nil {
			err = fmt.Errorf("saga: the reply to %s: %w", a.step, err)
		}
	case err == nil:
		a.outcome = flow.OK
	}
	return err
}

// reply puts the answer into the outbox. It has no key: branches answer at once, in
// transactions that nothing orders, and the saga's machine needs no order.
func (p *Participant[TX]) reply(ctx context.Context, tx TX, a *answer) error {
	o := *a.order
	o.replyTo, o.again, o.outcome, o.err = "", false, a.outcome, a.err
	e := outbox.Event{Topic: a.replyTo, Type: ReplyType, Headers: o.headers()}
	if len(a.reply) > 0 {
		e.Data = json.RawMessage(a.reply)
	}
	return p.ob.Publish(ctx, tx, e)
}

// Prune removes rows of the barrier that are older than keep, which must be longer
// than the commands of a saga can be under way. It returns how many.
func (p *Participant[TX]) Prune(ctx context.Context, keep time.Duration) (removed int64, err error) {
	var before int64
	if err := sqltx.One(ctx, p.db.Conn(), "SELECT "+p.db.Dialect().Now(), nil, &before); err != nil {
		return 0, fmt.Errorf("saga: %w", err)
	}
	before -= keep.Microseconds()
	for {
		var sagas []string
		err := sqltx.Each(ctx, p.db.Conn(), fmt.Sprintf("SELECT DISTINCT saga FROM waxwing_saga_barrier WHERE created_us < ? LIMIT %d", pruneBatch), []any{before},
			func(read func(...any) error) error {
				var s string
				err := read(&s)
				sagas = append(sagas, s)
				return err
			})
		if err != nil || len(sagas) == 0 {
			return removed, err
		}
		args := []any{before}
		for _, s := range sagas {
			args = append(args, s)
		}
		n, err := p.db.Conn().Exec(ctx, "DELETE FROM waxwing_saga_barrier WHERE created_us < ? AND saga IN ("+sqltx.Marks(len(sagas))+")", args...)
		if err != nil {
			return removed, fmt.Errorf("saga: %w", err)
		}
		removed += n
	}
}

// pruneBatch is of how many sagas Prune removes the rows at once.
const pruneBatch = 500

// waking is a subscriber that wakes the outbox after what was handled.
type waking[TX any] struct {
	bus.Subscriber
	ob *outbox.Outbox[TX]
}

func (w waking[TX]) Subscribe(ctx context.Context, s bus.Subscription, h bus.Handler) error {
	return w.Subscriber.Subscribe(ctx, s, func(ctx context.Context, ds []*bus.Delivery) (int, error) {
		done, err := h(ctx, ds)
		if done > 0 {
			w.ob.Wake()
		}
		return done, err
	})
}
