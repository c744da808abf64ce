package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

// The groups under which `waxwing --help` lists the commands.
const (
	groupServe = "serve"
	groupData  = "data"
	groupApp   = "app"
	groupTools = "tools"
)

// newRootCommand builds the whole command tree.
func newRootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "waxwing",
		Short: "A durable message broker that speaks Kafka and AMQP, in one binary",
		Long: `Waxwing is a message broker in one binary. It speaks the protocols of Kafka and
RabbitMQ (AMQP 0-9-1), so the clients that you already have connect to it unchanged,
and a message that it has acknowledged is on disk.

"waxwing serve" runs the broker. The other commands are clients. Those of topics,
records and groups speak Kafka, also to any other Kafka cluster, and find the broker
by --bootstrap or the variable WAXWING_BOOTSTRAP. Those of queues, exchanges and
messages speak AMQP, also to RabbitMQ, and find it by --url or WAXWING_AMQP_URL. Those
of dead letters, sagas and tables look into an application's database, by --dsn or
WAXWING_DSN. "waxwing seal" looks after the keys of end-to-end encryption.`,
		Example: `  waxwing serve --data ./waxwing-data
  waxwing topic create orders --partitions 3
  echo hello | waxwing produce orders
  waxwing consume orders --from-beginning --exit-when-idle 1s
  waxwing queue declare jobs
  echo hello | waxwing publish jobs
  waxwing get jobs`,
		Version:       readBuildInfo().String(),
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE:          showHelp,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			return applyEnv(cmd.Flags())
		},
	}
	root.SetVersionTemplate("{{.Version}}\n")
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return fmt.Errorf("%w (see %q)", err, cmd.CommandPath()+" --help")
	})
	root.AddGroup(
		&cobra.Group{ID: groupServe, Title: "Run a broker:"},
		&cobra.Group{ID: groupData, Title: "Work with a broker:"},
		&cobra.Group{ID: groupApp, Title: "Look after applications that use the SDK:"},
		&cobra.Group{ID: groupTools, Title: "Measure and find out:"},
	)
	root.SetHelpCommandGroupID(groupTools)
	root.SetCompletionCommandGroupID(groupTools)
	root.AddCommand(
		newServeCommand(),
		newTopicCommand(),
		newProduceCommand(),
		newConsumeCommand(),
		newGroupCommand(),
		newQueueCommand(),
		newExchangeCommand(),
		newBindCommand(),
		newUnbindCommand(),
		newPublishCommand(),
		newGetCommand(),
		newVHostCommand(),
		newUserCommand(),
		newPermissionCommand(),
		newDLQCommand(),
		newSQLCommand(),
		newSagaCommand(),
		newSealCommand(),
		newBenchCommand(),
		newDemoCommand(),
		newDemoServiceCommand(),
		newVersionCommand(),
	)
	hintArgs(root)
	return root
}

// hintArgs has errors about the number of arguments name the help, as those about
// flags do.
func hintArgs(cmd *cobra.Command) {
	if check := cmd.Args; check != nil {
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			err := check(cmd, args)
			if err != nil {
				err = fmt.Errorf("%w (see %q)", err, cmd.CommandPath()+" --help")
			}
			return err
		}
	}
	for _, sub := range cmd.Commands() {
		hintArgs(sub)
	}
}

// showHelp runs a command that only has subcommands. A word that is not one of
// them is an error, not a reason to print help and exit 0.
func showHelp(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("unknown command %q for %q (see %q)", args[0], cmd.CommandPath(), cmd.CommandPath()+" --help")
	}
	return cmd.Help()
}
