package wire

import (
	"encoding/binary"
	"slices"
)

// Delivery is a basic.deliver with its content. Names are byte slices where
// BasicDeliver has strings, so that a stored message is sent without copying
// them first.
type Delivery struct {
	ConsumerTag string
	DeliveryTag uint64
	Redelivered bool
	Exchange    []byte
	RoutingKey  []byte
	Properties  RawProperties
	Body        []byte
}

// AppendDelivery appends the method, the content header and the body frames of
// d to dst, which grows once at most. frameMax is that of AppendBody.
func AppendDelivery(dst []byte, channel uint16, frameMax uint32, d *Delivery) []byte {
	dst = slices.Grow(dst, d.size(frameMax))
	start := len(dst)
	dst = AppendFrameHeader(dst, TypeMethod, channel, 0)
	dst = binary.BigEndian.AppendUint32(dst, uint32(IDBasicDeliver))
	dst = appendShortStr(dst, d.ConsumerTag)
	dst = binary.BigEndian.AppendUint64(dst, d.DeliveryTag)
	var redelivered byte
	if d.Redelivered {
		redelivered = 1
	}
	dst = append(dst, redelivered)
	dst = appendShortStr(dst, d.Exchange)
	dst = appendShortStr(dst, d.RoutingKey)
	dst = closeFrame(dst, start)
	dst = AppendContentHeader(dst, channel, ContentHeader{BodySize: uint64(len(d.Body)), Properties: d.Properties})
	return AppendBody(dst, channel, frameMax, d.Body)
}

// size is what AppendDelivery appends, or a little more.
func (d *Delivery) size(frameMax uint32) int {
	method := methodHeaderLen + 1 + len(d.ConsumerTag) + 8 + 1 + 1 + len(d.Exchange) + 1 + len(d.RoutingKey)
	header := contentHeaderLen + len(d.Properties.Bytes())
	bodies := len(d.Body)/PayloadMax(frameMax) + 1
	return method + header + len(d.Body) + (2+bodies)*FrameOverhead
}
