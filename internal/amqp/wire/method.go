package wire

import (
	"encoding/binary"
	"errors"
)

// Method is one of the structs of this package that are named for a method:
// a pointer to it.
type Method interface {
	// ID is the method's class and number.
	ID() ID
	// layout walks the fields in the order in which they lie on the wire.
	layout(c coder) coder
}

// methodHeaderLen is the size of class and number, which begin a payload.
const methodHeaderLen = 4

// HasContent reports whether a content header follows the method.
func (id ID) HasContent() bool {
	switch id {
	case IDBasicPublish, IDBasicReturn, IDBasicDeliver, IDBasicGetOk:
		return true
	}
	return false
}

// Synchronous reports whether the specification calls the method synchronous:
// one that is answered on its channel before anything else, or such an answer.
func (id ID) Synchronous() bool {
	switch id {
	case IDConnectionBlocked, IDConnectionUnblocked, IDChannelFlowOk,
		IDBasicPublish, IDBasicReturn, IDBasicDeliver, IDBasicAck,
		IDBasicReject, IDBasicNack, IDBasicRecoverAsync:
		return false
	}
	return NewMethod(id) != nil
}

// NewMethod is an empty method with the id, nil if there is none.
func NewMethod(id ID) Method {
	switch id {
	case IDConnectionStart:
		return new(ConnectionStart)
	case IDConnectionStartOk:
		return new(ConnectionStartOk)
	case IDConnectionSecure:
		return new(ConnectionSecure)
	case IDConnectionSecureOk:
		return new(ConnectionSecureOk)
	case IDConnectionTune:
		return new(ConnectionTune)
	case IDConnectionTuneOk:
		return new(ConnectionTuneOk)
	case IDConnectionOpen:
		return new(ConnectionOpen)
	case IDConnectionOpenOk:
		return new(ConnectionOpenOk)
	case IDConnectionClose:
		return new(ConnectionClose)
	case IDConnectionCloseOk:
		return new(ConnectionCloseOk)
	case IDConnectionBlocked:
		return new(ConnectionBlocked)
	case IDConnectionUnblocked:
		return new(ConnectionUnblocked)
	case IDConnectionUpdateSecret:
		return new(ConnectionUpdateSecret)
	case IDConnectionUpdateSecretOk:
		return new(ConnectionUpdateSecretOk)
	case IDChannelOpen:
		return new(ChannelOpen)
	case IDChannelOpenOk:
		return new(ChannelOpenOk)
	case IDChannelFlow:
		return new(ChannelFlow)
	case IDChannelFlowOk:
		return new(ChannelFlowOk)
	case IDChannelClose:
		return new(ChannelClose)
	case IDChannelCloseOk:
		return new(ChannelCloseOk)
	case IDAccessRequest:
		return new(AccessRequest)
	case IDAccessRequestOk:
		return new(AccessRequestOk)
	case IDExchangeDeclare:
		return new(ExchangeDeclare)
	case IDExchangeDeclareOk:
		return new(ExchangeDeclareOk)
	case IDExchangeDelete:
		return new(ExchangeDelete)
	case IDExchangeDeleteOk:
		return new(ExchangeDeleteOk)
	case IDExchangeBind:
		return new(ExchangeBind)
	case IDExchangeBindOk:
		return new(ExchangeBindOk)
	case IDExchangeUnbind:
		return new(ExchangeUnbind)
	case IDExchangeUnbindOk:
		return new(ExchangeUnbindOk)
	case IDQueueDeclare:
		return new(QueueDeclare)
	case IDQueueDeclareOk:
		return new(QueueDeclareOk)
	case IDQueueBind:
		return new(QueueBind)
	case IDQueueBindOk:
		return new(QueueBindOk)
	case IDQueuePurge:
		return new(QueuePurge)
	case IDQueuePurgeOk:
		return new(QueuePurgeOk)
	case IDQueueDelete:
		return new(QueueDelete)
	case IDQueueDeleteOk:
		return new(QueueDeleteOk)
	case IDQueueUnbind:
		return new(QueueUnbind)
	case IDQueueUnbindOk:
		return new(QueueUnbindOk)
	case IDBasicQos:
		return new(BasicQos)
	case IDBasicQosOk:
		return new(BasicQosOk)
	case IDBasicConsume:
		return new(BasicConsume)
	case IDBasicConsumeOk:
		return new(BasicConsumeOk)
	case IDBasicCancel:
		return new(BasicCancel)
	case IDBasicCancelOk:
		return new(BasicCancelOk)
	case IDBasicPublish:
		return new(BasicPublish)
	case IDBasicReturn:
		return new(BasicReturn)
	case IDBasicDeliver:
		return new(BasicDeliver)
	case IDBasicGet:
		return new(BasicGet)
	case IDBasicGetOk:
		return new(BasicGetOk)
	case IDBasicGetEmpty:
		return new(BasicGetEmpty)
	case IDBasicAck:
		return new(BasicAck)
	case IDBasicReject:
		return new(BasicReject)
	case IDBasicRecoverAsync:
		return new(BasicRecoverAsync)
	case IDBasicRecover:
		return new(BasicRecover)
	case IDBasicRecoverOk:
		return new(BasicRecoverOk)
	case IDBasicNack:
		return new(BasicNack)
	case IDConfirmSelect:
		return new(ConfirmSelect)
	case IDConfirmSelectOk:
		return new(ConfirmSelectOk)
	case IDTxSelect:
		return new(TxSelect)
	case IDTxSelectOk:
		return new(TxSelectOk)
	case IDTxCommit:
		return new(TxCommit)
	case IDTxCommitOk:
		return new(TxCommitOk)
	case IDTxRollback:
		return new(TxRollback)
	case IDTxRollbackOk:
		return new(TxRollbackOk)
	}
	return nil
}

// PeekID is the id of the method in the payload of a method frame, which may
// be one that nobody knows. A payload too short for it is a FrameError.
func PeekID(payload []byte) (ID, error) {
	if len(payload) < methodHeaderLen {
		return 0, newError(FrameError, "method frame of %d bytes", len(payload))
	}
	return ID(binary.BigEndian.Uint32(payload)), nil
}

// DecodeMethod decodes the payload of a method frame. Byte slices and tables
// of the method alias it. An unknown method is NotImplemented, a field that is
// cut off and bytes that are left over are a FrameError, a malformed table is
// a SyntaxError.
func DecodeMethod(payload []byte) (Method, error) {
	id, err := PeekID(payload)
	if err != nil {
		return nil, err
	}
	m := NewMethod(id)
	if m == nil {
		return nil, &Error{Code: NotImplemented, Method: id, Reason: id.String() + " is unknown"}
	}
	if err := DecodeInto(payload, m); err != nil {
		return nil, err
	}
	return m, nil
}

// DecodeInto is DecodeMethod for a caller that knows which method comes (from
// PeekID) and has a struct for it: every field is overwritten, but a string
// that comes again is not copied again. After an error the fields mean
// nothing. A payload of another method is CommandInvalid.
func DecodeInto(payload []byte, m Method) error {
	id, err := PeekID(payload)
	if err != nil {
		return err
	}
	if id != m.ID() {
		return &Error{Code: CommandInvalid, Method: id, Reason: "expected " + m.ID().String() + ", got " + id.String()}
	}
	c := m.layout(coder{b: payload[methodHeaderLen:], decoding: true})
	if c.err == nil && len(c.b) > 0 {
		c.err = newError(FrameError, "%d bytes are left after the last field", len(c.b))
	}
	return inMethod(c.err, id)
}

// inMethod says in which method an error happened.
func inMethod(err error, id ID) error {
	if err == nil {
		return nil
	}
	var e *Error
	if errors.As(err, &e) {
		e.Method = id
		e.Reason = id.String() + ": " + e.Reason
	}
	return err
}

// AppendMethod appends a frame with the method to dst. The protocol cannot
// split a method: without tables and long strings it fits into FrameMaxMin, the
// others are the caller's to keep small.
func AppendMethod(dst []byte, channel uint16, m Method) []byte {
	start := len(dst)
	dst = AppendFrameHeader(dst, TypeMethod, channel, 0)
	dst = binary.BigEndian.AppendUint32(dst, uint32(m.ID()))
	dst = m.layout(coder{b: dst}).b
	return closeFrame(dst, start)
}
