package amqp

import (
	"errors"
	"fmt"

	"github.com/waxwing-mq/waxwing/internal/amqp/wire"
	"github.com/waxwing-mq/waxwing/internal/broker"
	"github.com/waxwing-mq/waxwing/internal/broker/queue"
	"github.com/waxwing-mq/waxwing/internal/broker/route"
)

// protocolError is what a peer did wrong, or what the broker refuses. It ends
// the channel, or, if its code is a hard one or connection is set, the
// connection.
type protocolError struct {
	code       wire.ReplyCode
	reason     string
	connection bool
	method     wire.ID // that caused it; 0 if none did
}

func (e *protocolError) Error() string { return e.code.String() + ": " + e.reason }

// hard reports whether the error ends the connection.
func (e *protocolError) hard() bool { return e.connection || e.code.Hard() }

func errf(code wire.ReplyCode, format string, args ...any) *protocolError {
	return &protocolError{code: code, reason: fmt.Sprintf(format, args...)}
}

// connectionErrf is an error that ends the connection whatever its code.
func connectionErrf(code wire.ReplyCode, format string, args ...any) *protocolError {
	e := errf(code, format, args...)
	e.connection = true
	return e
}

// ofMethod is an error that names the method that it answers.
func ofMethod(id wire.ID, e *protocolError) error {
	e.method = id
	return e
}

// asProtocolError is err as something to tell the peer, nil if there is nothing
// to tell it: the connection is lost, say.
func asProtocolError(err error) *protocolError {
	var p *protocolError
	if errors.As(err, &p) {
		return p
	}
	var w *wire.Error
	if errors.As(err, &w) {
		return &protocolError{code: w.Code, reason: w.Reason, method: w.Method, connection: true}
	}
	return nil
}

// routeError is a refusal of the exchanges as AMQP says it.
func routeError(err error) error {
	var e *route.Error
	if !errors.As(err, &e) {
		return brokerError(err)
	}
	switch e.Kind {
	case route.NotFound:
		return errf(wire.NotFound, "%s", e.Text)
	case route.AccessRefused:
		return errf(wire.AccessRefused, "%s", e.Text)
	}
	return errf(wire.PreconditionFailed, "%s", e.Text)
}

// queueFault is a refusal of the queues as AMQP says it.
func (c *conn) queueFault(f queue.Fault, name string) error {
	vhost := c.vhost.Name()
	switch f {
	case queue.OK:
		return nil
	case queue.NotFound:
		return errf(wire.NotFound, "no queue '%s' in vhost '%s'", name, vhost)
	case queue.Locked:
		return errf(wire.ResourceLocked, "cannot obtain exclusive access to locked queue '%s' in vhost '%s'. It could be originally declared on another connection or the exclusive property value does not match that of the original declaration.", name, vhost)
	case queue.InUse:
		return errf(wire.PreconditionFailed, "queue '%s' in vhost '%s' in use", name, vhost)
	case queue.NotEmpty:
		return errf(wire.PreconditionFailed, "queue '%s' in vhost '%s' is not empty", name, vhost)
	case queue.ExclusiveUse:
		return errf(wire.AccessRefused, "queue '%s' in vhost '%s' in exclusive use", name, vhost)
	}
	return errf(wire.PreconditionFailed, "queue '%s' in vhost '%s': %v", name, vhost, f)
}

// brokerError is a failure of the broker as AMQP says it.
func brokerError(err error) error {
	var e *broker.Error
	if !errors.As(err, &e) {
		return err
	}
	switch e.Kind {
	case broker.StorageFull:
		return errf(wire.PreconditionFailed, "the disk of the broker is full")
	case broker.Stopping:
		return connectionErrf(wire.ConnectionForced, "broker forced connection closure with reason 'shutdown'")
	}
	return connectionErrf(wire.InternalError, "%v", err)
}
