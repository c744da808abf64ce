package demo

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
)

// A Result is how a demonstration went. Placed, Completed and Compensated depend on
// the number of orders and the seed alone.
type Result struct {
	Orders      int    `json:"orders"` // that were asked for
	Seed        uint64 `json:"seed"`
	Chaos       bool   `json:"chaos"`
	Break       string `json:"break,omitempty"` // the safeguard that was removed
	Placed      int    `json:"placed"`
	Completed   int    `json:"completed"`
	Compensated int    `json:"compensated"`

	Money Money `json:"money"`
	Stock Stock `json:"stock"`

	Sealed Sealed `json:"sealed"`

	FaultsFired int     `json:"faultsFired"`
	Faults      []Fault `json:"faults"`
	Requests    int64   `json:"requests"`   // that the client has sent, for Orders
	Resent      int     `json:"resent"`     // events that relays have sent again
	Takeovers   int     `json:"takeovers"`  // of a relay from another
	Batches     int     `json:"batches"`    // that, for that reason, were sent again
	Duplicates  int     `json:"duplicates"` // messages that inboxes have skipped, at least
	Replayed    int     `json:"replayed"`   // events that were delivered once more at the end
	Effects     int     `json:"effects"`
	Doubled     int     `json:"doubled"` // effects that happened again
	Lost        int     `json:"lost"`    // effects that did not happen

	Violations []string `json:"violations"` // what checks found
	Seconds    float64  `json:"seconds"`
	Folder     string   `json:"folder,omitempty"` // with everything, if it was kept
}

// Money is in cents.
type Money struct {
	Begin     int64 `json:"begin"`
	Customers int64 `json:"customers"`
	Merchant  int64 `json:"merchant"`
	Conserved bool  `json:"conserved"`
}

// Stock is in pieces.
type Stock struct {
	Begin     int64 `json:"begin"`
	Available int64 `json:"available"`
	Reserved  int64 `json:"reserved"`
	Shipped   int64 `json:"shipped"`
	Conserved bool  `json:"conserved"`
}

// Sealed is what became of payment details.
type Sealed struct {
	Opened    int `json:"opened"`    // by payment, of charges
	Plaintext int `json:"plaintext"` // messages in which they could be read on the wire
	OnDisk    int `json:"onDisk"`    // places in the broker's files where they can be read
}

// A Fault is something bad that was done.
type Fault struct {
	Name     string `json:"name"`
	Fired    int    `json:"fired"`
	InFlight int    `json:"inFlight"` // orders, or messages, that it hit
}

// fill takes over what the trial says.
func (r *Result) fill(t *trial) {
	e := t.after
	r.Placed = len(e.orders)
	for _, state := range e.sagas {
		switch state {
		case "completed":
			r.Completed++
		case "compensated":
			r.Compensated++
		}
	}
	r.Money = Money{t.begin.money, e.customers, e.merchant, e.customers+e.merchant == t.begin.money}
	r.Stock = Stock{t.begin.pieces, e.available, e.reserved, e.gone, e.available+e.reserved+e.gone == t.begin.pieces}
	r.Sealed = Sealed{t.opened(), len(t.plaintext()), t.onDisk}
	r.Faults = []Fault{}
	if t.chaos {
		for _, f := range t.allFaults() {
			r.Faults = append(r.Faults, Fault(f))
			r.FaultsFired += f.Fired
		}
	}
	r.Resent, r.Replayed = t.resent(), len(e.causes)
	r.Effects, r.Doubled, r.Lost = t.tally()
	r.Violations = []string{}
	defer func() { r.Batches = t.batches }()
	for _, n := range t.before.takeovers {
		r.Takeovers += n
	}
	for _, v := range t.check() {
		r.Violations = append(r.Violations, v.String())
	}
}

// Err is an error if a check failed.
func (r *Result) Err() error {
	if len(r.Violations) == 0 {
		return nil
	}
	checks := map[string]bool{}
	var names []string
	for _, v := range r.Violations {
		name, _, _ := strings.Cut(v, ":")
		if !checks[name] {
			checks[name] = true
			names = append(names, name)
		}
	}
	text := fmt.Sprintf("the checks failed: %s", strings.Join(names, ", "))
	if r.Break != "" {
		text += fmt.Sprintf(" (as they should without %q)", r.Break)
	}
	return fmt.Errorf("%s", text)
}

// Print writes the result as a table.
func (r *Result) Print(w io.Writer) error {
	tw := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	row := func(name, format string, args ...any) {
		fmt.Fprintf(tw, "%s\t%s\n", name, fmt.Sprintf(format, args...))
	}
	yes := map[bool]string{true: "conserved", false: "NOT CONSERVED"}
	row("orders placed", "%d, by %d requests", r.Placed, r.Requests)
	row("completed", "%d", r.Completed)
	row("compensated", "%d", r.Compensated)
	row("money", "%s: customers %s + merchant %s = %s", yes[r.Money.Conserved], cents(r.Money.Customers), cents(r.Money.Merchant), cents(r.Money.Begin))
	row("stock", "%s: available %d + reserved %d + shipped %d = %d", yes[r.Stock.Conserved], r.Stock.Available, r.Stock.Reserved, r.Stock.Shipped, r.Stock.Begin)
	row("payment details", "opened: %d, plaintext on the wire: %d, on the broker's disk: %d", r.Sealed.Opened, r.Sealed.Plaintext, r.Sealed.OnDisk)
	if r.Chaos {
		row("faults fired", "%d", r.FaultsFired)
		for _, f := range r.Faults {
			row("  "+f.Name, "%d, with %d in flight", f.Fired, f.InFlight)
		}
	}
	besides := ""
	if r.Chaos {
		besides = " besides what these faults did"
	}
	row("events sent again", "%d%s; %d batches, when relays took over from others %d times", r.Resent, besides, r.Batches, r.Takeovers)
	row("duplicates met", "%d or more; at the end %d events were delivered once more, on purpose", r.Duplicates, r.Replayed)
	row("effects", "%d", r.Effects)
	row("effects doubled", "%d", r.Doubled)
	row("effects lost", "%d", r.Lost)
	row("time", "%s", time.Duration(r.Seconds*float64(time.Second)).Round(100*time.Millisecond))
	if r.Folder != "" {
		row("folder", "%s", r.Folder)
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	shown := map[string]int{}
	for _, v := range r.Violations {
		check, _, _ := strings.Cut(v, ":")
		if shown[check]++; shown[check] <= violationsShown {
			fmt.Fprintln(w, "FAILED  "+v)
		}
	}
	return nil
}

// violationsShown is how many of a check are shown to people.
const violationsShown = 3

func cents(n int64) string { return fmt.Sprintf("%d.%02d", n/100, n%100) }
