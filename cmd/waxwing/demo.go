package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/waxwing-mq/waxwing/examples/orders/demo"
)

// demoFlags are the flags of `waxwing demo`.
type demoFlags struct {
	cfg     demo.Config
	without *enumValue
	json    bool
	timeout time.Duration
}

func newDemoCommand() *cobra.Command {
	f := demoFlags{without: newEnum(append([]string{"none"}, demo.Breaks...)...)}
	cmd := &cobra.Command{
		Use:     "demo",
		GroupID: groupTools,
		Short:   "Run an order platform, kill its services, and check that nothing is lost or done twice",
		Long: `Starts a broker and four services (order, payment, inventory, shipping), each a
process with a database of its own, in a temporary folder and on free ports. It
places orders over HTTP and waits until each is completed, or compensated because
its article, its money or its address is missing. examples/orders has the code.

With --chaos processes are killed (kill -9) at random and at the worst moments,
stopped for longer than their leases and continued, acknowledgements and replies
are lost, and messages are delivered twice. At the end everything is delivered once
more, and the databases are checked: each effect once, none lost, in order, money and
stock conserved. Payment details are sealed from order to payment (package seal); no
message and no file of the broker may show them. How many orders are placed, completed and compensated depends on
--orders and --seed alone.

--break removes a safeguard of the SDK, to show that the checks notice. The exit code
is 1 if a check fails.`,
		Example: `  waxwing demo
  waxwing demo --orders 1000 --chaos --seed 7
  waxwing demo --chaos --json
  waxwing demo --chaos --break dedup
  waxwing demo --chaos --postgres postgres://postgres:secret@127.0.0.1:5432/postgres`,
		Args: cobra.NoArgs,
		RunE: f.run,
	}
	fs := cmd.Flags()
	fs.SortFlags = false
	fs.IntVarP(&f.cfg.Orders, "orders", "n", 100, "number of orders")
	fs.BoolVar(&f.cfg.Chaos, "chaos", false, "do bad things meanwhile")
	fs.Uint64Var(&f.cfg.Seed, "seed", 1, "decides what is ordered, and which faults are drawn")
	addEnum(cmd, f.without, "break", "", "remove a safeguard, to see that the checks notice")
	fs.StringVar(&f.cfg.Postgres, "postgres", "", "keep the services' databases in schemas of this PostgreSQL server, instead of SQLite files")
	fs.BoolVar(&f.cfg.Keep, "keep", false, "leave the folder, or the schemas, for a look")
	fs.BoolVar(&f.json, "json", false, "print one JSON object instead of the table")
	fs.DurationVar(&f.timeout, "timeout", 10*time.Minute, "give up after this time")
	return cmd
}

func (f *demoFlags) run(cmd *cobra.Command, _ []string) error {
	if f.cfg.Orders < 10 || f.cfg.Orders > 1_000_000 {
		return errors.New("--orders must be between 10 and 1000000")
	}
	if f.cfg.Chaos && f.cfg.Orders < 50 {
		return errors.New("--orders must be at least 50 with --chaos: there has to be work for all faults to disturb")
	}
	if f.timeout <= 0 {
		return errors.New("--timeout must be more than 0")
	}
	if f.without.value != "none" {
		f.cfg.Break = f.without.value
	}
	if f.cfg.Break != "" && !f.cfg.Chaos {
		return errors.New("--break needs --chaos: without faults nothing has to be guarded against")
	}
	f.cfg.Progress = cmd.ErrOrStderr()
	ctx, cancel := context.WithTimeout(cmd.Context(), f.timeout)
	defer cancel()
	result, err := demo.Run(ctx, f.cfg)
	switch {
	case cmd.Context().Err() != nil:
		return errInterrupted
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("the demonstration did not end within %s", f.timeout)
	case err != nil:
		what, logs, _ := strings.Cut(err.Error(), "\n")
		if logs != "" {
			fmt.Fprintln(cmd.ErrOrStderr(), logs)
		}
		return errors.New(what)
	}
	if f.json {
		err = printJSON(cmd.OutOrStdout(), result)
	} else {
		err = result.Print(cmd.OutOrStdout())
	}
	return errors.Join(err, result.Err())
}

// newDemoServiceCommand is a service of the demonstration, which starts it.
func newDemoServiceCommand() *cobra.Command {
	return &cobra.Command{
		Use:     demo.ServiceCommand,
		Hidden:  true,
		Short:   "Run a service of waxwing demo",
		Long:    "Runs a service of waxwing demo, as its stdin says. It is for that command only.",
		Example: "  waxwing demo-service",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return demo.ServeChild(cmd.Context(), cmd.InOrStdin(), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
}
