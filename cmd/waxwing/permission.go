package main

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/spf13/cobra"
)

func newPermissionCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "permission",
		GroupID: groupData,
		Short:   "Say what AMQP users may do in a vhost",
		Long: `Permissions let a user enter a vhost, and say by three regular expressions which
queues and exchanges may be configured (declared, deleted), written to (published to,
bound to) and read from (consumed from, bound from). Topic permissions say besides
which routing keys of a topic exchange may be used.

The vhost is that of --url, unless --vhost names another. These commands need a user
with the tag administrator, and work against Waxwing and RabbitMQ.`,
		Example: `  waxwing permission set app
  waxwing permission set reports --configure '' --write '' --read '^report'
  waxwing permission list
  waxwing permission clear app`,
		RunE: showHelp,
	}
	cmd.AddCommand(newPermissionListCommand(), newPermissionSetCommand(), newPermissionClearCommand())
	return cmd
}

// permissions holds the flags that say whose permissions, and of what kind.
type permissions struct {
	admin amqpAdmin
	vhost string
}

// addTo adds the flags to cmd.
func (p *permissions) addTo(cmd *cobra.Command) {
	cmd.Flags().StringVarP(&p.vhost, "vhost", "p", "", "the vhost (default: that of --url)")
	p.admin.addTo(cmd)
}

// given says whether a flag was given. One that is empty is refused: it was to hold
// something, a variable that is not set, say.
func given(cmd *cobra.Command, name string) (bool, error) {
	f := cmd.Flags().Lookup(name)
	if f.Changed && f.Value.String() == "" {
		return false, fmt.Errorf("--%s is empty", name)
	}
	return f.Changed, nil
}

// at is the vhost that is meant.
func (p *permissions) at(cmd *cobra.Command) (string, error) {
	uri, err := p.admin.conn.check()
	if err != nil {
		return "", err
	}
	if ok, err := given(cmd, "vhost"); ok || err != nil {
		return p.vhost, err
	}
	return uri.Vhost, nil
}

// permissionRow is what a user may do in a vhost, as the API tells it.
type permissionRow struct {
	User      string `json:"user"`
	VHost     string `json:"vhost"`
	Configure string `json:"configure"`
	Write     string `json:"write"`
	Read      string `json:"read"`
}

// topicPermissionRow is the same of an exchange's routing keys.
type topicPermissionRow struct {
	User     string `json:"user"`
	VHost    string `json:"vhost"`
	Exchange string `json:"exchange"`
	Write    string `json:"write"`
	Read     string `json:"read"`
}

func newPermissionListCommand() *cobra.Command {
	var admin amqpAdmin
	var topics bool
	out := newOutputFlag()
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the permissions",
		Long:  "Lists the permissions of all users in all vhosts, or with --topics the topic permissions.",
		Example: `  waxwing permission list
  waxwing permission list --topics --output json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var rows [][]string
			heading := []string{"USER", "VHOST", "CONFIGURE", "WRITE", "READ"}
			var all any
			if topics {
				grants := []topicPermissionRow{}
				if _, err := admin.ask(cmd.Context(), http.MethodGet, []string{"topic-permissions"}, nil, &grants); err != nil {
					return err
				}
				for _, g := range grants {
					rows = append(rows, []string{g.User, g.VHost, g.Exchange, g.Write, g.Read})
				}
				heading[2], all = "EXCHANGE", grants
			} else {
				grants := []permissionRow{}
				if _, err := admin.ask(cmd.Context(), http.MethodGet, []string{"permissions"}, nil, &grants); err != nil {
					return err
				}
				for _, g := range grants {
					rows = append(rows, []string{g.User, g.VHost, g.Configure, g.Write, g.Read})
				}
				all = grants
			}
			if out.json() {
				return printJSON(cmd.OutOrStdout(), all)
			}
			return printTable(cmd.OutOrStdout(), heading, rows)
		},
	}
	cmd.Flags().BoolVar(&topics, "topics", false, "list the topic permissions")
	admin.addTo(cmd)
	out.addTo(cmd)
	return cmd
}

func newPermissionSetCommand() *cobra.Command {
	var p permissions
	var exchange, configure, write, read string
	cmd := &cobra.Command{
		Use:   "set USER",
		Short: "Say what a user may do",
		Long: `Replaces what a user may do in the vhost. An expression matches any part of a name,
unless it begins with ^ and ends with $; the empty one matches no name. Without flags
everything is allowed.

With --exchange it says which routing keys the user may use there: --write to publish
with, --read to bind with. {username} and {vhost} in them stand for those names.`,
		Example: `  waxwing permission set app
  waxwing permission set app --vhost shop --configure '^app\.' --write '^app\.' --read '.*'
  waxwing permission set app --exchange amq.topic --write '^{username}\.'`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			user := args[0]
			vhost, err := p.at(cmd)
			if err != nil {
				return err
			}
			topics, err := given(cmd, "exchange")
			if err != nil {
				return err
			}
			page, body := "permissions", map[string]string{"configure": configure, "write": write, "read": read}
			switch {
			case topics && cmd.Flags().Changed("configure"):
				return errors.New("--configure does not go with --exchange: routing keys are written and read")
			case topics:
				page, body = "topic-permissions", map[string]string{"exchange": exchange, "write": write, "read": read}
			}
			if _, err := p.admin.ask(cmd.Context(), http.MethodPut, []string{page, vhost, user}, body, nil); err != nil {
				return fmt.Errorf("user %q in vhost %q: %w", user, vhost, err)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "set %s of user %s in vhost %s\n", permissionKind(topics), user, vhost)
			return nil
		},
	}
	fs := cmd.Flags()
	fs.StringVar(&configure, "configure", ".*", "regular expression for what may be declared and deleted")
	fs.StringVar(&write, "write", ".*", "regular expression for what may be published and bound to")
	fs.StringVar(&read, "read", ".*", "regular expression for what may be consumed and bound from")
	fs.StringVar(&exchange, "exchange", "", "set topic permissions of this exchange instead")
	p.addTo(cmd)
	return cmd
}

func newPermissionClearCommand() *cobra.Command {
	var p permissions
	var topics bool
	cmd := &cobra.Command{
		Use:   "clear USER",
		Short: "Take a user's permissions away",
		Long: `Takes a user's permissions in the vhost away, so that it can no longer be entered; or
with --topics the topic permissions, so that all routing keys are allowed again.`,
		Example: `  waxwing permission clear app
  waxwing permission clear app --vhost shop --topics`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			user := args[0]
			vhost, err := p.at(cmd)
			if err != nil {
				return err
			}
			page := "permissions"
			if topics {
				page = "topic-permissions"
			}
			if _, err := p.admin.ask(cmd.Context(), http.MethodDelete, []string{page, vhost, user}, nil, nil); err != nil {
				return fmt.Errorf("user %q in vhost %q: %w", user, vhost, err)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "cleared %s of user %s in vhost %s\n", permissionKind(topics), user, vhost)
			return nil
		},
	}
	cmd.Flags().BoolVar(&topics, "topics", false, "clear the topic permissions")
	p.addTo(cmd)
	return cmd
}

// permissionKind is what a kind of permissions is called.
func permissionKind(topics bool) string {
	if topics {
		return "topic permissions"
	}
	return "permissions"
}
