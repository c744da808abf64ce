package seal

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/waxwing-mq/waxwing/seal/ratchet"
)

// What New takes if no option says otherwise.
const (
	DefaultSkipped       = 7 * 24 * time.Hour  // KeepSkipped
	DefaultParked        = 30 * 24 * time.Hour // KeepParked
	DefaultOneTime       = 100                 // OneTimeKeys
	DefaultFetch         = 3 * time.Second     // FetchTimeout
	DefaultGroupMessages = 100_000             // RotateGroups
	DefaultGroupAge      = 24 * time.Hour      // RotateGroups
)

// The times that are not the caller's to change.
const (
	prekeyAge    = 7 * 24 * time.Hour  // of a signed or last-resort prekey that is renewed
	prekeyKept   = 30 * 24 * time.Hour // after that
	oneTimeKept  = 90 * 24 * time.Hour // of a one-time key that nobody used
	archivedKept = 30 * 24 * time.Hour // of sessions that are not sealed with any more
	archivedMax  = 40                  // of those, per peer and lane
	unanswered   = 30 * 24 * time.Hour // after which a session begins anew
	bundleKept   = 7 * 24 * time.Hour  // of a bundle that was fetched ahead
	certGrace    = 7 * 24 * time.Hour  // for opening what was sealed before a certificate's end
	tombstones   = 30 * 24 * time.Hour // of parked messages that have expired
	groupStates  = 5                   // of a sender's chain that a receiver keeps
	unusedMax    = 100                 // times OneTimeKeys: the one-time keys of each kind that are kept
)

// An Option changes what New makes.
type Option func(*options)

type options struct {
	roots    []RootKey
	tofu     bool
	verified bool
	dir      Directory
	counter  Counter
	profile  ratchet.Profile
	routes   routes
	instance string

	skipped, parked, fetch time.Duration
	oneTime                int
	groupMessages          int
	groupAge               time.Duration

	onRestore func(Restore)
	now       func() time.Time
	rand      io.Reader
	log       *slog.Logger
}

func defaults() options {
	return options{
		profile: ratchet.SignalV4, instance: "0", skipped: DefaultSkipped, parked: DefaultParked, fetch: DefaultFetch, oneTime: DefaultOneTime,
		groupMessages: DefaultGroupMessages, groupAge: DefaultGroupAge, onRestore: func(Restore) {}, now: time.Now, rand: rand.Reader, log: slog.Default(),
	}
}

// check refuses what cannot work.
func (o *options) check(id *Identity) error {
	switch {
	case len(o.roots) == 0 && !o.tofu:
		return errors.New("seal: whom to trust? Pinned or TOFU")
	case id == nil || id.certificate == nil:
		return errors.New("seal: the identity has no certificate")
	case o.skipped <= 0 || o.parked <= 0 || o.fetch <= 0 || o.oneTime < 1 || o.groupMessages < 1 || o.groupAge <= 0:
		return errors.New("seal: times and numbers are above 0")
	case o.oneTime > 1000:
		return errors.New("seal: OneTimeKeys: 1 to 1000")
	case o.profile < ratchet.PQXDH || o.profile > ratchet.WaxwingHE:
		return fmt.Errorf("seal: profile %v has no KEM, or is none", o.profile)
	}
	if err := checkName(o.instance); err != nil {
		return err
	}
	return o.routes.check()
}

// Pinned trusts identities that one of these roots has certified: the default way. An
// Endpoint needs it or TOFU.
func Pinned(roots ...RootKey) Option { return func(o *options) { o.roots = append(o.roots, roots...) } }

// TOFU trusts on first use: also certificates that are self-signed, if the peer's key
// is the one that was seen first. A key that has changed is refused until Forget. Who
// controls the directory at the first use, or sends something under the name before its
// owner does, is trusted for ever: compare SafetyNumber.
func TOFU() Option { return func(o *options) { o.tofu = true } }

// VerifiedOnly trusts only peers that Verify was called for.
func VerifiedOnly() Option { return func(o *options) { o.verified = true } }

// Through is the directory that bundles come from and prekeys go to. Without one an
// endpoint can begin no sessions.
func Through(dir Directory) Option { return func(o *options) { o.dir = dir } }

// CountedBy is the counter that Check compares with: the directory, or a FileCounter.
// With it Seal refuses until Check, or Maintain's, has succeeded once. The relay's publisher must be Counted.
func CountedBy(c Counter) Option { return func(o *options) { o.counter = c } }

// Profile is what sessions speak, by default ratchet.SignalV4. Peers must speak the
// same.
func Profile(p ratchet.Profile) Option { return func(o *options) { o.profile = p } }

// Instance names the producer among those that share an identity and do not share the
// database: each has sender keys of its own in a group. By default "0". Names must be
// few, and stay. Such a producer only sends: prekeys, and what they open, are of one
// database. It has no directory to be counted by (CountedBy), where streams of all have the
// same numbers, but a FileCounter of its own.
func Instance(name string) Option { return func(o *options) { o.instance = name } }

// KeepSkipped is for how long the keys are kept of messages that were overtaken by
// later ones, by default DefaultSkipped.
func KeepSkipped(d time.Duration) Option { return func(o *options) { o.skipped = d } }

// KeepParked is for how long messages stay openable that were put aside (Pin), by
// default DefaultParked.
func KeepParked(d time.Duration) Option { return func(o *options) { o.parked = d } }

// OneTimeKeys is up to how many one-time prekeys wait at the directory, by default
// DefaultOneTime: the sessions that can begin while this service does not run. Of those
// that were given out, and with which nothing has come, up to 100 times as many are kept;
// beyond that no more are made.
func OneTimeKeys(n int) Option { return func(o *options) { o.oneTime = n } }

// FetchTimeout is how long Seal may wait for the directory, within the caller's
// transaction, where Prepare has fetched nothing ahead: by default DefaultFetch.
func FetchTimeout(d time.Duration) Option { return func(o *options) { o.fetch = d } }

// RotateGroups is after how many messages, and what time, a group's sender key is
// replaced, by default DefaultGroupMessages and DefaultGroupAge.
func RotateGroups(messages int, age time.Duration) Option {
	return func(o *options) { o.groupMessages, o.groupAge = messages, age }
}

// OnRestore is called when Check, or Maintain, has found that the database was set back: in
// the one process that finds it first.
func OnRestore(f func(Restore)) Option { return func(o *options) { o.onRestore = f } }

// Clock is the clock of ages and expiries, by default time.Now.
func Clock(now func() time.Time) Option { return func(o *options) { o.now = now } }

// Logger is told of what no caller is told, by default slog's default.
func Logger(l *slog.Logger) Option { return func(o *options) { o.log = l } }

// sleep waits, or until ctx ends.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
