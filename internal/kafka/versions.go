package kafka

import "github.com/twmb/franz-go/pkg/kmsg"

// api is one API that is served: the versions, and the shape of its requests
// in the notation of shape.go.
type api struct {
	key      kmsg.Key
	min, max int16
	request  string
}

// apis is everything that is served, by key; these are also the versions that
// ApiVersions advertises (but see advertisedMin).
var apis = []api{
	{kmsg.Produce, 3, 13, "s? i16 i32 [ -12:s 13+:uuid [ i32 b? ] ]"},
	{kmsg.Fetch, 4, 18, "-14:i32 i32 i32 i32 i8 7+:i32 7+:i32 " +
		"[ -12:s 13+:uuid [ i32 9+:i32 i64 12+:i32 5+:i64 i32 ] ] " +
		"7+:[ -12:s 13+:uuid (i32) ] 11+:s #1{ i32 i64 }"},
	{kmsg.ListOffsets, 1, 11, "i32 2+:i8 [ s [ i32 4+:i32 i64 ] ] 10+:i32"},
	{kmsg.Metadata, 0, 13, "[ 10+:uuid -9:s 10+:s? ] 4+:i8 8-10:i8 8+:i8"},
	{kmsg.OffsetCommit, 2, 10, "s i32 s 7+:s? 2-4:i64 [ -9:s 10+:uuid [ i32 i64 6+:i32 s? ] ]"},
	{kmsg.OffsetFetch, 1, 10, "-7:s -7:[ s (i32) ] 8+:[ s 9+:s? 9+:i32 [ -9:s 10+:uuid (i32) ] ] 7+:i8"},
	{kmsg.FindCoordinator, 0, 6, "-3:s 1+:i8 4+:(s)"},
	{kmsg.JoinGroup, 0, 9, "s i32 1+:i32 s 5+:s? s [ s b ] 8+:s?"},
	{kmsg.Heartbeat, 0, 4, "s i32 s 3+:s?"},
	{kmsg.LeaveGroup, 0, 5, "s -2:s 3+:[ s s? 5+:s? ]"},
	{kmsg.SyncGroup, 0, 5, "s i32 s 3+:s? 5+:s? 5+:s? [ s b ]"},
	{kmsg.DescribeGroups, 0, 6, "(s) 3+:i8"},
	{kmsg.ListGroups, 0, 5, "4+:(s) 5+:(s)"},
	{kmsg.SASLHandshake, 0, 1, "s"},
	{kmsg.ApiVersions, 0, 4, "3+:s 3+:s"},
	{kmsg.CreateTopics, 2, 7, "[ s i32 i16 [ i32 (i32) ] [ s s? ] ] i32 i8"},
	{kmsg.DeleteTopics, 1, 6, "-5:(s) 6+:[ s? uuid ] i32"},
	{kmsg.DeleteRecords, 0, 2, "[ s [ i32 i64 ] ] i32"},
	{kmsg.InitProducerID, 0, 5, "s? i32 3+:i64 3+:i16"},
	{kmsg.OffsetForLeaderEpoch, 2, 4, "3+:i32 [ s [ i32 i32 i32 ] ]"},
	{kmsg.DescribeConfigs, 1, 4, "[ i8 s (s) ] i8 3+:i8"},
	{kmsg.AlterConfigs, 0, 2, "[ i8 s [ s s? ] ] i8"},
	{kmsg.DescribeLogDirs, 1, 5, "[ s (i32) ]"},
	{kmsg.CreatePartitions, 0, 3, "[ s i32 [ (i32) ] ] i32 i8"},
	{kmsg.DeleteGroups, 0, 2, "(s)"},
	{kmsg.IncrementalAlterConfigs, 0, 1, "[ i8 s [ s i8 s? ] ] i8"},
	{kmsg.OffsetDelete, 0, 0, "s [ s [ i32 ] ]"},
	{kmsg.DescribeCluster, 0, 2, "i8 1+:i8 2+:i8"},
	{kmsg.DescribeProducers, 0, 0, "[ s (i32) ]"},
	{kmsg.DescribeTopicPartitions, 0, 0, "[ s ] i32 { s i32 }"},
}

// APIName is the protocol's name of an API, "InitProducerId"; "Unknown" of one
// that is not served.
func APIName(key int16) string {
	switch a := findAPI(key); {
	case a == nil:
		return "Unknown"
	case a.key == kmsg.InitProducerID:
		return "InitProducerId" // kmsg spells these two in Go's way
	case a.key == kmsg.SASLHandshake:
		return "SaslHandshake"
	default:
		return a.key.Name()
	}
}

// advertisedMin is the lowest version that ApiVersions shows. Produce shows
// versions 0 to 2, which are not served: librdkafka switches compression off
// where they are missing (KAFKA-18659), and Apache Kafka shows them too.
func (a *api) advertisedMin() int16 {
	if a.key == kmsg.Produce {
		return 0
	}
	return a.min
}

// served is what is known of an API once the table is compiled.
type served struct {
	*api
	flexibleFrom int16 // first flexible version (KIP-482)
	shape        []shapeField
}

// byKey is indexed by API key. A mistake in the table is found when the
// program starts, by any test.
var byKey = compileAPIs()

func compileAPIs() []*served {
	var all []*served
	for i := range apis {
		s := &served{api: &apis[i]}
		s.shape = compileShape(s.request)
		req := s.key.Request()
		for req.SetVersion(0); !req.IsFlexible() && s.flexibleFrom <= s.max; {
			s.flexibleFrom++
			req.SetVersion(s.flexibleFrom)
		}
		for int(s.key) >= len(all) {
			all = append(all, nil)
		}
		all[s.key] = s
	}
	return all
}

// findAPI returns nil for an API that is not served.
func findAPI(key int16) *served {
	if key < 0 || int(key) >= len(byKey) {
		return nil
	}
	return byKey[key]
}

// The feature levels that ApiVersions shows. metadata.version tells tools what
// release they talk to: 25 is the level of Kafka 4.0 (4.0-IV3). Neither
// transaction.version nor group.version is there, so that clients do not use
// transactions of the second kind or the new group protocol.
const (
	metadataFeature       = "metadata.version"
	metadataLevel   int16 = 25
	metadataMin     int16 = 7 // 3.3-IV3, as in Kafka 4
)
