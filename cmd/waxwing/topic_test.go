package main

import (
	"net"
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// TestTopicCreateWaitsUntilItIsShown: a broker that has not heard of a new topic
// yet is asked again, and one that never hears of it does not fail the command.
func TestTopicCreateWaitsUntilItIsShown(t *testing.T) {
	for _, late := range []int32{3, 1 << 30} {
		cluster, err := kfake.NewCluster(kfake.NumBrokers(1))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(cluster.Close)
		addr := cluster.ListenAddrs()[0]
		var asked atomic.Int32
		cluster.ControlKey(int16(kmsg.Metadata), func(r kmsg.Request) (kmsg.Response, error, bool) {
			cluster.KeepControl()
			req := r.(*kmsg.MetadataRequest)
			if len(req.Topics) != 1 || asked.Add(1) > late {
				return nil, nil, false
			}
			return knowsNothing(req, addr), nil, true
		})
		out, _, err := runCommand(t.Context(), "", "topic", "create", "late", "-p", "1", "-b", addr)
		if n := asked.Load(); err != nil || out != "created topic late with 1 partition\n" || n <= min(late, 4) {
			t.Errorf("%v: %q after %d looks; it is shown after %d", err, out, n, late)
		}
	}
}

// knowsNothing answers that the topic is not there.
func knowsNothing(req *kmsg.MetadataRequest, addr string) *kmsg.MetadataResponse {
	resp := req.ResponseKind().(*kmsg.MetadataResponse)
	host, port, _ := net.SplitHostPort(addr)
	number, _ := strconv.Atoi(port)
	b := kmsg.NewMetadataResponseBroker()
	b.Host, b.Port = host, int32(number)
	topic := kmsg.NewMetadataResponseTopic()
	topic.Topic, topic.ErrorCode = req.Topics[0].Topic, kerr.UnknownTopicOrPartition.Code
	resp.Brokers, resp.Topics = append(resp.Brokers, b), append(resp.Topics, topic)
	return resp
}
