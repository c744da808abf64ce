package outbox

import (
	"strings"
	"time"
)

// A watch finds the leases and relays that are over although the database's clock says
// that they are not: one that was set back says so for as long as the step.
//
// A lease is over when it has been in the table, as it is, for the length that its
// owner gives it, by this process's monotonic clock. The owner sent the statement
// that wrote it before the row was seen first, counts from there, and writes another
// expiry at each renewal: it has renewed the lease or stopped to use it by then,
// whatever the database's clock does. If that clock is set back between two looks, it
// is over when the first one said.
//
// An owner that stops later than it should, for it was paused, is what the token at the
// delete is for, here as elsewhere.
type watch struct {
	length time.Duration // of the leases of a relay that does not tell
	ends   map[sight]time.Time
}

// A sight is a row as it was seen.
type sight struct {
	bucket int // -1 if it is a relay
	owner  string
	token  int64
	us     int64 // when the lease expires, or the relay was seen
}

// look notes what the rows say, which were read before now. It marks the leases that
// are over, and returns how many relays live.
func (w *watch) look(leases []leaseRow, relays []relayRow, now time.Time) (live int) {
	ends := make(map[sight]time.Time, len(leases)+len(relays))
	note := func(s sight, left time.Duration) (over bool) {
		end := now.Add(left)
		if earlier, ok := w.ends[s]; ok && earlier.Before(end) {
			end = earlier
		}
		ends[s] = end
		return !now.Before(end)
	}
	for i := range leases {
		r := &leases[i]
		left := r.left
		if length, ok := lengthOf(r.owner); ok {
			left = min(left, length)
		}
		r.over = note(sight{r.bucket, r.owner, r.token, r.expires}, left)
	}
	for _, r := range relays {
		length, ok := lengthOf(r.owner)
		if !ok {
			length = w.length
		}
		if !note(sight{-1, r.owner, 0, r.seen}, length-max(r.ago, 0)) {
			live++
		}
	}
	w.ends = ends
	return live
}

// newOwner names an owner of leases of a length, which the name tells others.
func newOwner(length time.Duration) string { return newID() + "/" + length.String() }

// lengthOf is the length of an owner's leases.
func lengthOf(owner string) (time.Duration, bool) {
	_, text, _ := strings.Cut(owner, "/")
	length, err := time.ParseDuration(text)
	return length, err == nil
}
