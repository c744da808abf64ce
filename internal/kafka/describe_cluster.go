package kafka

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// DescribeCluster (key 60), versions 0 to 2.
//
// Behaviour: one broker, this node, which is its own controller. Asked for the
// endpoints of controllers it answers MISMATCHED_ENDPOINT_TYPE, as Kafka's
// brokers do.
//
// Version notes: 1 brings the endpoint type, 2 fenced brokers, of which there
// are none.

func (s *Server) describeCluster(_ *request, req *kmsg.DescribeClusterRequest) kmsg.Response {
	resp := req.ResponseKind().(*kmsg.DescribeClusterResponse)
	resp.EndpointType = req.EndpointType
	const brokers = 1
	if req.Version >= 1 && req.EndpointType != brokers {
		err := refuse(kerr.MismatchedEndpointType, "this is a broker; ask for the endpoints of brokers")
		resp.ErrorCode, resp.ErrorMessage = code(err), message(err)
		return resp
	}
	resp.ClusterID, resp.ControllerID = s.broker.ClusterID(), s.cfg.NodeID
	resp.ClusterAuthorizedOperations = operations(req.IncludeClusterAuthorizedOperations, clusterOperations)
	b := kmsg.NewDescribeClusterResponseBroker()
	b.NodeID = s.cfg.NodeID
	b.Host, b.Port = s.cfg.Advertised()
	resp.Brokers = append(resp.Brokers, b)
	return resp
}
