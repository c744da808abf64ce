package main

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/waxwing-mq/waxwing/seal"
	"github.com/waxwing-mq/waxwing/seal/directory"
	"github.com/waxwing-mq/waxwing/seal/ratchet"
	"github.com/waxwing-mq/waxwing/seal/safetynumber"
)

// sealVerify is the command that says whether the directory tells the truth.
type sealVerify struct {
	directoryFlags
	sealDatabase
	rootFile   string
	selfSigned bool
	take       bool
	number     string
	profile    *enumValue

	root *seal.RootKey
	own  *safetynumber.Party // of --identity, unless --dsn has it read later
}

func newSealVerifyCommand() *cobra.Command {
	v := &sealVerify{profile: newEnum(profileNames()...)}
	out := newOutputFlag()
	cmd := &cobra.Command{
		Use:   "verify NAME...",
		Short: "Verify what the directory says of identities",
		Long: `Asks the directory what an identity has published, and verifies that its certificate is
by the root that is pinned, is of that name and valid now, and that the identity has
signed the signed prekey and the last-resort key. This uses up nothing. What is refused
makes the exit code 1.

A directory that lies could show one thing to you and give another to a service that
begins a session. (The service verifies it, too.) --take is given what such a service
is, and verifies that as well. It uses up a one-time key of each kind.

With --identity it prints the safety number of that identity and the other. A file with
the identity's certificate is enough, unless there is --dsn. People at
both ends compare it over a channel that shows who speaks: if it is the same, nobody
sits between, whatever the directory and the root's owner do. --number compares it with
what the other end has said. With --dsn and --storage-key the service's database keeps
that this was done, which endpoints with seal.VerifiedOnly want. If the database does
not know the other one yet, the service's first bundles are fetched into it: they have
one-time keys, which the service uses.

Where identities have no root (seal.TOFU) --self-signed takes their own signature; then
the safety number is all that tells who they are.`,
		Example: `  waxwing seal verify billing --root root.pub --identity payments.id --directory https://broker:8080 --user payments --password-file password
  waxwing seal verify billing shipping --root root.pub --output json
  waxwing seal verify billing --root root.pub --take`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, names []string) error {
			if err := v.check(cmd, names); err != nil {
				return err
			}
			client, err := v.directoryFlags.open(cmd)
			if err != nil {
				return err
			}
			defer client.Close()
			all := []*verified{}
			var failed failures
			for _, name := range names {
				one, err := v.verify(cmd, client, name)
				if err != nil {
					failed = append(failed, err)
					continue
				}
				all = append(all, one)
			}
			if out.json() {
				return errors.Join(printJSON(cmd.OutOrStdout(), all), failed.err())
			}
			for i, one := range all {
				if i > 0 {
					fmt.Fprintln(cmd.OutOrStdout())
				}
				one.print(cmd.OutOrStdout())
			}
			return failed.err()
		},
	}
	v.addTo(cmd)
	out.addTo(cmd)
	return cmd
}

func (v *sealVerify) addTo(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.StringVar(&v.rootFile, "root", "", "the public key of the root that is pinned: a file, -, or env:NAME")
	fs.BoolVar(&v.selfSigned, "self-signed", false, "take certificates by the identities themselves")
	fs.BoolVar(&v.take, "take", false, "also take what a service is given that begins a session, which uses up one-time keys")
	fs.StringVar(&v.number, "number", "", "the safety number that the other end has")
	v.sealDatabase.addTo(cmd)
	addEnum(cmd, v.profile, "profile", "", "the protocol of the services' sessions, for --dsn")
	v.directoryFlags.addTo(cmd)
	fs.Lookup("identity").Usage = "the service's identity, or without --dsn its certificate: a file, -, env:NAME, or with --dsn db:NAME"
	fs.Lookup("dsn").Usage = "keep in this database that --number was right"
	must(fs.SetAnnotation("dsn", envAnnotation, nil)) // it is not to be written to because of a variable
}

// check reads what has to be known before the directory is asked.
func (v *sealVerify) check(cmd *cobra.Command, names []string) (err error) {
	if !v.selfSigned {
		if err := required(cmd, "root", "directory", "user"); err != nil {
			return err
		}
	}
	switch {
	case (v.rootFile == "") == !v.selfSigned:
		return errors.New("either --root must name the public key that is pinned, or --self-signed be given")
	case v.number != "" && (v.identity == "" || len(names) != 1):
		return errors.New("--number is the safety number of two: it needs --identity, and one NAME")
	case v.dsn != "" && v.number == "":
		return errors.New("--dsn keeps that --number was right: both are needed")
	}
	if err := checkNumber(v.number); err != nil {
		return err
	}
	if name, stored := cutDB(v.identity); stored && v.dsn == "" {
		return fmt.Errorf("--identity: %s is in a database: --dsn says which, and needs --number and --storage-key", name)
	}
	if err := oneStdin(append(v.oldKeys, v.identity, v.storageKey, v.rootFile, v.passwordFile)...); err != nil {
		return err
	}
	if v.rootFile != "" {
		k, err := readKey(cmd, "--root", v.rootFile, seal.ParseRootKey)
		if err != nil {
			return err
		}
		v.root = &k
	}
	if v.identity != "" && v.dsn == "" {
		v.own, err = readKey(cmd, "--identity", v.identity, v.decodeOwn)
	}
	return err
}

// decodeOwn reads an identity or its certificate, which is believed as those of others are.
func (v *sealVerify) decodeOwn(text []byte) (*safetynumber.Party, error) {
	c, err := seal.DecodeCertificate(text)
	if err != nil {
		id, err := seal.DecodeIdentity(text)
		if err != nil {
			return nil, err
		}
		return partyOf(id), nil
	}
	if _, err := v.believe(c.Name, c.Bytes()); err != nil {
		return nil, err
	}
	return &safetynumber.Party{ID: []byte(c.Name), Key: c.Key}, nil
}

// partyOf is an identity as one of the two whom a safety number is of.
func partyOf(id *seal.Identity) *safetynumber.Party {
	return &safetynumber.Party{ID: []byte(id.Name()), Key: id.Key()}
}

// numberDigits is how many digits a safety number has.
const numberDigits = 60

// digitsOf is a safety number without the spaces that people read it with.
func digitsOf(number string) string { return strings.Join(strings.Fields(number), "") }

// checkNumber refuses what cannot be a safety number, which is no reason to distrust a peer.
func checkNumber(number string) error {
	said := digitsOf(number)
	switch {
	case number == "":
		return nil
	case strings.Trim(said, "0123456789") != "":
		return errors.New("--number: a safety number has digits and spaces only")
	case len(said) != numberDigits:
		return fmt.Errorf("--number: a safety number has %d digits, and this has %d", numberDigits, len(said))
	}
	return nil
}

// checkOther refuses the identity of --identity as the other one.
func checkOther(name string, own *safetynumber.Party) error {
	if own != nil && string(own.ID) == name {
		return fmt.Errorf("there is no safety number of %s with itself: leave --identity (WAXWING_SEAL_IDENTITY) out, or name another", name)
	}
	return nil
}

// verified is an identity that has been verified.
type verified struct {
	certificateJSON
	RegistrationID uint32     `json:"registrationId"`
	SignedID       uint32     `json:"signedId"`
	LastResortID   uint32     `json:"lastResortId"`
	Taken          *takenJSON `json:"taken,omitempty"`
	SafetyNumber   string     `json:"safetyNumber,omitempty"`
	With           string     `json:"with,omitempty"`
}

// takenJSON is what the directory has given out to --take.
type takenJSON struct {
	SignedID   uint32 `json:"signedId"`
	OneTimeID  uint32 `json:"oneTimeId"` // 0: none
	KEMID      uint32 `json:"kemId"`
	LastResort bool   `json:"lastResort"` // the KEM key is the last-resort key
}

// verify asks for an identity and looks at what comes.
func (v *sealVerify) verify(cmd *cobra.Command, client *directory.Client, name string) (*verified, error) {
	if err := checkOther(name, v.own); err != nil {
		return nil, err
	}
	s, err := client.Status(cmd.Context(), name)
	if err != nil {
		return nil, v.explain(name, err)
	}
	c, err := v.believe(name, s.Certificate, signedKey{"signed prekey", s.Signed}, signedKey{"last-resort key", s.LastResort})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	one := &verified{certificateJSON: newCertificateJSON(c), RegistrationID: s.RegistrationID, SignedID: s.Signed.ID, LastResortID: s.LastResort.ID}
	if v.take {
		if one.Taken, err = v.taken(cmd.Context(), client, c); err != nil {
			return nil, err
		}
	}
	if err := v.keep(cmd, client, one, c); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return one, nil
}

// taken takes a bundle, which must be of the same key as the certificate that was shown.
func (v *sealVerify) taken(ctx context.Context, client *directory.Client, shown *seal.Certificate) (*takenJSON, error) {
	b, err := client.Take(ctx, shown.Name)
	if err != nil {
		return nil, v.explain(shown.Name, err)
	}
	c, err := v.believe(shown.Name, b.Certificate, signedKey{"signed prekey", &b.Signed}, signedKey{"KEM key", b.KEM})
	if err == nil && c.Key != shown.Key {
		err = fmt.Errorf("the key is %x, and what is shown without --take has another", c.Key[:])
	}
	if err != nil {
		return nil, fmt.Errorf("%s: given to --take: %w", shown.Name, err)
	}
	t := &takenJSON{SignedID: b.Signed.ID, KEMID: b.KEM.ID, LastResort: b.LastResort}
	if b.OneTime != nil {
		t.OneTimeID = b.OneTime.ID
	}
	return t, nil
}

// keep compares the safety number, and with --dsn has the database keep that it was right.
func (v *sealVerify) keep(cmd *cobra.Command, client *directory.Client, one *verified, c *seal.Certificate) error {
	if v.dsn == "" {
		return v.compare(one, c, v.own)
	}
	trust := seal.TOFU()
	if v.root != nil {
		trust = seal.Pinned(*v.root)
	}
	return v.sealDatabase.with(cmd, func(ctx context.Context, e endpoint) error {
		if err := v.compare(one, c, partyOf(e.id)); err != nil {
			return err
		}
		err := e.Verify(ctx, c.Name, v.number)
		if errors.Is(err, seal.ErrNoSession) || errors.Is(err, seal.ErrUntrusted) { // the database may not know this key yet
			if err := e.Prepare(ctx, c.Name); err != nil {
				return &plainError{v.reason(err), err}
			}
			err = e.Verify(ctx, c.Name, v.number)
		}
		return sealError(err)
	}, trust, seal.Through(client), seal.Profile(profileOf(v.profile.value)))
}

// signedKey is a key that an identity should have signed, and what it is called.
type signedKey struct {
	what string
	*directory.SignedKey
}

// believe says whether a certificate and keys are of an identity.
func (v *sealVerify) believe(name string, certificate []byte, keys ...signedKey) (c *seal.Certificate, err error) {
	if v.root != nil {
		c, err = v.root.Verify(certificate, time.Now())
	} else if c, err = seal.ParseCertificate(certificate); err == nil {
		err = checkSelfSigned(c, time.Now())
	}
	switch {
	case len(certificate) == 0:
		return nil, errors.New("there is no certificate")
	case err != nil:
		return nil, sealError(err)
	case c.Name != name:
		return nil, fmt.Errorf("the directory has the certificate of %s in its place", c.Name)
	}
	for _, k := range keys {
		switch {
		case k.SignedKey == nil:
			return nil, fmt.Errorf("there is no %s", k.what)
		case !ratchet.Verify(c.Key, k.Key, k.Signature):
			return nil, fmt.Errorf("the identity has not signed the %s", k.what)
		}
	}
	return c, nil
}

// checkSelfSigned refuses what is by a root, and what is not valid now. The signature
// was verified when the certificate was parsed.
func checkSelfSigned(c *seal.Certificate, now time.Time) error {
	switch {
	case !isSelfSigned(c):
		return fmt.Errorf("the certificate is %s, not by itself: see --root", signerText(c))
	case now.Before(c.NotBefore), now.After(c.NotAfter):
		return fmt.Errorf("the certificate is valid from %s to %s", c.NotBefore.Format(time.RFC3339), c.NotAfter.Format(time.RFC3339))
	}
	return nil
}

// compare finds the safety number with an identity, and compares it with --number.
func (v *sealVerify) compare(one *verified, c *seal.Certificate, own *safetynumber.Party) error {
	if own == nil {
		return nil
	}
	if err := checkOther(c.Name, own); err != nil {
		return err
	}
	number := safetynumber.Compute(*own, safetynumber.Party{ID: []byte(c.Name), Key: c.Key})
	one.SafetyNumber, one.With = safetynumber.Group(number), string(own.ID)
	said := digitsOf(v.number)
	if said != "" && subtle.ConstantTimeCompare([]byte(said), []byte(number)) != 1 {
		return fmt.Errorf("the safety number with %s is %s, not that of --number: do not trust this peer", own.ID, one.SafetyNumber)
	}
	return nil
}

// print writes a line per field.
func (v *verified) print(w io.Writer) {
	v.certificateJSON.print(w)
	writeField(w, "prekeys", fmt.Sprintf("signed prekey %s, last-resort key %s", keyID(v.SignedID), keyID(v.LastResortID)))
	if t := v.Taken; t != nil {
		kem := "KEM key"
		if t.LastResort {
			kem = "last-resort key"
		}
		writeField(w, "taken", fmt.Sprintf("signed prekey %s, one-time key %s, %s %s", keyID(t.SignedID), keyID(t.OneTimeID), kem, keyID(t.KEMID)))
	}
	if v.With != "" {
		writeField(w, "safety number", fmt.Sprintf("%s (with %s)", v.SafetyNumber, v.With))
	}
}
