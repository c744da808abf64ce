package saga

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/waxwing-mq/waxwing/bus"
	"github.com/waxwing-mq/waxwing/inbox"
	"github.com/waxwing-mq/waxwing/internal/flow"
	"github.com/waxwing-mq/waxwing/internal/killpoint"
	"github.com/waxwing-mq/waxwing/internal/sqltx"
	"github.com/waxwing-mq/waxwing/outbox"
)

// unregisteredPause is how long a reply to an unregistered definition is put off,
// until a process that knows it takes it.
const unregisteredPause = time.Minute

// reply handles a participant's reply, in the inbox's transaction.
func (e *Engine[TX]) reply(ctx context.Context, tx TX, m *bus.Delivery) error {
	o, err := readOrder(&m.Message)
	if err != nil {
		return inbox.DeadLetter(err)
	}
	switch o.outcome {
	case flow.OK, flow.Rejected, flow.Failed, flow.Barred:
	default:
		return inbox.DeadLetter(fmt.Errorf("saga: reply %s: %q is no outcome", m.ID, o.outcome))
	}
	c := e.db.Bind(tx)
	in, err := e.load(ctx, c, o.saga, false)
	switch {
	case errors.Is(err, ErrUnregistered):
		return inbox.Retry(unregisteredPause, err)
	case err != nil:
		return err
	case in == nil || in.def.name != o.name:
		e.stats.ignored("unknown-saga")
		return nil
	case !in.State().Live():
		e.stats.ignored("ended")
		return nil
	}
	ev := flow.Event{Kind: flow.Reply, Step: o.step, Op: o.op, Attempt: o.attempt, Outcome: o.outcome, Error: o.err}
	if ev.Outcome != flow.OK && ev.Error == "" {
		ev.Error = string(o.outcome)
	}
	t := transition{in: in, replyTo: e.replyTo, reply: m.Body}
	if ignored := t.take(ev); ignored != "" {
		e.stats.ignored(ignored)
		return nil
	}
	t.operator()
	return e.commit(ctx, tx, c, &t)
}

// A transition is what one or more events make of an instance.
type transition struct {
	in      *instance
	replyTo string
	reply   []byte // body of the reply that is the event
	sends   []outbox.Event
	ops     []flow.Op // of sends
	undone  []string  // results of compensations, for the metrics
	stuck   []int     // steps that need an operator from now on, for the log
	rearm   bool      // the timer's row is to say exactly when
}

// take applies an event, and those that follow if a command cannot be built. It
// returns why it does not.
func (t *transition) take(ev flow.Event) (ignored string) {
	next, effects, ignored := t.in.def.plan.Decide(t.in.Saga, ev)
	if ignored != "" {
		return ignored
	}
	if slices.ContainsFunc(effects, func(f flow.Effect) bool { return f.Do == flow.Accept }) {
		if err := t.accept(ev.Step); err != nil {
			ev.Outcome, ev.Error = flow.Unusable, err.Error()
			return t.take(ev)
		}
	}
	t.note(next)
	t.in.Saga = next
	for _, broken := range t.carryOut(effects) {
		t.take(broken)
	}
	return ""
}

// accept keeps what a reply says in the instance's state.
func (t *transition) accept(step string) error {
	data, err := t.in.def.accept(step, t.in.data, t.reply)
	if err == nil {
		t.in.data = data
	}
	return err
}

// carryOut collects commands and sets timers. It returns an event for each command
// that cannot be built.
func (t *transition) carryOut(effects []flow.Effect) (broken []flow.Event) {
	for _, f := range effects {
		switch f.Do {
		case flow.Send:
			if err := t.send(f); err != nil {
				broken = append(broken, flow.Event{Kind: flow.Broken, Step: f.Step, Op: f.Op, Error: err.Error()})
			}
		case flow.Set:
			if t.in.Due == nil {
				t.in.Due = map[string]int64{}
			}
			t.in.Due[f.Step] = t.in.now + f.After.Microseconds()
		case flow.Clear:
			delete(t.in.Due, f.Step)
		}
	}
	return broken
}

// send builds a command.
func (t *transition) send(f flow.Effect) error {
	cmd, err := t.in.def.command(f.Step, f.Op, t.in.data)
	if err != nil {
		return err
	}
	o := order{saga: t.in.id, name: t.in.def.name, step: f.Step, op: f.Op, attempt: f.Attempt, again: f.Again, replyTo: t.replyTo}
	t.sends = append(t.sends, outbox.Event{
		Topic: cmd.Topic, Key: t.key(f.Op), Type: cmd.Type, Data: cmd.Data,
		Headers: slices.Concat(cmd.Headers, o.headers()),
	})
	t.ops = append(t.ops, f.Op)
	return nil
}

// key is what commands are ordered by: the instance, whose row is locked. A
// compensation must not wait behind an action that its participant's inbox has put
// aside; the barrier needs no order.
func (t *transition) key(op flow.Op) string {
	if op == flow.Compensation {
		return t.in.id + "/compensate"
	}
	return t.in.id
}

// operator does what an operator has asked for meanwhile.
func (t *transition) operator() {
	switch t.in.request {
	case requestRetry:
		t.take(flow.Event{Kind: flow.Retry})
	case requestSkip:
		t.take(flow.Event{Kind: flow.Skip})
	}
}

// note notes how compensations ended, and what is stuck.
func (t *transition) note(next flow.Saga) {
	for i, s := range t.in.Steps {
		now := next.Steps[i].Status
		if now == s.Status {
			continue
		}
		if now == flow.Stuck || now == flow.UndoStuck {
			t.stuck = append(t.stuck, i)
		}
		switch now {
		case flow.Undone:
			t.undone = append(t.undone, "ok")
		case flow.UndoWaiting:
			t.undone = append(t.undone, "failed")
		case flow.UndoStuck:
			t.undone = append(t.undone, "stuck")
		case flow.UndoSkipped:
			t.undone = append(t.undone, "skipped")
		}
	}
}

// due is when the instance is to be looked at again; after its end, to remove it.
func (t *transition) due(keep time.Duration) int64 {
	if !t.in.State().Live() && keep > 0 {
		return t.in.now + keep.Microseconds()
	}
	return t.in.next()
}

// commit writes a transition: the row, the commands, the timer. The row is first,
// since its lock orders the commands of an instance.
func (e *Engine[TX]) commit(ctx context.Context, tx TX, c sqltx.Conn, t *transition) error {
	timer, change := t.timer(e.opts.keep)
	t.in.Timer = timer
	if err := e.save(ctx, c, t.in); err != nil {
		return err
	}
	if err := e.publish(ctx, tx, t); err != nil {
		return err
	}
	if change {
		if err := e.setTimer(ctx, c, t.in.id, timer); err != nil {
			return err
		}
	}
	e.tell(t)
	return nil
}

// tell counts a transition, and logs what needs an operator from now on. It may be
// told again, if the transaction does not commit.
func (e *Engine[TX]) tell(t *transition) {
	e.stats.transition(t)
	for _, i := range t.stuck {
		if s := &t.in.Steps[i]; s.Status == flow.Stuck || s.Status == flow.UndoStuck {
			e.opts.log.Warn("saga: a step needs an operator", "saga", t.in.id, "name", t.in.def.name, "step", s.Name, "status", string(s.Status), "reason", s.Error)
		}
	}
}

// timer is what the timer's row is to say, and whether it does not do so yet. A row
// that is earlier than need be stays, which saves a statement for most transitions.
func (t *transition) timer(keep time.Duration) (due int64, change bool) {
	due, now := t.due(keep), t.in.Timer
	if !t.rearm && t.in.State().Live() && now != 0 && (due == 0 || due >= now) {
		return now, false
	}
	return due, due != now || t.rearm
}

// publish puts a transition's commands into the outbox.
func (e *Engine[TX]) publish(ctx context.Context, tx TX, t *transition) error {
	if len(t.sends) == 0 {
		return nil
	}
	if err := t.kill(ctx, killpoint.Before); err != nil {
		return err
	}
	if err := e.ob.Publish(ctx, tx, t.sends...); err != nil {
		return fmt.Errorf("saga %s: %w", t.in.id, err)
	}
	return t.kill(ctx, killpoint.After)
}

// kill are the kill points of commands and compensations.
func (t *transition) kill(ctx context.Context, ph killpoint.Phase) (err error) {
	if slices.Contains(t.ops, flow.Action) {
		err = killpoint.At(ctx, killpoint.SagaCommand, ph)
	}
	if err == nil && slices.Contains(t.ops, flow.Compensation) {
		err = killpoint.At(ctx, killpoint.SagaCompensate, ph)
	}
	return err
}
