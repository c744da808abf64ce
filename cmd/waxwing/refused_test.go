package main

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// TestRefusedGivesUpTheRest: what lies behind a batch that was refused until
// --timeout is given up with it, and not tried for as long once more.
func TestRefusedGivesUpTheRest(t *testing.T) {
	addr, stop, requests, err := startRefusing(kerr.KafkaStorageError.Code)
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	var lines strings.Builder // for several batches
	for range 500_000 {
		lines.WriteString("0123456789\n")
	}
	_, stderr, err := runCommand(t.Context(), lines.String(), "produce", "t", "-b", addr, "--timeout", "1s")
	if err == nil || !strings.Contains(err.Error(), "KAFKA_STORAGE_ERROR") {
		t.Fatalf("%v: %s", err, stderr)
	}
	if _, retries := retriesWithin(time.Second); requests.Load() > int64(retries+3) {
		t.Fatalf("%d requests", requests.Load())
	}
}

// refusingBroker starts a broker of Kafka's protocol that answers each produce
// to its topic t with an error, and puts its address into REFUSING:
// refusing-broker KAFKA_STORAGE_ERROR.
func refusingBroker(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: refusing-broker ERROR")
	}
	var code int16
	for n := range int16(200) {
		if err, ok := kerr.ErrorForCode(n).(*kerr.Error); ok && err.Message == args[0] {
			code = n
		}
	}
	if code == 0 {
		ts.Fatalf("there is no error %q", args[0])
	}
	addr, stop, _, err := startRefusing(code)
	ts.Check(err)
	ts.Defer(stop)
	ts.Setenv("REFUSING", addr)
}

// refuse answers every partition of a produce request with an error.
func refuse(request *kmsg.ProduceRequest, code int16) *kmsg.ProduceResponse {
	response := request.ResponseKind().(*kmsg.ProduceResponse)
	for _, topic := range request.Topics {
		answer := kmsg.NewProduceResponseTopic()
		answer.Topic, answer.TopicID = topic.Topic, topic.TopicID
		for _, partition := range topic.Partitions {
			refused := kmsg.NewProduceResponseTopicPartition()
			refused.Partition, refused.ErrorCode = partition.Partition, code
			answer.Partitions = append(answer.Partitions, refused)
		}
		response.Topics = append(response.Topics, answer)
	}
	return response
}

// startRefusing starts a broker that answers each produce to its topic t with
// an error, and counts them.
func startRefusing(code int16) (addr string, stop func(), requests *atomic.Int64, err error) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "t"))
	if err != nil {
		return "", nil, nil, err
	}
	requests = new(atomic.Int64)
	cluster.ControlKey(int16(kmsg.Produce), func(request kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		requests.Add(1)
		return refuse(request.(*kmsg.ProduceRequest), code), nil, true
	})
	return cluster.ListenAddrs()[0], cluster.Close, requests, nil
}
