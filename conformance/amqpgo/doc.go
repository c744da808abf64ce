// Package amqpgo runs the test suites of Go modules that speak AMQP, unchanged,
// against the real binary: those of amqp091-go and of watermill-amqp.
package amqpgo
