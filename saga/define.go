package saga

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"runtime/debug"
	"strings"
	"time"

	"github.com/waxwing-mq/waxwing/bus"
	"github.com/waxwing-mq/waxwing/internal/flow"
)

// A Command is what a participant is asked to do.
type Command struct {
	Topic   string       // where it goes, see bus.Message
	Type    string       // such as "payment.charge"; participants serve commands by it
	Data    any          // the body, as in outbox.Event
	Headers []bus.Header // further ones
}

// A Builder makes a step's command of an instance's state. It is called again for
// each attempt, and must depend on nothing else. An error before the pivot turns the
// saga back; later, or of a compensation, it needs attention.
type Builder[S any] func(state S) (Command, error)

// A Definition says what a saga does. S is an instance's state, kept as JSON.
//
// Name, version and the names of steps are stable: instances that are under way
// refer to them. A change of steps needs a new version; the old one stays registered
// as long as it has instances. The functions of a version may change.
type Definition[S any] struct {
	d    definition
	errs []error
}

// The limits of names, in bytes.
const (
	maxName = 64
	maxID   = 200
)

// Define begins a definition. Its methods add stages, which are carried out in order.
// What is wrong with it, Register tells.
func Define[S any](name string, version int) *Definition[S] {
	d := &Definition[S]{d: definition{ref: ref{name, version}, steps: map[string]*boundStep{}}}
	if name == "" || len(name) > maxName || !plain(name) || strings.Contains(name, "/") {
		d.wrong("its name must have 1 to %d bytes of UTF-8, without a slash and without a space at its end", maxName)
	}
	if version < 1 {
		d.wrong("version %d is less than 1", version)
	}
	return d
}

func (d *Definition[S]) wrong(format string, args ...any) {
	d.errs = append(d.errs, fmt.Errorf("saga %s: "+format, append([]any{d.d.ref}, args...)...))
}

// Step adds a step, that compensation undoes; nil if nothing has to be undone. After
// the pivot there is no compensation, and the action is sent until it succeeds.
func (d *Definition[S]) Step(name string, action, compensation Builder[S], opts ...StepOption) *Definition[S] {
	return d.Parallel(Branch(name, action, compensation, opts...))
}

// Pivot adds the step that decides: if it is rejected the saga turns back, once it
// has succeeded there is only forward. If it does not answer it is asked again,
// since its outcome must be found out.
func (d *Definition[S]) Pivot(name string, action Builder[S], opts ...StepOption) *Definition[S] {
	if d.d.hasPivot() {
		d.wrong("%s is a second pivot", name)
	}
	d.stage(true, Branch(name, action, nil, opts...))
	return d
}

// Parallel adds steps that are carried out at once. If one is refused, the others'
// replies are awaited before the saga turns back.
func (d *Definition[S]) Parallel(branches ...BranchStep[S]) *Definition[S] {
	if len(branches) == 0 {
		d.wrong("a stage without a step")
		return d
	}
	d.stage(false, branches...)
	return d
}

// A BranchStep is a step of those that Parallel takes.
type BranchStep[S any] struct {
	name                 string
	action, compensation Builder[S]
	opts                 []StepOption
}

// Branch is a step for Parallel, as Step has it.
func Branch[S any](name string, action, compensation Builder[S], opts ...StepOption) BranchStep[S] {
	return BranchStep[S]{name, action, compensation, opts}
}

// stage adds a stage.
func (d *Definition[S]) stage(pivot bool, branches ...BranchStep[S]) {
	s := flow.Stage{Pivot: pivot}
	for _, b := range branches {
		if b.name == "" || len(b.name) > maxName || !plain(b.name) {
			d.wrong("step %q: a name must have 1 to %d bytes of UTF-8, without a space at its end", b.name, maxName)
		}
		if d.d.steps[b.name] != nil {
			d.wrong("there are two steps %s", b.name)
		}
		if b.action == nil {
			d.wrong("step %s has no action", b.name)
		}
		if b.compensation != nil && d.d.hasPivot() {
			d.wrong("step %s comes after the pivot and has a compensation, which would never be sent", b.name)
		}
		o := defaultStep
		for _, opt := range b.opts {
			opt(&o)
		}
		if o.state != nil && o.state != reflect.TypeFor[S]() {
			d.wrong("step %s: OnReply is for %s, the state is %s", b.name, o.state, reflect.TypeFor[S]())
		}
		s.Steps = append(s.Steps, flow.Step{
			Name: b.name, Compensable: b.compensation != nil, Timeout: o.timeout,
			Attempts: o.attempts, BackoffMin: o.min, BackoffMax: o.max,
		})
		d.d.steps[b.name] = &boundStep{bind(b.action), bind(b.compensation), o.onReply}
	}
	d.d.plan.Stages = append(d.d.plan.Stages, s)
}

// erased is the definition without its type.
func (d *Definition[S]) erased() (*definition, error) {
	if len(d.d.plan.Stages) == 0 {
		d.wrong("it has no step")
	}
	if len(d.errs) > 0 {
		return nil, errors.Join(d.errs...)
	}
	d.d.shape = shape(&d.d.plan)
	return &d.d, nil
}

// AnyDefinition is a *Definition of any state.
type AnyDefinition interface {
	erased() (*definition, error)
}

// ref names a version of a definition.
type ref struct {
	name    string
	version int
}

func (r ref) String() string { return fmt.Sprintf("%s v%d", r.name, r.version) }

// A definition is a Definition whose functions take and return JSON.
type definition struct {
	ref
	plan  flow.Plan
	shape string
	steps map[string]*boundStep
}

func (d *definition) hasPivot() bool {
	for _, s := range d.plan.Stages {
		if s.Pivot {
			return true
		}
	}
	return false
}

// command builds a step's command.
func (d *definition) command(step string, op flow.Op, data []byte) (c Command, err error) {
	defer recovered(&err)
	build := d.steps[step].action
	if op == flow.Compensation {
		build = d.steps[step].compensation
	}
	c, err = build(data)
	if err == nil && (c.Topic == "" || c.Type == "") {
		err = errors.New("a command without a topic or a type")
	}
	return c, err
}

// accept is the state after the reply to a step's action.
func (d *definition) accept(step string, data, reply []byte) (after []byte, err error) {
	defer recovered(&err)
	if f := d.steps[step].onReply; f != nil {
		return f(data, reply)
	}
	return data, nil
}

// recovered turns a panic of a definition's function into an error, with which a
// saga can go on.
func recovered(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
	}
}

// boundStep are the functions of a step.
type boundStep struct {
	action, compensation func(data []byte) (Command, error)
	onReply              func(data, reply []byte) ([]byte, error)
}

// bind makes a builder read JSON.
func bind[S any](b Builder[S]) func([]byte) (Command, error) {
	if b == nil {
		return nil
	}
	return func(data []byte) (Command, error) {
		var s S
		if err := json.Unmarshal(data, &s); err != nil {
			return Command{}, fmt.Errorf("the state: %w", err)
		}
		return b(s)
	}
}

// shape identifies what instances depend on: stages, names, pivot, compensations.
func shape(p *flow.Plan) string {
	h := sha256.New()
	for _, s := range p.Stages {
		fmt.Fprintf(h, "%t:", s.Pivot)
		for _, step := range s.Steps {
			fmt.Fprintf(h, "%q %t,", step.Name, step.Compensable)
		}
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}

// A StepOption changes how a step is carried out.
type StepOption func(*stepOptions)

type stepOptions struct {
	timeout  time.Duration
	attempts int
	min, max time.Duration
	onReply  func(data, reply []byte) ([]byte, error)
	state    reflect.Type // that onReply is for
}

var defaultStep = stepOptions{attempts: 10, min: time.Second, max: 5 * time.Minute}

// Timeout is how long a reply may take, for the action and for the compensation. By
// default, and with 0, the saga waits as long as it takes: nothing is lost on the
// way, but a participant may be down. The outcome of a step before the pivot that
// does not answer is unknown, so that it is compensated too.
func Timeout(d time.Duration) StepOption { return func(o *stepOptions) { o.timeout = d } }

// Attempts is how often, 10 by default, a command is sent: an action that failed
// without being rejected, an action that must succeed, a compensation. Then the saga
// turns back or needs attention. With 0 it is sent without end.
func Attempts(n int) StepOption { return func(o *stepOptions) { o.attempts = max(n, 0) } }

// Backoff bounds the pause before the next attempt, which doubles each time: by
// default 1 s and 5 min.
func Backoff(min, max time.Duration) StepOption {
	return func(o *stepOptions) { o.min, o.max = min, max }
}

// OnReply keeps in the state what the reply to a step's action says. An error before
// the pivot turns the saga back, the step included; later it needs attention.
func OnReply[S, R any](f func(state *S, reply R) error) StepOption {
	return func(o *stepOptions) {
		o.state = reflect.TypeFor[S]()
		o.onReply = func(data, reply []byte) ([]byte, error) {
			var s S
			var r R
			if err := json.Unmarshal(data, &s); err != nil {
				return nil, fmt.Errorf("the state: %w", err)
			}
			if len(reply) > 0 {
				if err := json.Unmarshal(reply, &r); err != nil {
					return nil, fmt.Errorf("the reply: %w", err)
				}
			}
			if err := f(&s, r); err != nil {
				return nil, err
			}
			return json.Marshal(s)
		}
	}
}
