package kafka

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/waxwing-mq/waxwing/internal/broker"
	"github.com/waxwing-mq/waxwing/internal/engine/mem"
)

// counting is a server whose responses are measured.
type counting struct {
	t *testing.T
	s *Server
	b *broker.Broker
}

func newCounting(t *testing.T) *counting {
	eng, err := mem.New(mem.Options{Seed: 1, FileBytes: 8 << 20}).Engine()
	if err != nil {
		t.Fatal(err)
	}
	b, err := broker.Open(context.Background(), broker.Config{Engine: eng})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		b.Close()
		eng.Close()
	})
	s := New(Config{Broker: b, NodeID: 1, Advertised: func() (string, int32) { return "broker.example.org", 9092 }})
	return &counting{t, s, b}
}

func (x *counting) topic(name string, partitions int, settings map[string]string) {
	x.t.Helper()
	_, err := x.b.CreateTopic(context.Background(), broker.TopicSpec{Name: name, Partitions: partitions, Settings: settings})
	if err != nil {
		x.t.Fatal(err)
	}
}

// check compares what is counted for a response with the memory that is taken
// to build and encode it, garbage included. Whatever else the process does counts
// too, so it may try three times.
func check[Q kmsg.Request](x *counting, req Q, size func(Q) int64, handle func(*request, Q) kmsg.Response) {
	x.t.Helper()
	req.SetVersion(req.MaxVersion())
	var fault string
	for range 3 {
		if fault = countOnce(x, req, size, handle); fault == "" {
			return
		}
	}
	x.t.Error(fault)
}

// countOnce says what is wrong with what was counted.
func countOnce[Q kmsg.Request](x *counting, req Q, size func(Q) int64, handle func(*request, Q) kmsg.Response) string {
	x.t.Helper()
	held, err := x.s.responses.take(context.Background(), size(req))
	if err != nil {
		x.t.Fatal(err)
	}
	defer held.giveBack()
	rq := &request{ctx: context.Background(), version: req.MaxVersion(), held: &held}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	b, err := appendResponse(nil, &reply{flexible: true}, handle(rq, req))
	runtime.ReadMemStats(&after)
	if err != nil {
		x.t.Fatal(err)
	}
	took := int64(after.TotalAlloc - before.TotalAlloc)
	said := fmt.Sprintf("%s: a response of %d bytes took %d, %d were counted", kmsg.NameForKey(req.Key()), len(b), took, held.n)
	x.t.Log(said)
	if took > held.n*5/4+4<<10 || held.n > 64*took+1<<20 {
		return said
	}
	return ""
}

// TestResponsesAreCounted: responses that are large compared to their requests
// take no more memory than is counted before they are built.
func TestResponsesAreCounted(t *testing.T) {
	x := newCounting(t)
	x.topic("wide", 20_000, nil)
	var names []string
	for i := range 300 {
		name := fmt.Sprintf("topic-%d-%s", i, strings.Repeat("x", 200))
		x.topic(name, 2, map[string]string{"leader.replication.throttled.replicas": strings.Repeat("1:1,", 250) + "1:1"})
		names = append(names, name)
	}
	s := x.s

	check(x, kmsg.NewPtrMetadataRequest(), s.metadataBytes, s.metadata)
	named := kmsg.NewPtrMetadataRequest()
	for i := range names {
		named.Topics = append(named.Topics, kmsg.MetadataRequestTopic{Topic: &names[i]})
	}
	check(x, named, s.metadataBytes, s.metadata)
	created := kmsg.NewPtrMetadataRequest()
	created.AllowAutoTopicCreation = true
	for i := range 100 {
		created.Topics = append(created.Topics, kmsg.MetadataRequestTopic{Topic: kmsg.StringPtr(fmt.Sprint("bad name ", i))})
	}
	check(x, created, s.metadataBytes, s.metadata)

	check(x, kmsg.NewPtrDescribeTopicPartitionsRequest(), s.describeTopicPartitionsBytes, s.describeTopicPartitions)
	check(x, kmsg.NewPtrDescribeLogDirsRequest(), s.describeLogDirsBytes, s.describeLogDirs)
	check(x, kmsg.NewPtrListGroupsRequest(), listGroupsBytes, s.listGroups)

	configs := kmsg.NewPtrDescribeConfigsRequest()
	configs.IncludeDocumentation, configs.IncludeSynonyms = true, true
	for _, name := range append(names, "wide", "none") {
		configs.Resources = append(configs.Resources, kmsg.DescribeConfigsRequestResource{ResourceType: kmsg.ConfigResourceTypeTopic, ResourceName: name})
	}
	check(x, configs, s.describeConfigsBytes, s.describeConfigs)

	create := kmsg.NewPtrCreateTopicsRequest()
	create.ValidateOnly = true
	for i := range 500 {
		rt := kmsg.NewCreateTopicsRequestTopic()
		rt.Topic, rt.NumPartitions, rt.ReplicationFactor = fmt.Sprint("new-", i), 1, 1
		create.Topics = append(create.Topics, rt)
	}
	check(x, create, createTopicsBytes, s.createTopics)

	commit := kmsg.NewPtrOffsetCommitRequest()
	commit.Group, commit.Generation = "g", -1
	ct := kmsg.NewOffsetCommitRequestTopic()
	ct.Topic = "wide"
	for i := range 2000 {
		p := kmsg.NewOffsetCommitRequestTopicPartition()
		p.Partition, p.Metadata = int32(i), kmsg.StringPtr(strings.Repeat("m", 500))
		ct.Partitions = append(ct.Partitions, p)
	}
	commit.Topics = append(commit.Topics, ct)
	commit.SetVersion(8)
	done := make(chan kmsg.Response, 1)
	s.offsetCommit(&request{c: &conn{s: s}, version: 8}, commit, func(r kmsg.Response) { done <- r })
	if code := (<-done).(*kmsg.OffsetCommitResponse).Topics[0].Partitions[0].ErrorCode; code != 0 {
		t.Fatalf("commit: error %d", code)
	}
	fetch := kmsg.NewPtrOffsetFetchRequest()
	fetch.Groups = []kmsg.OffsetFetchRequestGroup{{Group: "g"}}
	check(x, fetch, s.offsetFetchBytes, s.offsetFetch)
}

// TestAResponseThatFindsNoRoom is an error on which clients try again, not
// memory that is not there.
func TestAResponseThatFindsNoRoom(t *testing.T) {
	x := newCounting(t)
	rest, err := x.s.responses.take(context.Background(), x.s.responses.total-answerBytes)
	if err != nil {
		t.Fatal(err)
	}
	defer rest.giveBack()
	held, err := x.s.responses.take(context.Background(), answerBytes)
	if err != nil {
		t.Fatal(err)
	}
	defer held.giveBack()
	rq := &request{ctx: context.Background(), version: 4, held: &held}
	if !rq.resize(100) || held.n != 100 || rq.grow(answerBytes) || !rq.resize(answerBytes) {
		t.Errorf("%d bytes are held", held.n)
	}
	if rq.grow(1) || rq.resize(answerBytes+1) {
		t.Error("grew beyond the budget")
	}
}

// TestListingGroupsComparesEachStateOnce: filters are compared with every
// group, so of each no more is left than there are states and types.
func TestListingGroupsComparesEachStateOnce(t *testing.T) {
	for _, c := range []struct {
		states, types   []string
		states2, types2 string
		ok              bool
	}{
		{nil, nil, "[]", "[]", true},
		{[]string{"stable", "EMPTY", "Stable", "stable"}, []string{"Classic", "classic", "share"}, "[Empty Stable]", "[classic]", true},
		{[]string{"what"}, nil, "[]", "[]", false},
		{nil, []string{"consumer"}, "[]", "[]", false},
		{[]string{"what", "dead"}, nil, "[Dead]", "[]", true},
	} {
		list, ok := groupFilter(&kmsg.ListGroupsRequest{StatesFilter: c.states, TypesFilter: c.types})
		if ok != c.ok || fmt.Sprint(list.States) != c.states2 || fmt.Sprint(list.Types) != c.types2 {
			t.Errorf("%q, %q: got %v, %v", c.states, c.types, list, ok)
		}
	}
}

// TestAPanicInACallbackEndsTheConnection, and not the broker, whose goroutine
// calls it.
func TestAPanicInACallbackEndsTheConnection(t *testing.T) {
	x := newCounting(t)
	c := &conn{s: x.s}
	c.ctx, c.cancel = context.WithCancelCause(context.Background())
	c.protect(func() {})
	if c.ctx.Err() != nil {
		t.Error("ended without a panic")
	}
	p := &produceCall{c: c} // without an append, a reply or places
	p.append.Items = make([]broker.AppendItem, 1)
	p.done(nil)
	if err := context.Cause(c.ctx); err == nil || !strings.Contains(err.Error(), "panic") {
		t.Errorf("got %v", err)
	}
}
