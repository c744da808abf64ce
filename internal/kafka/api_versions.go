package kafka

import (
	"regexp"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// ApiVersions (key 18), versions 0 to 4.
//
// Behaviour: lists what versions.go has. A version that is not served is
// answered in the form of version 0 with UNSUPPORTED_VERSION and the range
// of ApiVersions itself, so that the client can ask again (KIP-511). The
// response header is the old one in every version.
//
// Version notes: from 3 on the client says its name and version, which must
// have the form below. Features are tagged fields, from 3 on.

// softwareName is the form of a client's name and version (KIP-511).
var softwareName = regexp.MustCompile(`^[a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])?$`)

func (s *Server) apiVersions(rq *request, req *kmsg.ApiVersionsRequest) kmsg.Response {
	resp := req.ResponseKind().(*kmsg.ApiVersionsResponse)
	if rq.version >= 3 && !(softwareName.MatchString(req.ClientSoftwareName) && softwareName.MatchString(req.ClientSoftwareVersion)) {
		resp.ErrorCode = kerr.InvalidRequest.Code
		return resp
	}
	for i := range apis {
		resp.ApiKeys = append(resp.ApiKeys, versionsOf(&apis[i]))
	}
	supported := kmsg.NewApiVersionsResponseSupportedFeature()
	supported.Name, supported.MinVersion, supported.MaxVersion = metadataFeature, metadataMin, metadataLevel
	resp.SupportedFeatures = append(resp.SupportedFeatures, supported)
	finalized := kmsg.NewApiVersionsResponseFinalizedFeature()
	finalized.Name, finalized.MinVersionLevel, finalized.MaxVersionLevel = metadataFeature, metadataLevel, metadataLevel
	resp.FinalizedFeatures = append(resp.FinalizedFeatures, finalized)
	resp.FinalizedFeaturesEpoch = 0
	return resp
}

func versionsOf(a *api) kmsg.ApiVersionsResponseApiKey {
	k := kmsg.NewApiVersionsResponseApiKey()
	k.ApiKey, k.MinVersion, k.MaxVersion = a.key.Int16(), a.advertisedMin(), a.max
	return k
}

// unsupportedApiVersions answers a version that this server has never heard
// of. Nothing after the correlation id can be read.
func (c *conn) unsupportedApiVersions(k *call, h header) error {
	k.header = h
	defer k.release()
	r, _, err := c.begin(k, false)
	if err != nil {
		return err
	}
	resp := kmsg.NewPtrApiVersionsResponse()
	resp.ErrorCode = kerr.UnsupportedVersion.Code
	resp.ApiKeys = append(resp.ApiKeys, versionsOf(findAPI(h.key).api))
	c.s.count(resp)
	r.message = resp
	c.complete(r)
	return nil
}
