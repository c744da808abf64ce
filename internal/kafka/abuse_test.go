package kafka_test

import (
	"bytes"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/waxwing-mq/waxwing/internal/broker"
	"github.com/waxwing-mq/waxwing/internal/kafka"
)

// Tests of requests that cost the server more than they should.

// within fails if fn takes longer than d. The limits tell minutes from moments,
// with room for a busy machine and the race detector.
func within(t *testing.T, d time.Duration, what string, fn func()) {
	t.Helper()
	begun := time.Now()
	fn()
	if took := time.Since(begun); took > d {
		t.Errorf("%s took %v, more than %v", what, took, d)
	}
}

// TestLargeResponsesAreBuiltAFewAtATime: as many as the memory of responses
// allows, however many ask.
func TestLargeResponsesAreBuiltAFewAtATime(t *testing.T) {
	var building, most atomic.Int32
	n := start(t, memory(32<<20), func(_ *broker.Config, c *kafka.Config) {
		c.Advertised = func() (string, int32) { // called while the response is built
			now := building.Add(1)
			defer building.Add(-1)
			for {
				before := most.Load()
				if now <= before || most.CompareAndSwap(before, now) {
					break
				}
			}
			time.Sleep(20 * time.Millisecond)
			return "", 0
		}
	})
	n.topic(t, "wide", 15_000) // about 4 MB while it is built, of 8
	req := &kmsg.MetadataRequest{}
	conns := map[*raw]int32{}
	for range 20 {
		conn := n.dial(t)
		conns[conn] = conn.send(req, 12)
	}
	for conn, id := range conns {
		if resp := conn.receive(req, id).(*kmsg.MetadataResponse); len(resp.Topics) != 1 {
			t.Errorf("%d topics", len(resp.Topics))
		}
	}
	if got := most.Load(); got < 1 || got > 2 {
		t.Errorf("%d responses were built at a time", got)
	}
}

// TestALongRequestMakesRoom: while the log stands still, a request of very many
// elements that waits for it does not keep others from what needs no log.
func TestALongRequestMakesRoom(t *testing.T) {
	disk, hold, _ := stall(t)
	n := start(t, memory(32<<20), disk)
	topic := n.topic(t, "orders", 1)
	put(t, n, topic, "v")
	hold()
	long := kmsg.NewPtrDeleteRecordsRequest()
	rt := kmsg.DeleteRecordsRequestTopic{Topic: "orders"}
	for range 50_000 {
		rt.Partitions = append(rt.Partitions, kmsg.DeleteRecordsRequestTopicPartition{Offset: 1})
	}
	long.Topics = append(long.Topics, rt)
	conn := n.dial(t)
	conn.send(long, 2)
	time.Sleep(300 * time.Millisecond)
	for range 3 {
		other := n.dial(t)
		other.SetDeadline(time.Now().Add(5 * time.Second))
		other.ask(&kmsg.MetadataRequest{}, 1)
	}
	conn.closed()
}

// TestManyUnknownNames: a name that is not there costs little, however many
// topics are.
func TestManyUnknownNames(t *testing.T) {
	n := start(t, setting("auto.create.topics.enable", "false"))
	for i := range 500 {
		n.topic(t, fmt.Sprintf("a.topic.%d", i), 1)
	}
	conn := n.dial(t)
	ask := func(format string) time.Duration {
		req := kmsg.NewPtrMetadataRequest()
		for i := range 100_000 {
			req.Topics = append(req.Topics, kmsg.MetadataRequestTopic{Topic: kmsg.StringPtr(fmt.Sprintf(format, i))})
		}
		begun := time.Now()
		resp := conn.ask(req, 12).(*kmsg.MetadataResponse)
		if len(resp.Topics) != 100_000 || resp.Topics[0].ErrorCode != kerr.UnknownTopicOrPartition.Code {
			t.Errorf("%d topics", len(resp.Topics))
		}
		return time.Since(begun)
	}
	plain := ask("no-topic-%d") // which cannot collide with another name
	if dotted := ask("no.topic.%d"); dotted > 5*plain+time.Second {
		t.Errorf("100,000 unknown names with dots took %v, others %v", dotted, plain)
	}
}

// TestALongFilterOfListGroups is compared with the groups in no time.
func TestALongFilterOfListGroups(t *testing.T) {
	n := start(t)
	n.topic(t, "orders", 1)
	conn := n.dial(t)
	for i := range 2000 {
		commit := kmsg.NewPtrOffsetCommitRequest()
		commit.Group, commit.Generation = fmt.Sprint("g-", i), -1
		commit.Topics = []kmsg.OffsetCommitRequestTopic{{Topic: "orders", Partitions: []kmsg.OffsetCommitRequestTopicPartition{{Offset: 1}}}}
		conn.ask(commit, 8)
	}
	req := kmsg.NewPtrListGroupsRequest()
	if all := conn.ask(req, 4).(*kmsg.ListGroupsResponse).Groups; len(all) != 2000 {
		t.Fatalf("%d groups", len(all))
	}
	req.StatesFilter = strings.Split(strings.Repeat("empti,", 190_000), ",")
	within(t, 5*time.Second, "190,000 states", func() {
		if resp := conn.ask(req, 4).(*kmsg.ListGroupsResponse); resp.ErrorCode != 0 || len(resp.Groups) != 0 {
			t.Errorf("error %d, %d groups", resp.ErrorCode, len(resp.Groups))
		}
	})
}

// TestSettingsAreNotLong: values are split into words, so one that is as long
// as a request is refused.
func TestSettingsAreNotLong(t *testing.T) {
	n := start(t)
	n.topic(t, "orders", 1)
	conn := n.dial(t)
	words := func(count int) *string {
		var b bytes.Buffer
		for i := range count {
			fmt.Fprintf(&b, "%d:%d,", i, i)
		}
		return kmsg.StringPtr(b.String())
	}
	for _, op := range []kmsg.IncrementalAlterConfigOp{kmsg.IncrementalAlterConfigOpAppend, kmsg.IncrementalAlterConfigOpSubtract, kmsg.IncrementalAlterConfigOpSet} {
		for _, count := range []int{4000, 500_000} {
			req := kmsg.NewPtrIncrementalAlterConfigsRequest()
			req.Resources = []kmsg.IncrementalAlterConfigsRequestResource{{
				ResourceType: kmsg.ConfigResourceTypeTopic, ResourceName: "orders",
				Configs: []kmsg.IncrementalAlterConfigsRequestResourceConfig{{Name: "leader.replication.throttled.replicas", Op: op, Value: words(count)}},
			}}
			within(t, 10*time.Second, fmt.Sprint(op, " of ", count, " words"), func() {
				r := conn.ask(req, 1).(*kmsg.IncrementalAlterConfigsResponse).Resources[0]
				if refused := r.ErrorCode == kerr.InvalidConfig.Code; refused != (count > 4000) {
					t.Errorf("%v of %d words: error %d, %s", op, count, r.ErrorCode, deref(r.ErrorMessage))
				}
			})
		}
	}
	alter := kmsg.NewPtrAlterConfigsRequest()
	alter.Resources = []kmsg.AlterConfigsRequestResource{{ResourceType: kmsg.ConfigResourceTypeTopic, ResourceName: "orders",
		Configs: []kmsg.AlterConfigsRequestResourceConfig{{Name: "leader.replication.throttled.replicas", Value: words(100_000)}}}}
	if r := conn.ask(alter, 2).(*kmsg.AlterConfigsResponse).Resources[0]; r.ErrorCode != kerr.InvalidConfig.Code {
		t.Errorf("AlterConfigs: %+v", r)
	}
	create := kmsg.NewPtrCreateTopicsRequest()
	rt := kmsg.NewCreateTopicsRequestTopic()
	rt.Topic, rt.NumPartitions, rt.ReplicationFactor = "new", 1, 1
	rt.Configs = []kmsg.CreateTopicsRequestTopicConfig{{Name: "leader.replication.throttled.replicas", Value: words(100_000)}}
	create.Topics = append(create.Topics, rt)
	if r := conn.ask(create, 7).(*kmsg.CreateTopicsResponse).Topics[0]; r.ErrorCode != kerr.InvalidConfig.Code {
		t.Errorf("CreateTopics: %+v", r)
	}
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// TestAResourceThatIsNamedTwiceIsRefused, every time: a change of the broker's
// settings goes through all topics.
func TestAResourceThatIsNamedTwiceIsRefused(t *testing.T) {
	n := start(t)
	n.topic(t, "orders", 1)
	conn := n.dial(t)
	value := kmsg.StringPtr("1000000")
	one := kmsg.AlterConfigsRequestResource{ResourceType: kmsg.ConfigResourceTypeTopic, ResourceName: "orders", Configs: []kmsg.AlterConfigsRequestResourceConfig{{Name: "retention.ms", Value: value}}}
	all := one
	all.ResourceType, all.ResourceName = kmsg.ConfigResourceTypeBroker, ""
	all.Configs = []kmsg.AlterConfigsRequestResourceConfig{{Name: "log.retention.ms", Value: value}}
	alter := kmsg.NewPtrAlterConfigsRequest()
	alter.Resources = []kmsg.AlterConfigsRequestResource{all, one, all}
	incremental := kmsg.NewPtrIncrementalAlterConfigsRequest()
	for _, r := range alter.Resources {
		ir := kmsg.IncrementalAlterConfigsRequestResource{ResourceType: r.ResourceType, ResourceName: r.ResourceName}
		for _, c := range r.Configs {
			ir.Configs = append(ir.Configs, kmsg.IncrementalAlterConfigsRequestResourceConfig{Name: c.Name, Value: c.Value})
		}
		incremental.Resources = append(incremental.Resources, ir)
	}
	var codes []int16
	for _, r := range conn.ask(alter, 2).(*kmsg.AlterConfigsResponse).Resources {
		codes = append(codes, r.ErrorCode)
	}
	for _, r := range conn.ask(incremental, 1).(*kmsg.IncrementalAlterConfigsResponse).Resources {
		codes = append(codes, r.ErrorCode)
	}
	bad := kerr.InvalidRequest.Code
	if want := fmt.Sprint([]int16{bad, 0, bad, bad, 0, bad}); fmt.Sprint(codes) != want {
		t.Errorf("errors %v, want %v", codes, want)
	}
	if len(n.SettingOverrides()) != 0 {
		t.Errorf("the broker's settings have changed: %v", n.SettingOverrides())
	}
}

// TestDescribingTooManySettings: what does not fit one response is an error,
// and the rest is described.
func TestDescribingTooManySettings(t *testing.T) {
	n := start(t)
	n.topic(t, "orders", 1)
	conn := n.dial(t)
	req := kmsg.NewPtrDescribeConfigsRequest()
	for i := range 5000 {
		req.Resources = append(req.Resources, kmsg.DescribeConfigsRequestResource{ResourceType: kmsg.ConfigResourceTypeTopic, ResourceName: fmt.Sprint("none-", i)})
	}
	req.Resources[0].ResourceName = "orders"
	got := conn.ask(req, 4).(*kmsg.DescribeConfigsResponse).Resources
	if len(got) != 5000 || got[0].ErrorCode != 0 || len(got[0].Configs) == 0 || got[3999].ErrorCode != kerr.UnknownTopicOrPartition.Code || got[4000].ErrorCode != kerr.InvalidRequest.Code {
		t.Errorf("%d resources; %d settings, %v, %v", len(got), len(got[0].Configs), got[3999].ErrorCode, got[4000].ErrorCode)
	}
	// By name there may be more.
	for i := range req.Resources {
		req.Resources[i].ConfigNames = []string{"retention.ms"}
	}
	got = conn.ask(req, 4).(*kmsg.DescribeConfigsResponse).Resources
	if len(got[0].Configs) != 1 || got[4999].ErrorCode != kerr.UnknownTopicOrPartition.Code {
		t.Errorf("%d settings, %v", len(got[0].Configs), got[4999].ErrorCode)
	}
}

// TestMetadataCreatesOnlySoManyTopics at a time; clients ask again for the
// others.
func TestMetadataCreatesOnlySoManyTopics(t *testing.T) {
	n := start(t)
	req := kmsg.NewPtrMetadataRequest()
	req.AllowAutoTopicCreation = true
	for i := range 10_002 {
		req.Topics = append(req.Topics, kmsg.MetadataRequestTopic{Topic: kmsg.StringPtr(fmt.Sprint("topic-", i))})
	}
	var missing int
	for _, rt := range n.dial(t).ask(req, 12).(*kmsg.MetadataResponse).Topics {
		if rt.ErrorCode == kerr.LeaderNotAvailable.Code {
			missing++
		} else if rt.ErrorCode != 0 {
			t.Fatalf("%s: error %d", *rt.Topic, rt.ErrorCode)
		}
	}
	if missing != 2 {
		t.Errorf("%d topics of 10,002 are not created, want 2", missing)
	}
}
