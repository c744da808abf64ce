package node

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/waxwing-mq/waxwing/internal/broker"
	"github.com/waxwing-mq/waxwing/internal/engine/mem"
)

// onDisk is a configuration on a disk that a test can make fail.
func onDisk(t *testing.T, opt mem.Options) (Config, *mem.Disk) {
	d := mem.New(opt)
	cfg := testConfig(t)
	cfg.DataDir, cfg.Shards, cfg.fs = mem.Dir, 1, d
	return cfg, d
}

func client(t *testing.T, n *Node) *kgo.Client {
	t.Helper()
	c, err := kgo.NewClient(kgo.SeedBrokers(n.KafkaAddr()), kgo.AllowAutoTopicCreation(), kgo.RecordRetries(0), kgo.DisableIdempotentWrite())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// TestFailedSyncEndsTheNode: nothing is acknowledged after it, the health says
// so, and the process is told to exit.
func TestFailedSyncEndsTheNode(t *testing.T) {
	cfg, d := onDisk(t, mem.Options{})
	n := start(t, cfg)
	defer n.Shutdown(context.Background())
	produce(t, n, "before")
	d.FailSync(1)
	if err := client(t, n).ProduceSync(t.Context(), &kgo.Record{Topic: "t", Value: []byte("after")}).FirstErr(); err == nil {
		t.Fatal("a record was acknowledged whose sync failed")
	}
	select {
	case <-n.Done():
	case <-time.After(20 * time.Second):
		t.Fatal("the node goes on")
	}
	if !errors.Is(n.Err(), mem.ErrIO) {
		t.Errorf("Err: %v", n.Err())
	}
	if code, body := get(t, n, "/healthz"); code != http.StatusServiceUnavailable || !strings.Contains(body, "injected") {
		t.Errorf("/healthz: %d %s", code, body)
	}
	if code, _ := get(t, n, "/readyz"); code != http.StatusServiceUnavailable {
		t.Errorf("/readyz: %d", code)
	}
}

// TestNotReadyWhileRecovering: HTTP answers while the data is opened, and says
// that it is alive and not ready.
func TestNotReadyWhileRecovering(t *testing.T) {
	began, goOn := make(chan struct{}), make(chan struct{})
	var first atomic.Bool
	cfg, _ := onDisk(t, mem.Options{BeforeSync: func(string) {
		if first.CompareAndSwap(false, true) {
			close(began)
			<-goOn
		}
	}})
	cfg.HTTPAddr = freeAddr(t)
	started := make(chan *Node)
	go func() {
		n, err := Start(context.Background(), cfg)
		if err != nil {
			t.Error(err)
		}
		started <- n
	}()
	<-began
	for path, want := range map[string]int{"/healthz": http.StatusOK, "/readyz": http.StatusServiceUnavailable} {
		resp, err := http.Get("http://" + cfg.HTTPAddr + path)
		if err != nil {
			t.Error(err)
			continue
		}
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("%s: %d, want %d", path, resp.StatusCode, want)
		}
	}
	close(goOn)
	n := <-started
	if n == nil {
		return
	}
	defer stop(t, n)
	if code, _ := get(t, n, "/readyz"); code != http.StatusOK {
		t.Errorf("/readyz: %d", code)
	}
}

// TestShutdownAnswersWhatIsUnderWay: a produce whose sync is under way is
// answered before the node lets go.
func TestShutdownAnswersWhatIsUnderWay(t *testing.T) {
	began, goOn := make(chan struct{}, 1), make(chan struct{})
	var slow atomic.Bool
	cfg, _ := onDisk(t, mem.Options{BeforeSync: func(string) {
		if slow.CompareAndSwap(true, false) {
			began <- struct{}{}
			<-goOn
		}
	}})
	n := start(t, cfg)
	produce(t, n, "before")
	c := client(t, n)
	if err := c.ProduceSync(t.Context(), &kgo.Record{Topic: "t"}).FirstErr(); err != nil { // connected
		t.Fatal(err)
	}
	slow.Store(true)
	answer := make(chan error, 1)
	go func() { answer <- c.ProduceSync(context.Background(), &kgo.Record{Topic: "t"}).FirstErr() }()
	<-began
	ended := make(chan struct{})
	go func() {
		stop(t, n)
		close(ended)
	}()
	select {
	case <-ended:
		t.Error("it stopped with a request under way")
	case <-time.After(200 * time.Millisecond):
	}
	close(goOn)
	if err := <-answer; err != nil {
		t.Errorf("the request under way: %v", err)
	}
	<-ended
}

// TestAdvertisedEverywhere: each response that tells where the broker is tells
// what Advertise says.
func TestAdvertisedEverywhere(t *testing.T) {
	cfg := testConfig(t)
	cfg.Advertise = "broker.example:19092"
	n := start(t, cfg)
	defer stop(t, n)
	if n.AdvertisedAddr() != cfg.Advertise {
		t.Errorf("AdvertisedAddr: %s", n.AdvertisedAddr())
	}
	seed := client(t, n).SeedBrokers()[0]
	ask := func(req kmsg.Request) kmsg.Response {
		t.Helper()
		resp, err := seed.Request(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		return resp
	}
	check := func(what, host string, port int32) {
		t.Helper()
		if host != "broker.example" || port != 19092 {
			t.Errorf("%s: %s:%d", what, host, port)
		}
	}
	metadata := ask(kmsg.NewPtrMetadataRequest()).(*kmsg.MetadataResponse)
	check("Metadata", metadata.Brokers[0].Host, metadata.Brokers[0].Port)
	cluster := ask(kmsg.NewPtrDescribeClusterRequest()).(*kmsg.DescribeClusterResponse)
	check("DescribeCluster", cluster.Brokers[0].Host, cluster.Brokers[0].Port)
	find := kmsg.NewPtrFindCoordinatorRequest()
	find.CoordinatorKey, find.CoordinatorKeys = "g", []string{"g"}
	found := ask(find).(*kmsg.FindCoordinatorResponse)
	if len(found.Coordinators) != 1 || kerr.ErrorForCode(found.Coordinators[0].ErrorCode) != nil {
		t.Fatalf("%+v", found)
	}
	check("FindCoordinator", found.Coordinators[0].Host, found.Coordinators[0].Port)
	if _, err := n.broker.CreateTopic(t.Context(), broker.TopicSpec{Name: "t", Partitions: 1}); err != nil {
		t.Fatal(err)
	}
	topics := ask(kmsg.NewPtrMetadataRequest()).(*kmsg.MetadataResponse).Topics
	i := slices.IndexFunc(topics, func(mt kmsg.MetadataResponseTopic) bool { return *mt.Topic == "t" })
	fetch := kmsg.NewPtrFetchRequest()
	fetch.SessionEpoch, fetch.MaxBytes = -1, 1<<20
	part := kmsg.NewFetchRequestTopicPartition()
	part.CurrentLeaderEpoch, part.PartitionMaxBytes = topics[i].Partitions[0].LeaderEpoch-1, 1<<20
	fetch.Topics = []kmsg.FetchRequestTopic{{Topic: "t", TopicID: topics[i].TopicID, Partitions: []kmsg.FetchRequestTopicPartition{part}}}
	fenced := ask(fetch).(*kmsg.FetchResponse)
	if fenced.Version < 16 || len(fenced.Brokers) != 1 {
		t.Fatalf("Fetch: %+v", fenced)
	}
	check("Fetch", fenced.Brokers[0].Host, fenced.Brokers[0].Port)
}
