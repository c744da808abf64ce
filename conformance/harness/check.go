package harness

import (
	"context"
	"crypto/rand"
	"fmt"
	"testing"
	"time"
)

// Fresh returns a name that no other case uses.
func Fresh(prefix string) string {
	var b [5]byte
	rand.Read(b[:])
	return fmt.Sprintf("%s-%x", prefix, b)
}

// Context returns a context that ends after a minute or with t.
func Context(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// Must fails t at once if err is not nil.
func Must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Until polls until check gives true, and fails t after 25 seconds.
func Until(t *testing.T, what string, check func() bool) {
	t.Helper()
	for end := time.Now().Add(25 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if check() {
			return
		}
	}
	t.Fatalf("%s: not within 25 s", what)
}
