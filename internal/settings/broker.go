package settings

import (
	"maps"
	"math"
	"slices"
	"strconv"
	"time"
)

// Broker is what holds for the whole broker. Make it with ParseBroker.
type Broker struct {
	// Topic is what holds for a topic without overrides.
	Topic Topic

	NumPartitions    int  // of a topic that does not say
	AutoCreateTopics bool // on first use
	DeleteTopics     bool // whether topics may be deleted

	RetentionCheckInterval time.Duration // between looks for old records
	ProducerIDExpiration   time.Duration // of an idempotent producer that is silent

	OffsetsRetention              time.Duration // of a group's offsets, once it is empty
	OffsetsRetentionCheckInterval time.Duration
	OffsetMetadataMaxBytes        int // of the text that goes with a committed offset

	GroupMinSessionTimeout     time.Duration
	GroupMaxSessionTimeout     time.Duration
	GroupMaxSize               int           // members
	GroupInitialRebalanceDelay time.Duration // that an empty group waits for more members

	FetchMaxBytes        int64 // of one fetch response, whatever the client asks for
	FetchSessionSlots    int
	RequestMaxBytes      int64 // of one request
	RequestPartitionsMax int   // partitions that one DescribeTopicPartitions shows
	ConnectionsMax       int
	ConnectionIdleMax    time.Duration // negative: for ever

	raw             Topic // Topic, had it a cleanup policy
	keeps           bool  // it has none
	static, dynamic map[string]string
}

// brokerSetting is a definition and the field it goes to.
type brokerSetting struct {
	Definition
	set func(*Broker, string) // nil: no effect
}

// brokerTable is every setting of a broker, by name.
var brokerTable = []brokerSetting{
	{boolean("auto.create.topics.enable", "true", "Whether a topic is created when it is first used.").readOnly(),
		func(b *Broker, v string) { b.AutoCreateTopics = flag(v) }},
	{Definition{Name: "compression.type", Type: String, Default: "producer", oneOf: []string{"producer"}, because: noRecompression,
		Doc: "How batches are stored: producer, that is, as they were sent."}, nil},
	{long("connections.max.idle.ms", "600000", -1, "A connection that is silent for longer is closed; -1: never.").readOnly(),
		func(b *Broker, v string) { b.ConnectionIdleMax = span(v, time.Millisecond) }},
	{integer("default.replication.factor", "1", 1, "No effect: there is one copy.").readOnly().noEffect(), nil},
	{boolean("delete.topic.enable", "true", "Whether topics may be deleted.").readOnly(),
		func(b *Broker, v string) { b.DeleteTopics = flag(v) }},
	{integer("fetch.max.bytes", "57671680", 1024, "Most bytes of records in one fetch response, whatever the client asks for.").readOnly(),
		func(b *Broker, v string) { b.FetchMaxBytes = number(v) }},
	{integer("group.initial.rebalance.delay.ms", "0", 0, "How long an empty group waits for more members before its first rebalance. Kafka's default is 3000.").readOnly(),
		func(b *Broker, v string) { b.GroupInitialRebalanceDelay = span(v, time.Millisecond) }},
	{integer("group.max.session.timeout.ms", "1800000", 1, "Longest session timeout that a member may ask for.").readOnly(),
		func(b *Broker, v string) { b.GroupMaxSessionTimeout = span(v, time.Millisecond) }},
	{integer("group.max.size", "10000", 1, "Most members of a group. Kafka's default is 2147483647.").readOnly(),
		func(b *Broker, v string) { b.GroupMaxSize = int(number(v)) }},
	{integer("group.min.session.timeout.ms", "6000", 1, "Shortest session timeout that a member may ask for.").readOnly(),
		func(b *Broker, v string) { b.GroupMinSessionTimeout = span(v, time.Millisecond) }},
	{Definition{Name: "log.cleanup.policy", Type: List, Default: "delete", oneOf: []string{"delete"}, because: noCompaction,
		Doc: "What becomes of old records: delete, or, if empty, nothing."}.and(noEmptyWords),
		func(b *Broker, v string) { b.keeps = v == "" }},
	{long("log.message.timestamp.after.max.ms", "3600000", 0, "How far ahead of the broker's clock a producer's timestamp may be."),
		func(b *Broker, v string) { b.Topic.TimestampAfterMax = span(v, time.Millisecond) }},
	{long("log.message.timestamp.before.max.ms", "9223372036854775807", 0, "How far behind the broker's clock a producer's timestamp may be."),
		func(b *Broker, v string) { b.Topic.TimestampBeforeMax = span(v, time.Millisecond) }},
	{Definition{Name: "log.message.timestamp.type", Type: String, Default: "CreateTime", oneOf: []string{"CreateTime", "LogAppendTime"},
		Doc: "Whose time a record carries: CreateTime, the producer's, or LogAppendTime, the broker's."},
		func(b *Broker, v string) { b.Topic.TimestampType = timestampType(v) }},
	{long("log.retention.bytes", "-1", math.MinInt64, "Size of a partition above which its oldest records are deleted; negative: no limit."),
		func(b *Broker, v string) { b.Topic.RetentionBytes = number(v) }},
	{long("log.retention.check.interval.ms", "300000", 1, "How often old records are looked for.").readOnly(),
		func(b *Broker, v string) { b.RetentionCheckInterval = span(v, time.Millisecond) }},
	// From the weakest to the strongest: the last one that is given wins.
	{integer("log.retention.hours", "168", math.MinInt32, "Age in hours above which records are deleted; negative: never.").and(notZero).readOnly(),
		func(b *Broker, v string) { b.Topic.RetentionTime = span(v, time.Hour) }},
	{integer("log.retention.minutes", "", math.MinInt32, "Age in minutes above which records are deleted; negative: never. Wins over log.retention.hours.").and(notZero).readOnly(),
		func(b *Broker, v string) { b.Topic.RetentionTime = span(v, time.Minute) }},
	{long("log.retention.ms", "", math.MinInt64, "Age in milliseconds above which records are deleted; negative: never. Wins over log.retention.minutes.").and(notZero),
		func(b *Broker, v string) { b.Topic.RetentionTime = span(v, time.Millisecond) }},
	{integer("log.segment.bytes", "1073741824", 1<<20, "No effect: partitions share journal files.").noEffect(), nil},
	{integer("max.connections", "10000", 1, "Most connections at a time. Kafka's default is 2147483647."),
		func(b *Broker, v string) { b.ConnectionsMax = int(number(v)) }},
	{integer("max.incremental.fetch.session.cache.slots", "1000", 0, "Most incremental fetch sessions.").readOnly(),
		func(b *Broker, v string) { b.FetchSessionSlots = int(number(v)) }},
	{integer("max.request.partition.size.limit", "2000", 1, "Most partitions in one DescribeTopicPartitions response.").readOnly(),
		func(b *Broker, v string) { b.RequestPartitionsMax = int(number(v)) }},
	{integer("message.max.bytes", "1048588", 0, "Largest record batch, after compression, in bytes."),
		func(b *Broker, v string) { b.Topic.MaxMessageBytes = number(v) }},
	{integer("min.insync.replicas", "1", 1, "No effect: an acknowledged record is on disk, whatever this says.").noEffect(), nil},
	{integer("num.partitions", "1", 1, "Partitions of a topic that does not say how many.").most(100_000).readOnly(),
		func(b *Broker, v string) { b.NumPartitions = int(number(v)) }},
	{integer("offset.metadata.max.bytes", "4096", 0, "Longest text that may go with a committed offset, in bytes.").readOnly(),
		func(b *Broker, v string) { b.OffsetMetadataMaxBytes = int(number(v)) }},
	{long("offsets.retention.check.interval.ms", "600000", 1, "How often expired offsets are looked for.").readOnly(),
		func(b *Broker, v string) { b.OffsetsRetentionCheckInterval = span(v, time.Millisecond) }},
	{integer("offsets.retention.minutes", "10080", 1, "How long a group's offsets are kept after its last member left.").readOnly(),
		func(b *Broker, v string) { b.OffsetsRetention = span(v, time.Minute) }},
	{integer("offsets.topic.num.partitions", "50", 1, "No effect: offsets are not in a topic.").readOnly().noEffect(), nil},
	{integer("offsets.topic.replication.factor", "1", 1, "No effect: offsets are not in a topic.").readOnly().noEffect(), nil},
	{integer("producer.id.expiration.ms", "86400000", 1, "How long a silent idempotent producer is remembered."),
		func(b *Broker, v string) { b.ProducerIDExpiration = span(v, time.Millisecond) }},
	{integer("socket.request.max.bytes", "104857600", 1, "Largest request, in bytes.").readOnly(),
		func(b *Broker, v string) { b.RequestMaxBytes = number(v) }},
	{boolean("unclean.leader.election.enable", "false", "No effect: there are no elections.").noEffect(), nil},
}

func findBroker(name string) *brokerSetting {
	for i := range brokerTable {
		if brokerTable[i].Name == name {
			return &brokerTable[i]
		}
	}
	return nil
}

// BrokerDefinition finds the definition of a broker setting, nil if there is none.
func BrokerDefinition(name string) *Definition {
	if s := findBroker(name); s != nil {
		return &s.Definition
	}
	return nil
}

// ParseBroker lays what the operator gave (static) over the defaults, and what
// was set while running (dynamic) over both. The error is an *Error that names
// the first setting that is unknown, is dynamic though read-only, or has a
// value that is not allowed. The maps are copied.
func ParseBroker(static, dynamic map[string]string) (Broker, error) {
	b := Broker{static: cleaned(static), dynamic: cleaned(dynamic)}
	for _, name := range sortedKeys(static) {
		if err := checkBroker(name, static[name]); err != nil {
			return Broker{}, err
		}
	}
	for _, name := range sortedKeys(dynamic) {
		if err := checkBroker(name, dynamic[name]); err != nil {
			return Broker{}, err
		}
		if findBroker(name).ReadOnly {
			return Broker{}, &Error{Name: name, Text: name + " is read at start and cannot be changed while the broker runs"}
		}
	}
	for _, s := range brokerTable {
		value, ok := b.dynamic[s.Name]
		if !ok {
			value, ok = b.static[s.Name]
		}
		if !ok {
			value = s.Default
		}
		if s.set != nil && (ok || value != "") {
			s.set(&b, value)
		}
	}
	b.raw, b.Topic = b.Topic, b.Topic.under(b.keeps)
	if b.GroupMinSessionTimeout > b.GroupMaxSessionTimeout {
		return Broker{}, &Error{Name: "group.min.session.timeout.ms", Text: "group.min.session.timeout.ms is above group.max.session.timeout.ms"}
	}
	return b, nil
}

func checkBroker(name, value string) error {
	s := findBroker(name)
	if s == nil {
		return &Error{Name: name, Text: "unknown broker setting " + quoted(name), Unknown: true}
	}
	return s.Check(value)
}

// cleaned is a copy of values of broker settings, as they are understood.
func cleaned(values map[string]string) map[string]string {
	c := maps.Clone(values)
	for name, value := range c {
		if s := findBroker(name); s != nil {
			c[name] = s.Clean(value)
		}
	}
	return c
}

func sortedKeys(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }

// quoted keeps a name that a peer chose from filling a log or a reply.
func quoted(name string) string {
	const most = 100
	if len(name) > most {
		return strconv.Quote(name[:most]) + "…"
	}
	return strconv.Quote(name)
}
