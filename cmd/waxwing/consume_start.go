package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
)

// startKind says how a start is given.
type startKind int

const (
	startEarliest startKind = iota
	startLatest
	startOffset // at n
	startTail   // n before the end
	startTime   // at the first record from when on
)

// start is where to begin in a partition.
type start struct {
	kind startKind
	n    int64
	when time.Time
}

// parseStart reads earliest, latest, N, -N or @TIME.
func parseStart(s string, now time.Time) (start, error) {
	switch s {
	case "earliest":
		return start{kind: startEarliest}, nil
	case "latest":
		return start{kind: startLatest}, nil
	}
	if text, ok := strings.CutPrefix(s, "@"); ok {
		when, err := parseWhen(text, now)
		return start{kind: startTime, when: when}, err
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return start{}, fmt.Errorf("--offset %q must be earliest, latest, N, -N or @TIME", s)
	}
	if strings.HasPrefix(s, "-") {
		return start{kind: startTail, n: -n}, nil
	}
	return start{kind: startOffset, n: n}, nil
}

// bounds are the first and the next offset of every partition.
type bounds struct{ start, end kadm.ListedOffsets }

// readBounds asks where the topics' partitions begin and end.
func readBounds(ctx context.Context, s *session, topics []string) (b bounds, err error) {
	if b.start, err = s.adm.ListStartOffsets(ctx, topics...); err != nil {
		return b, err
	}
	b.end, err = s.adm.ListEndOffsets(ctx, topics...)
	return b, err
}

// of returns the bounds of one partition.
func (b bounds) of(topic string, partition int32) (first, next int64, err error) {
	if first, err = listed(b.start, topic, partition); err != nil {
		return 0, 0, err
	}
	next, err = listed(b.end, topic, partition)
	return first, next, err
}

// listed looks one partition up in a broker's answer.
func listed(offsets kadm.ListedOffsets, topic string, partition int32) (int64, error) {
	o, ok := offsets.Lookup(topic, partition)
	if !ok {
		return 0, fmt.Errorf("topic %q has no partition %d", topic, partition)
	}
	if o.Err != nil {
		return 0, fmt.Errorf("topic %q, partition %d: %w", topic, partition, brokerError(o.Err, ""))
	}
	return o.Offset, nil
}

// resolve returns a function that gives the offset to start from in a
// partition of topics.
func (st start) resolve(ctx context.Context, s *session, topics []string) (func(string, int32) (int64, error), error) {
	b, err := readBounds(ctx, s, topics)
	if err != nil {
		return nil, err
	}
	var after kadm.ListedOffsets
	if st.kind == startTime {
		if after, err = s.adm.ListOffsetsAfterMilli(ctx, st.when.UnixMilli(), topics...); err != nil {
			return nil, err
		}
	}
	return func(topic string, partition int32) (int64, error) {
		first, next, err := b.of(topic, partition)
		if err != nil {
			return 0, err
		}
		switch st.kind {
		case startEarliest:
			return first, nil
		case startLatest:
			return next, nil
		case startTail:
			return max(first, next-st.n), nil
		case startTime:
			return listed(after, topic, partition)
		}
		if st.n < first || st.n > next {
			return 0, fmt.Errorf("topic %q, partition %d has offsets %d to %d; there is no %d", topic, partition, first, next, st.n)
		}
		return st.n, nil
	}, nil
}
