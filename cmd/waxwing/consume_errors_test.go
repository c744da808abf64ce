package main

import (
	"io"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// TestFetchErrorsThatPass: a group session that broke with its connection is
// joined again; one that the broker refuses is the end.
func TestFetchErrorsThatPass(t *testing.T) {
	for _, c := range []struct {
		err   error
		final bool
	}{
		{&kgo.ErrGroupSession{Err: io.EOF}, false},
		{&kgo.ErrGroupSession{Err: kerr.CoordinatorNotAvailable}, false},
		{&kgo.ErrGroupSession{Err: kerr.GroupAuthorizationFailed}, true},
		{kerr.OffsetOutOfRange, true},
	} {
		if err := fetchError(kgo.NewErrFetch(c.err)); (err != nil) != c.final {
			t.Errorf("%v: %v", c.err, err)
		}
	}
}
