package kafka

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// SaslHandshake (key 17), versions 0 to 1.
//
// Behaviour: ILLEGAL_SASL_STATE and no mechanism, whatever is asked for, as on
// a PLAINTEXT listener of Kafka. A client that wants to log in learns in one
// answer that nobody logs in here; without it the connection would end, which
// looks like a fault of the network. SaslAuthenticate comes after a handshake
// that succeeded, so it is neither served nor advertised.

func (s *Server) saslHandshake(_ *request, req *kmsg.SASLHandshakeRequest) kmsg.Response {
	resp := req.ResponseKind().(*kmsg.SASLHandshakeResponse)
	resp.ErrorCode = kerr.IllegalSaslState.Code
	return resp
}
