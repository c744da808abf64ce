package main

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/waxwing-mq/waxwing/seal"
)

func newSealCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "seal",
		GroupID: groupApp,
		Short:   "Make the keys of end-to-end encryption, publish and verify them",
		Long: `Package seal of the Go SDK encrypts messages from one service to another. Each service
has an identity; the organisation's root signs a certificate for it, and all services
pin the root's public key. An identity publishes prekeys at the broker's directory:
public keys by which others begin a session with it, also while it is away.

Files with secrets are readable by their owner only. Where a command wants one, it
takes a file, "-" for stdin or "env:NAME" for a variable; no secret is printed or is
an argument.`,
		Example: `  waxwing seal init root --out root.key > root.pub
  waxwing seal init identity payments --root root.key --out payments.id > payments.cert
  waxwing seal init storage-key --out storage.key
  waxwing seal publish --identity payments.id --storage-key storage.key --dsn sqlite:shop.db --directory https://broker:8080 --user payments --password-file env:PASSWORD
  waxwing seal verify billing --root root.pub --identity payments.id --directory https://broker:8080 --user payments --password-file env:PASSWORD
  waxwing consume orders --from-beginning --max-messages 1 --json | waxwing seal inspect`,
		RunE: showHelp,
	}
	cmd.AddCommand(newSealInitCommand(), newSealRequestCommand(), newSealSignCommand(), newSealInstallCommand(),
		newSealPublishCommand(), newSealStatusCommand(), newSealVerifyCommand(), newSealRotateCommand(), newSealInspectCommand())
	return cmd
}

// certificateFlags say what is to be in a certificate.
type certificateFlags struct {
	lanes int
	valid daysValue
}

// addTo adds the flags to cmd. What is said of lanes has their default, if it is not
// lanesDefault.
func (c *certificateFlags) addTo(cmd *cobra.Command, lanes string) {
	c.valid = daysValue(365 * day)
	cmd.Flags().IntVar(&c.lanes, "lanes", lanesDefault, lanes)
	if strings.Contains(lanes, "default") {
		cmd.Flags().Lookup("lanes").DefValue = "0" // which is not printed
	}
	cmd.Flags().Var(&c.valid, "valid", "how long the certificate is valid, in days (365d) or as 8760h")
}

// check refuses what no certificate can have.
func (c *certificateFlags) check() error {
	if c.lanes < 1 || c.lanes > seal.MaxLanes {
		return fmt.Errorf("--lanes must be between 1 and %d", seal.MaxLanes)
	}
	if c.valid < daysValue(time.Minute) {
		return errors.New("--valid must be at least a minute")
	}
	return nil
}

// until is when a certificate ends that begins now.
func (c *certificateFlags) until(now time.Time) time.Time { return now.Add(time.Duration(c.valid)) }

const (
	day          = 24 * time.Hour
	lanesDefault = 8
)

// daysValue is a flag for a time that is long: 365d, or as Go writes it.
type daysValue time.Duration

func (v *daysValue) Type() string { return "duration" }

func (v *daysValue) String() string {
	if d := time.Duration(*v); d%day != 0 {
		return d.String()
	}
	return strconv.FormatInt(int64(*v)/int64(day), 10) + "d"
}

func (v *daysValue) Set(s string) error {
	if number, ok := strings.CutSuffix(strings.TrimSpace(s), "d"); ok {
		n, err := strconv.ParseUint(number, 10, 32)
		if err != nil || n > math.MaxInt64/uint64(day) {
			return errors.New("not a number of days such as 365d")
		}
		*v = daysValue(time.Duration(n) * day)
		return nil
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 {
		return errors.New("not a time such as 365d or 12h")
	}
	*v = daysValue(d)
	return nil
}

// sealError is an error of package seal, or of one below it, without the names of
// packages, for who reads the command's.
func sealError(err error) error {
	if err == nil {
		return nil
	}
	text := err.Error()
	for _, name := range []string{"seal: ", "ratchet: ", "senderkey: ", "directory: "} {
		text = strings.ReplaceAll(strings.TrimPrefix(text, name), ": "+name, ": ")
	}
	return &plainError{inFlags.Replace(text), err}
}

// inFlags has other words for some of the package's, which speak of its types.
var inFlags = strings.NewReplacer(
	"which is not in the ring", "which is neither --storage-key nor an --old-storage-key",
	"the row is damaged or of another place", "the row is damaged or was copied from another row",
)

// plainError is an error in other words.
type plainError struct {
	text string
	err  error
}

func (e *plainError) Error() string { return e.text }
func (e *plainError) Unwrap() error { return e.err }
