package group

import "encoding/binary"

// subscribedTopics reads the topics out of a consumer's metadata. All
// versions begin alike (ConsumerProtocolSubscription):
//
//	version int16 · number of topics int32 · number × (length int16 · name) · …
//
// It returns false if the metadata does not read like that.
func subscribedTopics(metadata []byte) ([]string, bool) {
	if len(metadata) < 6 || metadata[0] > 0x7f {
		return nil, false
	}
	n := binary.BigEndian.Uint32(metadata[2:])
	b := metadata[6:]
	if uint64(n) > uint64(len(b)/2) {
		return nil, false
	}
	topics := make([]string, 0, n)
	for range n {
		if len(b) < 2 {
			return nil, false
		}
		size := int(binary.BigEndian.Uint16(b))
		b = b[2:]
		if size > len(b) {
			return nil, false
		}
		topics = append(topics, string(b[:size]))
		b = b[size:]
	}
	return topics, true
}

// subscriptions returns the topics that any member is subscribed to, and false
// if that cannot be told although the members are consumers: then every topic
// counts as subscribed.
func (g *liveGroup) subscriptions() (map[string]bool, bool) {
	topics := map[string]bool{}
	if g.protocolType != consumerProtocolType {
		return topics, true
	}
	for _, mem := range g.members {
		list, ok := subscribedTopics(mem.metadata(g.protocol))
		if !ok {
			return nil, false
		}
		for _, t := range list {
			topics[t] = true
		}
	}
	return topics, true
}
