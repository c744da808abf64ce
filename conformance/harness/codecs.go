package harness

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// codecs are the compressions, by the number that a batch's attributes hold.
var codecs = []string{"none", "gzip", "snappy", "lz4", "zstd"}

// WantCodec fails t unless a topic, which holds what a client has produced
// with a codec ("none", "gzip", "snappy", "lz4" or "zstd"), is stored that
// way. That the text comes back equal does not say so. A client may leave a
// batch as it is when compression does not make it smaller.
func WantCodec(t *testing.T, b *Broker, topic, codec string) {
	t.Helper()
	with := map[string]int{}
	for _, r := range ReadAll(t, b, topic) {
		with[codecs[r.Attrs.CompressionType()]]++
	}
	total := 0
	for name, n := range with {
		if total += n; name != codec && name != "none" {
			t.Errorf("%s: %d records came with %s, want %s", topic, n, name, codec)
		}
	}
	if with[codec] <= total/2 {
		t.Errorf("%s: of %d records %d came with %s", topic, total, with[codec], codec)
	}
}

// codecTopic is what the names of topics begin with that a client program
// fills with one codec; the prefix is the program's own.
func codecTopic(prefix, codec string) string { return prefix + "-codec-" + codec + "-" }

// WantCodecs calls WantCodec for the topics PREFIX-codec-CODEC-… that a client
// program has filled. Each codec must have one, unless WAXWING_CASES has left
// out cases.
func WantCodecs(t *testing.T, b *Broker, prefix string) {
	t.Helper()
	cl := client(t, b)
	defer cl.Close()
	topics, err := kadm.NewClient(cl).ListTopics(Context(t))
	Must(t, err)
	for _, codec := range codecs {
		found := 0
		for name := range topics {
			if strings.HasPrefix(name, codecTopic(prefix, codec)) {
				found++
				WantCodec(t, b, name, codec)
			}
		}
		if found == 0 && os.Getenv("WAXWING_CASES") == "" {
			t.Errorf("there is no topic %s…", codecTopic(prefix, codec))
		}
	}
}

func client(t *testing.T, b *Broker, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	cl, err := kgo.NewClient(append(opts, kgo.SeedBrokers(b.Bootstrap))...)
	Must(t, err)
	return cl
}

// ReadAll reads what a topic holds now, within a minute. The records of a
// partition are in its order.
func ReadAll(t *testing.T, b *Broker, topic string) []*kgo.Record {
	t.Helper()
	cl := client(t, b, kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	defer cl.Close()
	ends, err := kadm.NewClient(cl).ListEndOffsets(Context(t), topic)
	Must(t, errors.Join(err, ends.Error()))
	var count int64
	ends.Each(func(o kadm.ListedOffset) { count += o.Offset })
	var got []*kgo.Record
	for int64(len(got)) < count {
		fetches := cl.PollFetches(Context(t))
		if err := fetches.Err(); err != nil {
			t.Fatal(fmt.Errorf("%s: %d of %d records: %w", topic, len(got), count, err))
		}
		got = append(got, fetches.Records()...)
	}
	return got
}
