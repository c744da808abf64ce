// Package amqp speaks AMQP 0-9-1 with RabbitMQ's extensions, on connections
// that it is given.
//
// A connection has two goroutines. The reader takes frames, keeps the state
// of channels, routes what is published, and hands commands to the broker: all
// that one read of the socket brought, in order, in one submission. The writer
// sends what is due. In between stands the broker's session, which calls back,
// in order, once things are durable: confirms, answers, deliveries.
//
//	server.go      what connections share
//	conn.go        a connection's life
//	handshake.go   from the protocol header to connection.open
//	input.go       frames from bytes
//	output.go      what is to be sent, and the writer
//	channel.go     a channel's state
//	route.go       every method, in one switch
//	NAME_METHOD.go one method each, as the protocol names it
package amqp
