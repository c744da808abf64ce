package main

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/spf13/cobra"
)

func newVHostCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "vhost",
		GroupID: groupData,
		Short:   "Create, list and delete AMQP virtual hosts",
		Long: `A virtual host is a name space of queues and exchanges: clients open one, by its name
in their URL, and see nothing of the others. Every broker has the one named "/", which
is also where topics are seen as streams.

Who opens a new one needs permissions there: see "waxwing permission". These commands
need a user with the tag administrator, and work against Waxwing and RabbitMQ.`,
		Example: `  waxwing vhost create shop
  waxwing vhost list
  waxwing vhost delete shop`,
		RunE: showHelp,
	}
	cmd.AddCommand(newVHostListCommand(), newVHostCreateCommand(), newVHostDeleteCommand())
	return cmd
}

// vhostRow is one row of `waxwing vhost list`, as the API tells it.
type vhostRow struct {
	Name             string `json:"name"`
	DefaultQueueType string `json:"default_queue_type"`
}

func newVHostListCommand() *cobra.Command {
	var admin amqpAdmin
	out := newOutputFlag()
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the vhosts",
		Long: `Lists the vhosts by name, with the type that queues get which are declared without
one. A user who is no administrator sees those that are open to that user.`,
		Example: `  waxwing vhost list
  waxwing vhost list --output json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			vhosts := []vhostRow{}
			if _, err := admin.ask(cmd.Context(), http.MethodGet, []string{"vhosts"}, nil, &vhosts); err != nil {
				return err
			}
			if out.json() {
				return printJSON(cmd.OutOrStdout(), vhosts)
			}
			var rows [][]string
			for _, v := range vhosts {
				rows = append(rows, []string{v.Name, v.DefaultQueueType})
			}
			return printTable(cmd.OutOrStdout(), []string{"VHOST", "DEFAULT-QUEUE-TYPE"}, rows)
		},
	}
	admin.addTo(cmd)
	out.addTo(cmd)
	return cmd
}

func newVHostCreateCommand() *cobra.Command {
	var admin amqpAdmin
	var queueType string
	cmd := &cobra.Command{
		Use:   "create VHOST...",
		Short: "Create vhosts",
		Long: `Creates vhosts, with the exchanges that every vhost has; the user of --url gets all
permissions there. One that exists gets the default queue type, and is no error.`,
		Example: `  waxwing vhost create shop
  waxwing vhost create shop --default-queue-type quorum`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, names []string) error {
			body := map[string]string{}
			if queueType != "" {
				body["default_queue_type"] = queueType
			}
			var failed failures
			for _, name := range names {
				status, err := admin.ask(cmd.Context(), http.MethodPut, []string{"vhosts", name}, body, nil)
				switch {
				case err != nil:
					failed = append(failed, fmt.Errorf("vhost %q: %w", name, err))
				case status == http.StatusCreated:
					fmt.Fprintf(cmd.OutOrStdout(), "created vhost %s\n", name)
				default:
					fmt.Fprintf(cmd.OutOrStdout(), "vhost %s exists\n", name)
				}
			}
			return failed.err()
		},
	}
	cmd.Flags().StringVar(&queueType, "default-queue-type", "", "classic or quorum, for queues that are declared without a type")
	admin.addTo(cmd)
	return cmd
}

func newVHostDeleteCommand() *cobra.Command {
	var d adminDelete
	cmd := &cobra.Command{
		Use:   "delete VHOST...",
		Short: "Delete vhosts and everything in them",
		Long: `Deletes the vhosts with their queues, messages, exchanges and permissions, and ends the
connections in them. There is no way back and no question asked. Of Waxwing, "/" stays:
it holds the topics.`,
		Example: `  waxwing vhost delete shop
  waxwing vhost delete shop --if-exists`,
		Args: cobra.MinimumNArgs(1),
		RunE: d.runner("vhost", "vhosts"),
	}
	d.addTo(cmd)
	return cmd
}

// adminDelete holds the flags of the commands that delete vhosts and users.
type adminDelete struct {
	admin    amqpAdmin
	ifExists bool
}

// addTo adds the flags to cmd.
func (d *adminDelete) addTo(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&d.ifExists, "if-exists", false, "do nothing about what does not exist")
	d.admin.addTo(cmd)
}

// runner returns the function of a command that deletes things of a page by name.
func (d *adminDelete) runner(what, page string) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, names []string) error {
		var failed failures
		for _, name := range names {
			_, err := d.admin.ask(cmd.Context(), http.MethodDelete, []string{page, name}, nil, nil)
			var refusal *httpRefusal
			if errors.As(err, &refusal) && refusal.status == http.StatusNotFound && d.ifExists {
				fmt.Fprintf(cmd.OutOrStdout(), "%s %s does not exist\n", what, name)
				continue
			}
			if err != nil {
				failed = append(failed, fmt.Errorf("%s %q: %w", what, name, err))
				continue
			}
			fmt.Fprintf(cmd.OutOrStdout(), "deleted %s %s\n", what, name)
		}
		return failed.err()
	}
}
