package settings

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestDefaultsAreKafkas(t *testing.T) {
	b, err := ParseBroker(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := Topic{
		RetentionTime: 7 * 24 * time.Hour, RetentionBytes: -1, MaxMessageBytes: 1048588,
		TimestampBeforeMax: math.MaxInt64, TimestampAfterMax: time.Hour,
	}
	if b.Topic != want {
		t.Errorf("topic defaults: got %+v, want %+v", b.Topic, want)
	}
	if b.NumPartitions != 1 || !b.AutoCreateTopics || b.RequestMaxBytes != 100<<20 || b.OffsetsRetention != 7*24*time.Hour {
		t.Errorf("broker defaults: %+v", b)
	}
	topic, err := ParseTopic(b, nil)
	if err != nil || topic != want {
		t.Errorf("ParseTopic without overrides: %+v, %v", topic, err)
	}
}

func TestTheTablesAreSortedAndTheirDefaultsAllowed(t *testing.T) {
	check := func(names []string, defs []Definition) {
		if !slices.IsSorted(names) {
			t.Errorf("not sorted: %q", names)
		}
		for _, d := range defs {
			if d.Default != "" {
				if err := d.Check(d.Default); err != nil {
					t.Error(err)
				}
			}
			if d.Doc == "" || d.Type == 0 {
				t.Errorf("%s lacks a text or a type", d.Name)
			}
			for _, from := range d.From {
				if BrokerDefinition(from) == nil {
					t.Errorf("%s comes from %s, which is not there", d.Name, from)
				}
			}
		}
	}
	var names []string
	var defs []Definition
	for _, s := range brokerTable {
		names, defs = append(names, s.Name), append(defs, s.Definition)
		if (s.set == nil) != s.NoEffect && s.oneOf == nil {
			t.Errorf("%s: without a field, and does not say so", s.Name)
		}
	}
	check(names, defs)
	names, defs = nil, nil
	for _, s := range topicTable {
		names, defs = append(names, s.Name), append(defs, s.Definition)
		if (s.set == nil) != s.NoEffect && s.oneOf == nil {
			t.Errorf("%s: without a field, and does not say so", s.Name)
		}
	}
	check(names, defs)
}

func TestRetentionOfTheFinestUnitWins(t *testing.T) {
	for _, c := range []struct {
		static, dynamic map[string]string
		want            time.Duration
		described       string
	}{
		{map[string]string{"log.retention.hours": "2"}, nil, 2 * time.Hour, "7200000"},
		{map[string]string{"log.retention.hours": "2", "log.retention.minutes": "3"}, nil, 3 * time.Minute, "180000"},
		{map[string]string{"log.retention.ms": "4", "log.retention.minutes": "3"}, nil, 4 * time.Millisecond, "4"},
		{map[string]string{"log.retention.ms": "4"}, map[string]string{"log.retention.ms": "5"}, 5 * time.Millisecond, "5"},
		{map[string]string{"log.retention.minutes": "4"}, map[string]string{"log.retention.ms": "-7"}, -1, "-7"},
		{map[string]string{"log.retention.hours": "-1"}, nil, -1, "-1"},
		{map[string]string{"log.retention.ms": "9223372036854775807"}, nil, math.MaxInt64, "9223372036854775807"},
		{map[string]string{"log.retention.hours": "2147483647"}, nil, math.MaxInt64, "7730941129200000"},
	} {
		b, err := ParseBroker(c.static, c.dynamic)
		if err != nil {
			t.Errorf("%v %v: %v", c.static, c.dynamic, err)
			continue
		}
		if b.Topic.RetentionTime != c.want {
			t.Errorf("%v %v: got %v, want %v", c.static, c.dynamic, b.Topic.RetentionTime, c.want)
		}
		for _, e := range b.DescribeTopic(nil) {
			if e.Name == "retention.ms" && e.Value != c.described {
				t.Errorf("%v %v: described as %s, want %s", c.static, c.dynamic, e.Value, c.described)
			}
		}
	}
}

func TestTopicOverrides(t *testing.T) {
	b, err := ParseBroker(map[string]string{"message.max.bytes": "1000"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	got, err := ParseTopic(b, map[string]string{
		"retention.ms": "-1", "message.timestamp.type": "LogAppendTime", "message.timestamp.before.max.ms": "10",
		"segment.bytes": "1048576", "cleanup.policy": "delete", "compression.type": "producer",
	})
	if err != nil {
		t.Fatal(err)
	}
	want := b.Topic
	want.RetentionTime, want.TimestampType, want.TimestampBeforeMax = -1, LogAppendTime, 10*time.Millisecond
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestWhatIsRefused(t *testing.T) {
	b, _ := ParseBroker(nil, nil)
	for _, c := range []struct{ name, value, text string }{
		{"no.such.setting", "1", `unknown topic setting "no.such.setting"`},
		{"cleanup.policy", "compact", "compaction is not in this version"},
		{"cleanup.policy", "compact,delete", "compaction is not in this version"},
		{"compression.type", "gzip", "as the producer compressed them"},
		{"remote.storage.enable", "true", "no tiered storage"},
		{"retention.ms", "week", "must be a 64-bit integer"},
		{"retention.ms", "-2", "must be at least -1"},
		{"retention.ms", "9223372036854775808", "must be a 64-bit integer"},
		{"max.message.bytes", "2147483648", "must be a 32-bit integer"},
		{"message.timestamp.type", "createtime", "must be CreateTime or LogAppendTime"},
		{"preallocate", "yes", "must be true or false"},
		{"min.cleanable.dirty.ratio", "2", "must be at most 1"},
		{"min.cleanable.dirty.ratio", "NaN", "must be a number"},
		{"retention.ms", "5.0", "must be a 64-bit integer"},
		{"retention.ms", "", "must be a 64-bit integer"},
		{"cleanup.policy", "delete,", "must have no empty words"},
		{"cleanup.policy", "DELETE", "must be delete"},
		{"compression.gzip.level", "0", "must be at least 1, or negative"},
		{"compression.gzip.level", "10", "must be at most 9"},
		{"compression.lz4.level", "18", "must be at most 17"},
		{"compression.zstd.level", "23", "must be at most 22"},
		{"segment.bytes", "1048575", "must be at least 1048576"},
		{"leader.replication.throttled.replicas", "x", "must be * or a list"},
		{"leader.replication.throttled.replicas", "*,0:1", "must be * or a list"},
		{"follower.replication.throttled.replicas", "0:", "must be * or a list"},
		{"max.compaction.lag.ms", "0", "must be at least 1"},
		{strings.Repeat("x", 10_000), "2", "unknown topic setting"},
		{"retention.ms", strings.Repeat("x", 10_000), "must be a 64-bit integer"},
	} {
		_, err := ParseTopic(b, map[string]string{c.name: c.value})
		var e *Error
		if !errors.As(err, &e) || e.Name != c.name || !strings.Contains(e.Text, c.text) || len(e.Text) > 300 {
			t.Errorf("%.40s=%.40s: got %v, want a text with %q", c.name, c.value, err, c.text)
		}
	}
	for _, c := range []struct {
		static, dynamic map[string]string
		text            string
	}{
		{map[string]string{"num.partition": "1"}, nil, "unknown broker setting"},
		{map[string]string{"num.partitions": "0"}, nil, "must be at least 1"},
		{map[string]string{"log.retention.ms": "0"}, nil, "must be at least 1, or negative"},
		{map[string]string{"log.retention.hours": "0"}, nil, "must be at least 1, or negative"},
		{nil, map[string]string{"log.segment.bytes": "14"}, "must be at least 1048576"},
		{nil, map[string]string{"num.partitions": "5"}, "cannot be changed while the broker runs"},
		{map[string]string{"group.min.session.timeout.ms": "10", "group.max.session.timeout.ms": "9"}, nil, "above"},
	} {
		if _, err := ParseBroker(c.static, c.dynamic); err == nil || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%v %v: got %v, want a text with %q", c.static, c.dynamic, err, c.text)
		}
	}
}

func TestSynonymsShowWhereAValueComesFrom(t *testing.T) {
	b, err := ParseBroker(map[string]string{"log.retention.hours": "1"}, map[string]string{"log.retention.ms": "5"})
	if err != nil {
		t.Fatal(err)
	}
	var e Entry
	for _, e = range b.DescribeTopic(map[string]string{"retention.ms": "7"}) {
		if e.Name == "retention.ms" {
			break
		}
	}
	want := []Value{
		{"retention.ms", "7", FromTopic},
		{"log.retention.ms", "5", FromDynamic},
		{"log.retention.hours", "1", FromStatic},
		{"log.retention.hours", "168", FromDefault},
	}
	if e.Value != "7" || e.Source != FromTopic || !slices.Equal(e.Synonyms, want) {
		t.Errorf("got %+v", e)
	}
	for _, e := range b.Describe() {
		switch e.Name {
		case "log.retention.ms":
			if e.Value != "5" || e.Source != FromDynamic || len(e.Synonyms) != 1 {
				t.Errorf("got %+v", e)
			}
		case "log.retention.minutes":
			if e.Value != "" || e.Source != FromDefault || len(e.Synonyms) != 0 {
				t.Errorf("got %+v", e)
			}
		}
	}
}

// TestValuesAreCleaned: what Kafka understands is understood, and shown as it
// is understood.
func TestValuesAreCleaned(t *testing.T) {
	b, err := ParseBroker(map[string]string{"auto.create.topics.enable": " False ", "num.partitions": "+3"}, map[string]string{"log.retention.ms": " 05 "})
	if err != nil {
		t.Fatal(err)
	}
	if b.AutoCreateTopics || b.NumPartitions != 3 || b.Topic.RetentionTime != 5*time.Millisecond || b.Static()["num.partitions"] != "3" {
		t.Errorf("got %+v", b)
	}
	overrides := map[string]string{
		"retention.ms": " +5 ", "preallocate": "TRUE", "cleanup.policy": " delete,delete ", "message.timestamp.type": " LogAppendTime",
		"min.cleanable.dirty.ratio": " 0.5 ", "leader.replication.throttled.replicas": "0:1,,1:1, 0:1", "compression.gzip.level": "-1",
		"follower.replication.throttled.replicas": " * ", "retention.bytes": "-2", "min.compaction.lag.ms": "5", "max.compaction.lag.ms": "5",
	}
	topic, err := ParseTopic(b, overrides)
	if err != nil || topic.RetentionTime != 5*time.Millisecond || topic.TimestampType != LogAppendTime || topic.RetentionBytes >= 0 {
		t.Errorf("got %+v, %v", topic, err)
	}
	want := map[string]string{
		"retention.ms": "5", "preallocate": "true", "cleanup.policy": "delete", "message.timestamp.type": "LogAppendTime",
		"min.cleanable.dirty.ratio": "0.5", "leader.replication.throttled.replicas": "0:1,1:1,0:1", "follower.replication.throttled.replicas": "*",
	}
	for _, e := range b.DescribeTopic(overrides) {
		if v, ok := want[e.Name]; ok && e.Value != v {
			t.Errorf("%s is shown as %q, want %q", e.Name, e.Value, v)
		}
	}
	if _, err := ParseTopic(b, map[string]string{"min.compaction.lag.ms": "6", "max.compaction.lag.ms": "5"}); err == nil {
		t.Error("lags that contradict each other are allowed")
	}
}

// TestAnEmptyCleanupPolicyKeepsEverything, of the broker or of a topic.
func TestAnEmptyCleanupPolicyKeepsEverything(t *testing.T) {
	for _, c := range []struct {
		static string
		topic  map[string]string
		want   time.Duration
	}{
		{"delete", map[string]string{"cleanup.policy": ""}, -1},
		{"delete", map[string]string{"cleanup.policy": "", "retention.ms": "5", "retention.bytes": "7"}, -1},
		{"", nil, -1},
		{"", map[string]string{"retention.ms": "5"}, -1},
		{"", map[string]string{"cleanup.policy": "delete"}, 3 * time.Millisecond},
		{"", map[string]string{"cleanup.policy": "delete", "retention.ms": "5"}, 5 * time.Millisecond},
		{"delete", nil, 3 * time.Millisecond},
	} {
		b, err := ParseBroker(map[string]string{"log.cleanup.policy": c.static, "log.retention.ms": "3", "log.retention.bytes": "4"}, nil)
		if err != nil {
			t.Fatal(err)
		}
		got, err := ParseTopic(b, c.topic)
		if err != nil || got.RetentionTime != c.want || (got.RetentionBytes < 0) != (c.want < 0) {
			t.Errorf("%q, %v: %+v, %v", c.static, c.topic, got, err)
		}
	}
}
