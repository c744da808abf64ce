package settings

import (
	"fmt"
	"math"
	"time"
)

// TimestampType says whose time a record carries.
type TimestampType uint8

// The timestamp types.
const (
	CreateTime    TimestampType = iota // the producer's
	LogAppendTime                      // the broker's, when it took the batch
)

// Topic is what holds for one topic.
type Topic struct {
	RetentionTime   time.Duration // negative: for ever
	RetentionBytes  int64         // of each partition; negative: no limit
	MaxMessageBytes int64         // largest record batch, compressed
	TimestampType   TimestampType
	// TimestampBeforeMax and TimestampAfterMax are how far a producer's
	// timestamp may lie behind and ahead of the broker's clock.
	// math.MaxInt64 is no limit.
	TimestampBeforeMax time.Duration
	TimestampAfterMax  time.Duration
}

// topicSetting is a definition and the field it goes to.
type topicSetting struct {
	Definition
	set func(*Topic, string) // nil: no effect
}

const (
	noCompaction    = "compaction is not in this version"
	noRecompression = "batches are kept as the producer compressed them"
	noTiers         = "there is no tiered storage"
)

// topicTable is every setting of a topic, by name.
var topicTable = []topicSetting{
	{Definition{Name: "cleanup.policy", Type: List, Default: "delete", oneOf: []string{"delete"}, because: noCompaction,
		Doc: "What becomes of old records: delete, or, if empty, nothing."}.and(noEmptyWords).from("log.cleanup.policy"), nil},
	{integer("compression.gzip.level", "-1", -1, "No effect: nothing is recompressed.").most(9).and(notZero).noEffect(), nil},
	{integer("compression.lz4.level", "9", 1, "No effect: nothing is recompressed.").most(17).noEffect(), nil},
	{Definition{Name: "compression.type", Type: String, Default: "producer", oneOf: []string{"producer"}, because: noRecompression,
		Doc: "How batches are stored: producer, that is, as they were sent."}.from("compression.type"), nil},
	{integer("compression.zstd.level", "3", -131072, "No effect: nothing is recompressed.").most(22).noEffect(), nil},
	{long("delete.retention.ms", "86400000", 0, "No effect without compaction.").noEffect(), nil},
	{long("file.delete.delay.ms", "60000", 0, "No effect: files are deleted once nothing reads them.").noEffect(), nil},
	{long("flush.messages", "9223372036854775807", 1, "No effect: every acknowledged record is synced.").noEffect(), nil},
	{long("flush.ms", "9223372036854775807", 0, "No effect: every acknowledged record is synced.").noEffect(), nil},
	{Definition{Name: "follower.replication.throttled.replicas", Type: List, Doc: "No effect: there are no followers."}.and(throttled).noEffect(), nil},
	{integer("index.interval.bytes", "4096", 0, "No effect: every batch is in the index.").noEffect(), nil},
	{Definition{Name: "leader.replication.throttled.replicas", Type: List, Doc: "No effect: there are no followers."}.and(throttled).noEffect(), nil},
	{long("local.retention.bytes", "-2", -2, "No effect without tiered storage.").noEffect(), nil},
	{long("local.retention.ms", "-2", -2, "No effect without tiered storage.").noEffect(), nil},
	{long("max.compaction.lag.ms", "9223372036854775807", 1, "No effect without compaction.").noEffect(), nil},
	{integer("max.message.bytes", "1048588", 0, "Largest record batch, after compression, in bytes.").from("message.max.bytes"),
		func(t *Topic, v string) { t.MaxMessageBytes = number(v) }},
	{long("message.timestamp.after.max.ms", "3600000", 0, "How far ahead of the broker's clock a producer's timestamp may be.").from("log.message.timestamp.after.max.ms"),
		func(t *Topic, v string) { t.TimestampAfterMax = span(v, time.Millisecond) }},
	{long("message.timestamp.before.max.ms", "9223372036854775807", 0, "How far behind the broker's clock a producer's timestamp may be.").from("log.message.timestamp.before.max.ms"),
		func(t *Topic, v string) { t.TimestampBeforeMax = span(v, time.Millisecond) }},
	{Definition{Name: "message.timestamp.type", Type: String, Default: "CreateTime", oneOf: []string{"CreateTime", "LogAppendTime"},
		Doc: "Whose time a record carries: CreateTime, the producer's, or LogAppendTime, the broker's."}.from("log.message.timestamp.type"),
		func(t *Topic, v string) { t.TimestampType = timestampType(v) }},
	{Definition{Name: "min.cleanable.dirty.ratio", Type: Double, Default: "0.5", Doc: "No effect without compaction.", min: 0, max: 1}.noEffect(), nil},
	{long("min.compaction.lag.ms", "0", 0, "No effect without compaction.").noEffect(), nil},
	{integer("min.insync.replicas", "1", 1, "No effect: an acknowledged record is on disk, whatever this says.").from("min.insync.replicas").noEffect(), nil},
	{boolean("preallocate", "false", "No effect: space is always allocated ahead.").noEffect(), nil},
	{boolean("remote.log.delete.on.disable", "false", "No effect without tiered storage.").noEffect(), nil},
	{Definition{Name: "remote.storage.enable", Type: Bool, Default: "false", oneOf: []string{"false"}, because: noTiers, Doc: "There is no tiered storage."}, nil},
	{long("retention.bytes", "-1", math.MinInt64, "Size of a partition above which its oldest records are deleted; negative: no limit.").from("log.retention.bytes"),
		func(t *Topic, v string) { t.RetentionBytes = number(v) }},
	{long("retention.ms", "604800000", -1, "Age above which records are deleted; -1: never.").from("log.retention.ms", "log.retention.minutes", "log.retention.hours"),
		func(t *Topic, v string) { t.RetentionTime = span(v, time.Millisecond) }},
	{integer("segment.bytes", "1073741824", 1<<20, "No effect: partitions share journal files.").noEffect(), nil},
	{integer("segment.index.bytes", "10485760", 4, "No effect: partitions share journal files.").noEffect(), nil},
	{long("segment.jitter.ms", "0", 0, "No effect: partitions share journal files.").noEffect(), nil},
	{long("segment.ms", "604800000", 1, "No effect: partitions share journal files.").noEffect(), nil},
	{boolean("unclean.leader.election.enable", "false", "No effect: there are no elections.").noEffect(), nil},
}

func timestampType(v string) TimestampType {
	if v == "LogAppendTime" {
		return LogAppendTime
	}
	return CreateTime
}

func findTopic(name string) *topicSetting {
	for i := range topicTable {
		if topicTable[i].Name == name {
			return &topicTable[i]
		}
	}
	return nil
}

// TopicDefinition finds the definition of a topic setting, nil if there is none.
func TopicDefinition(name string) *Definition {
	if s := findTopic(name); s != nil {
		return &s.Definition
	}
	return nil
}

// ParseTopic lays a topic's overrides over the broker's defaults. The error is
// an *Error that names the first setting, in the order of names, that is
// unknown or has a value that is not allowed.
func ParseTopic(b Broker, overrides map[string]string) (Topic, error) {
	t, keeps := b.raw, b.keeps
	for _, name := range sortedKeys(overrides) {
		s := findTopic(name)
		if s == nil {
			return Topic{}, &Error{Name: name, Text: "unknown topic setting " + quoted(name), Unknown: true}
		}
		if err := s.Check(overrides[name]); err != nil {
			return Topic{}, err
		}
		if s.set != nil {
			s.set(&t, s.Clean(overrides[name]))
		}
	}
	if policy, ok := overrides["cleanup.policy"]; ok {
		keeps = len(Words(policy)) == 0
	}
	if err := checkLags(overrides); err != nil {
		return Topic{}, err
	}
	return t.under(keeps), nil
}

// under is t under a cleanup policy: with an empty one it keeps everything.
func (t Topic) under(keeps bool) Topic {
	if keeps {
		t.RetentionTime, t.RetentionBytes = -1, -1
	}
	return t
}

// checkLags refuses limits of the compaction lag that contradict each other.
func checkLags(overrides map[string]string) error {
	const least, most = "min.compaction.lag.ms", "max.compaction.lag.ms"
	lag := func(name string) int64 {
		d := TopicDefinition(name)
		value, ok := overrides[name]
		if !ok {
			value = d.Default
		}
		return number(d.Clean(value))
	}
	if lag(least) > lag(most) {
		return &Error{Name: least, Text: fmt.Sprintf("%s (%d) is above %s (%d)", least, lag(least), most, lag(most))}
	}
	return nil
}
