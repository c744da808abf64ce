package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

func newUserCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "user",
		GroupID: groupData,
		Short:   "Create, list and delete AMQP users",
		Long: `Users log in to AMQP and to the lists over HTTP. A new broker has one, guest with the
password guest, who may log in from the broker's own machine only.

What a user may do is said by "waxwing permission": a new one may do nothing. Users with
the tag administrator may use these commands, and the last of them cannot be deleted.
They work against Waxwing and RabbitMQ.`,
		Example: `  echo "$SECRET" | waxwing user create app
  waxwing permission set app
  waxwing user list
  waxwing user delete app`,
		RunE: showHelp,
	}
	cmd.AddCommand(newUserListCommand(), newUserCreateCommand(), newUserPasswordCommand(), newUserTagCommand(), newUserDeleteCommand())
	return cmd
}

// userRow is one row of `waxwing user list`, as the API tells it.
type userRow struct {
	Name string   `json:"name"`
	Tags []string `json:"tags"`
}

// userPut is a user as it is stored again with other tags.
type userPut struct {
	PasswordHash     string `json:"password_hash"`
	HashingAlgorithm string `json:"hashing_algorithm"`
	Tags             string `json:"tags"`
}

func newUserListCommand() *cobra.Command {
	var admin amqpAdmin
	out := newOutputFlag()
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the users",
		Long:  "Lists the users by name, with their tags.",
		Example: `  waxwing user list
  waxwing user list --output json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			users := []userRow{}
			if _, err := admin.ask(cmd.Context(), http.MethodGet, []string{"users"}, nil, &users); err != nil {
				return err
			}
			if out.json() {
				return printJSON(cmd.OutOrStdout(), users)
			}
			var rows [][]string
			for _, u := range users {
				rows = append(rows, []string{u.Name, strings.Join(u.Tags, " ")})
			}
			return printTable(cmd.OutOrStdout(), []string{"USER", "TAGS"}, rows)
		},
	}
	admin.addTo(cmd)
	out.addTo(cmd)
	return cmd
}

// newPassword holds the flag for a password.
type newPassword struct{ text string }

// addTo adds the flag to cmd.
func (p *newPassword) addTo(cmd *cobra.Command) {
	cmd.Flags().StringVar(&p.text, "password", "", "the password; others on this machine may see it: without this it is a line of stdin")
}

// read returns the password: the flag's, or a line of stdin, which a terminal does
// not show.
func (p *newPassword) read(cmd *cobra.Command) (string, error) {
	text := p.text
	if !cmd.Flags().Changed("password") {
		in := cmd.InOrStdin()
		if f, ok := in.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
			line, err := readHidden(cmd, int(f.Fd()))
			if err != nil {
				return "", err
			}
			text = line
		} else {
			line, err := bufio.NewReader(io.LimitReader(in, 64<<10)).ReadString('\n')
			if err != nil && err != io.EOF {
				return "", err
			}
			text = strings.TrimRight(line, "\r\n")
		}
	}
	if text == "" {
		return "", errors.New("the password is empty: give it as a line of stdin, or by --password")
	}
	return text, nil
}

// readHidden reads a line of a terminal without showing it. A signal ends it, and
// leaves the terminal as it was.
func readHidden(cmd *cobra.Command, fd int) (string, error) {
	before, err := term.GetState(fd)
	if err != nil {
		return "", err
	}
	fmt.Fprint(cmd.ErrOrStderr(), "password: ")
	defer fmt.Fprintln(cmd.ErrOrStderr())
	type result struct {
		line []byte
		err  error
	}
	done := make(chan result, 1)
	go func() { // stays in its read after a signal: the process ends then
		line, err := term.ReadPassword(fd)
		done <- result{line, err}
	}()
	select {
	case r := <-done:
		return string(r.line), r.err
	case <-cmd.Context().Done():
		return "", errors.Join(errInterrupted, term.Restore(fd, before))
	}
}

func newUserCreateCommand() *cobra.Command {
	var admin amqpAdmin
	var password newPassword
	var tags []string
	cmd := &cobra.Command{
		Use:   "create USER",
		Short: "Create a user",
		Long: `Creates a user, with a password that is read as a line of stdin, or of the terminal
without being shown. One that exists is an error.

Of the tags Waxwing itself knows administrator: such a user may see and change vhosts,
users and permissions.`,
		Example: `  echo "$SECRET" | waxwing user create app
  waxwing user create app --password secret
  echo "$SECRET" | waxwing user create boss --tag administrator`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			name := args[0]
			fail := func(err error) error { return fmt.Errorf("user %q: %w", name, err) }
			text, err := password.read(cmd) // first: what is asked then is of this moment
			if err != nil {
				return fail(err)
			}
			var old userRow
			_, err = admin.ask(cmd.Context(), http.MethodGet, []string{"users", name}, nil, &old)
			var refusal *httpRefusal
			if err == nil {
				return fail(errors.New("exists already"))
			} else if !errors.As(err, &refusal) || refusal.status != http.StatusNotFound {
				return fail(err)
			}
			body := map[string]string{"password": text, "tags": strings.Join(tags, ",")}
			if _, err := admin.ask(cmd.Context(), http.MethodPut, []string{"users", name}, body, nil); err != nil {
				return fail(err)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "created user %s\n", name)
			return nil
		},
	}
	password.addTo(cmd)
	cmd.Flags().StringArrayVar(&tags, "tag", nil, "a tag, such as administrator; may be repeated")
	admin.addTo(cmd)
	return cmd
}

func newUserPasswordCommand() *cobra.Command {
	var admin amqpAdmin
	var password newPassword
	cmd := &cobra.Command{
		Use:   "password USER",
		Short: "Give a user another password",
		Long: `Gives a user another password, which is read as "waxwing user create" does. Connections
that are open stay.`,
		Example: `  echo "$SECRET" | waxwing user password app`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			name := args[0]
			var old userRow
			text, err := password.read(cmd)
			if err == nil {
				_, err = admin.ask(cmd.Context(), http.MethodGet, []string{"users", name}, nil, &old)
			}
			if err == nil {
				body := map[string]string{"password": text, "tags": strings.Join(old.Tags, ",")}
				_, err = admin.ask(cmd.Context(), http.MethodPut, []string{"users", name}, body, nil)
			}
			if err != nil {
				return fmt.Errorf("user %q: %w", name, err)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "changed the password of user %s\n", name)
			return nil
		},
	}
	password.addTo(cmd)
	admin.addTo(cmd)
	return cmd
}

func newUserTagCommand() *cobra.Command {
	var admin amqpAdmin
	cmd := &cobra.Command{
		Use:   "tag USER [TAG...]",
		Short: "Give a user other tags",
		Long:  "Gives a user exactly these tags: none takes all away. The password stays.",
		Example: `  waxwing user tag boss administrator
  waxwing user tag boss`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			name, tags := args[0], args[1:]
			var put userPut
			var old struct {
				PasswordHash     string `json:"password_hash"`
				HashingAlgorithm string `json:"hashing_algorithm"`
			}
			_, err := admin.ask(cmd.Context(), http.MethodGet, []string{"users", name}, nil, &old)
			if err == nil {
				put = userPut{old.PasswordHash, old.HashingAlgorithm, strings.Join(tags, ",")}
				_, err = admin.ask(cmd.Context(), http.MethodPut, []string{"users", name}, put, nil)
			}
			if err != nil {
				return fmt.Errorf("user %q: %w", name, err)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "user %s has %s\n", name, count(len(tags), "tag"))
			return nil
		},
	}
	admin.addTo(cmd)
	return cmd
}

func newUserDeleteCommand() *cobra.Command {
	var d adminDelete
	cmd := &cobra.Command{
		Use:   "delete USER...",
		Short: "Delete users",
		Long: `Deletes users and their permissions, and ends their connections. The last
administrator stays.`,
		Example: `  waxwing user delete app
  waxwing user delete guest --if-exists`,
		Args: cobra.MinimumNArgs(1),
		RunE: d.runner("user", "users"),
	}
	d.addTo(cmd)
	return cmd
}
