package wire

import "strconv"

// ID is a method's class in the upper and its number in the lower 16 bits.
type ID uint32

// MakeID is the ID of a method.
func MakeID(class, method uint16) ID { return ID(class)<<16 | ID(method) }

// Class is the class, as close methods carry it.
func (id ID) Class() uint16 { return uint16(id >> 16) }

// Method is the method's number in its class.
func (id ID) Method() uint16 { return uint16(id) }

// The classes.
const (
	ClassConnection = 10
	ClassChannel    = 20
	ClassAccess     = 30
	ClassExchange   = 40
	ClassQueue      = 50
	ClassBasic      = 60
	ClassConfirm    = 85
	ClassTx         = 90
)

// The methods.
const (
	IDConnectionStart          ID = ClassConnection<<16 | 10
	IDConnectionStartOk        ID = ClassConnection<<16 | 11
	IDConnectionSecure         ID = ClassConnection<<16 | 20
	IDConnectionSecureOk       ID = ClassConnection<<16 | 21
	IDConnectionTune           ID = ClassConnection<<16 | 30
	IDConnectionTuneOk         ID = ClassConnection<<16 | 31
	IDConnectionOpen           ID = ClassConnection<<16 | 40
	IDConnectionOpenOk         ID = ClassConnection<<16 | 41
	IDConnectionClose          ID = ClassConnection<<16 | 50
	IDConnectionCloseOk        ID = ClassConnection<<16 | 51
	IDConnectionBlocked        ID = ClassConnection<<16 | 60
	IDConnectionUnblocked      ID = ClassConnection<<16 | 61
	IDConnectionUpdateSecret   ID = ClassConnection<<16 | 70
	IDConnectionUpdateSecretOk ID = ClassConnection<<16 | 71

	IDChannelOpen    ID = ClassChannel<<16 | 10
	IDChannelOpenOk  ID = ClassChannel<<16 | 11
	IDChannelFlow    ID = ClassChannel<<16 | 20
	IDChannelFlowOk  ID = ClassChannel<<16 | 21
	IDChannelClose   ID = ClassChannel<<16 | 40
	IDChannelCloseOk ID = ClassChannel<<16 | 41

	IDAccessRequest   ID = ClassAccess<<16 | 10
	IDAccessRequestOk ID = ClassAccess<<16 | 11

	IDExchangeDeclare   ID = ClassExchange<<16 | 10
	IDExchangeDeclareOk ID = ClassExchange<<16 | 11
	IDExchangeDelete    ID = ClassExchange<<16 | 20
	IDExchangeDeleteOk  ID = ClassExchange<<16 | 21
	IDExchangeBind      ID = ClassExchange<<16 | 30
	IDExchangeBindOk    ID = ClassExchange<<16 | 31
	IDExchangeUnbind    ID = ClassExchange<<16 | 40
	IDExchangeUnbindOk  ID = ClassExchange<<16 | 51

	IDQueueDeclare   ID = ClassQueue<<16 | 10
	IDQueueDeclareOk ID = ClassQueue<<16 | 11
	IDQueueBind      ID = ClassQueue<<16 | 20
	IDQueueBindOk    ID = ClassQueue<<16 | 21
	IDQueuePurge     ID = ClassQueue<<16 | 30
	IDQueuePurgeOk   ID = ClassQueue<<16 | 31
	IDQueueDelete    ID = ClassQueue<<16 | 40
	IDQueueDeleteOk  ID = ClassQueue<<16 | 41
	IDQueueUnbind    ID = ClassQueue<<16 | 50
	IDQueueUnbindOk  ID = ClassQueue<<16 | 51

	IDBasicQos          ID = ClassBasic<<16 | 10
	IDBasicQosOk        ID = ClassBasic<<16 | 11
	IDBasicConsume      ID = ClassBasic<<16 | 20
	IDBasicConsumeOk    ID = ClassBasic<<16 | 21
	IDBasicCancel       ID = ClassBasic<<16 | 30
	IDBasicCancelOk     ID = ClassBasic<<16 | 31
	IDBasicPublish      ID = ClassBasic<<16 | 40
	IDBasicReturn       ID = ClassBasic<<16 | 50
	IDBasicDeliver      ID = ClassBasic<<16 | 60
	IDBasicGet          ID = ClassBasic<<16 | 70
	IDBasicGetOk        ID = ClassBasic<<16 | 71
	IDBasicGetEmpty     ID = ClassBasic<<16 | 72
	IDBasicAck          ID = ClassBasic<<16 | 80
	IDBasicReject       ID = ClassBasic<<16 | 90
	IDBasicRecoverAsync ID = ClassBasic<<16 | 100
	IDBasicRecover      ID = ClassBasic<<16 | 110
	IDBasicRecoverOk    ID = ClassBasic<<16 | 111
	IDBasicNack         ID = ClassBasic<<16 | 120

	IDConfirmSelect   ID = ClassConfirm<<16 | 10
	IDConfirmSelectOk ID = ClassConfirm<<16 | 11

	IDTxSelect     ID = ClassTx<<16 | 10
	IDTxSelectOk   ID = ClassTx<<16 | 11
	IDTxCommit     ID = ClassTx<<16 | 20
	IDTxCommitOk   ID = ClassTx<<16 | 21
	IDTxRollback   ID = ClassTx<<16 | 30
	IDTxRollbackOk ID = ClassTx<<16 | 31
)

// String is the method's name in the specification: basic.publish. An unknown
// one is given by its numbers.
func (id ID) String() string {
	switch id {
	case IDConnectionStart:
		return "connection.start"
	case IDConnectionStartOk:
		return "connection.start-ok"
	case IDConnectionSecure:
		return "connection.secure"
	case IDConnectionSecureOk:
		return "connection.secure-ok"
	case IDConnectionTune:
		return "connection.tune"
	case IDConnectionTuneOk:
		return "connection.tune-ok"
	case IDConnectionOpen:
		return "connection.open"
	case IDConnectionOpenOk:
		return "connection.open-ok"
	case IDConnectionClose:
		return "connection.close"
	case IDConnectionCloseOk:
		return "connection.close-ok"
	case IDConnectionBlocked:
		return "connection.blocked"
	case IDConnectionUnblocked:
		return "connection.unblocked"
	case IDConnectionUpdateSecret:
		return "connection.update-secret"
	case IDConnectionUpdateSecretOk:
		return "connection.update-secret-ok"
	case IDChannelOpen:
		return "channel.open"
	case IDChannelOpenOk:
		return "channel.open-ok"
	case IDChannelFlow:
		return "channel.flow"
	case IDChannelFlowOk:
		return "channel.flow-ok"
	case IDChannelClose:
		return "channel.close"
	case IDChannelCloseOk:
		return "channel.close-ok"
	case IDAccessRequest:
		return "access.request"
	case IDAccessRequestOk:
		return "access.request-ok"
	case IDExchangeDeclare:
		return "exchange.declare"
	case IDExchangeDeclareOk:
		return "exchange.declare-ok"
	case IDExchangeDelete:
		return "exchange.delete"
	case IDExchangeDeleteOk:
		return "exchange.delete-ok"
	case IDExchangeBind:
		return "exchange.bind"
	case IDExchangeBindOk:
		return "exchange.bind-ok"
	case IDExchangeUnbind:
		return "exchange.unbind"
	case IDExchangeUnbindOk:
		return "exchange.unbind-ok"
	case IDQueueDeclare:
		return "queue.declare"
	case IDQueueDeclareOk:
		return "queue.declare-ok"
	case IDQueueBind:
		return "queue.bind"
	case IDQueueBindOk:
		return "queue.bind-ok"
	case IDQueuePurge:
		return "queue.purge"
	case IDQueuePurgeOk:
		return "queue.purge-ok"
	case IDQueueDelete:
		return "queue.delete"
	case IDQueueDeleteOk:
		return "queue.delete-ok"
	case IDQueueUnbind:
		return "queue.unbind"
	case IDQueueUnbindOk:
		return "queue.unbind-ok"
	case IDBasicQos:
		return "basic.qos"
	case IDBasicQosOk:
		return "basic.qos-ok"
	case IDBasicConsume:
		return "basic.consume"
	case IDBasicConsumeOk:
		return "basic.consume-ok"
	case IDBasicCancel:
		return "basic.cancel"
	case IDBasicCancelOk:
		return "basic.cancel-ok"
	case IDBasicPublish:
		return "basic.publish"
	case IDBasicReturn:
		return "basic.return"
	case IDBasicDeliver:
		return "basic.deliver"
	case IDBasicGet:
		return "basic.get"
	case IDBasicGetOk:
		return "basic.get-ok"
	case IDBasicGetEmpty:
		return "basic.get-empty"
	case IDBasicAck:
		return "basic.ack"
	case IDBasicReject:
		return "basic.reject"
	case IDBasicRecoverAsync:
		return "basic.recover-async"
	case IDBasicRecover:
		return "basic.recover"
	case IDBasicRecoverOk:
		return "basic.recover-ok"
	case IDBasicNack:
		return "basic.nack"
	case IDConfirmSelect:
		return "confirm.select"
	case IDConfirmSelectOk:
		return "confirm.select-ok"
	case IDTxSelect:
		return "tx.select"
	case IDTxSelectOk:
		return "tx.select-ok"
	case IDTxCommit:
		return "tx.commit"
	case IDTxCommitOk:
		return "tx.commit-ok"
	case IDTxRollback:
		return "tx.rollback"
	case IDTxRollbackOk:
		return "tx.rollback-ok"
	}
	return "method " + strconv.Itoa(int(id.Class())) + "." + strconv.Itoa(int(id.Method()))
}
