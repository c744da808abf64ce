// Package mutant removes single safeguards, to prove that the tests notice.
// In every normal build On is constant false and the compiler drops what it
// guards. Under the build tag "mutants" the environment variable
// WAXWING_MUTANT names the one safeguard that is missing.
package mutant

// Name is the name of a safeguard that can be removed.
type Name string

// The safeguards that `make mutants` removes, one at a time.
const (
	NoSync               Name = "no-fdatasync"
	ReplyBeforeDurable   Name = "reply-before-durable"
	TornTailNotCut       Name = "torn-tail-not-cut"
	UnprovenTailServed   Name = "unproven-tail-served"
	SixthDuplicate       Name = "sixth-old-duplicate-accepted"
	TrimBeforeVerify     Name = "checkpoint-trimmed-before-verified"
	ViewBeforeDurable    Name = "view-before-durable"
	SequenceGapAccepted  Name = "sequence-gap-accepted"
	ReplayForgetsOffsets Name = "replay-forgets-offsets"
	RepeatBeforeDurable  Name = "repeat-answered-before-durable"

	DeliveryBeforeMessage Name = "delivery-before-message-durable"
	DeliveryBeforeEntry   Name = "delivery-before-entry-durable"
)
