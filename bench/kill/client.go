package main

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// newClient returns a client that comes back quickly after the broker does,
// and gives nothing up meanwhile.
func newClient(addr string, opts ...kgo.Opt) (*kgo.Client, error) {
	return kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(addr),
		kgo.AlwaysRetryEOF(), // a broker that is killed while it accepts is not one without TLS
		kgo.DialTimeout(time.Second),
		kgo.MetadataMinAge(50 * time.Millisecond),
		kgo.RequestRetries(1000),
		kgo.RetryTimeout(giveUpAfter),
		kgo.RetryBackoffFn(func(int) time.Duration { return 10*time.Millisecond + rand.N(20*time.Millisecond) }),
	}, opts...)...)
}

// giveUpAfter is how long anything may take that a broker that runs should do
// at once. Beyond, the run fails.
const giveUpAfter = 30 * time.Second

// persist calls f until the broker answers, be it with an error. The client
// does so by itself, except where it can reach no broker at all.
func persist(ctx context.Context, f func() error) error {
	for limit := time.Now().Add(giveUpAfter); ; {
		err := f()
		_, answered := errors.AsType[*kerr.Error](err)
		if err == nil || answered || time.Now().After(limit) || !sleep(ctx, 20*time.Millisecond) {
			return err
		}
	}
}

// sleep waits for d, or until ctx is over, and reports whether it is not.
func sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}

// below returns a random duration in [0, limit).
func below(rng *rand.Rand, limit time.Duration) time.Duration {
	return time.Duration(rng.Int64N(int64(limit)))
}
