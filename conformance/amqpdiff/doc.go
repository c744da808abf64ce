// Package amqpdiff drives the same random scripts of AMQP through Waxwing and
// a real RabbitMQ 4.0, and compares what both answer.
//
// A script is made from its seed alone (Generate). It is carried out one step
// at a time on both brokers (Pair): a step is a method, with content if the
// method has some, a settlement of something that was delivered, or bytes that
// are no AMQP. After each step both brokers come to rest, and what came since
// the last one is compared (Outcome): answers with their fields, errors with
// code and method, deliveries and returns with all properties, confirms, and
// how many messages and consumers each queue has. In the end all connections
// are closed, and what is left in the queues is read and compared.
//
// Compared loosely or not at all: texts of errors; names that a broker makes
// up, which count by the order in which they appear; the times in x-death; in
// which order things of different consumers come on one channel. Intended
// differences are named in differences.go and counts.go, each with a script that
// shows it, and explained in docs/rabbitmq-differences.md. At most of them a script
// ends; where one is of what becomes of messages, account.go says which.
//
// Environment: WAXWING_AMQP and RABBITMQ_AMQP, HOST:PORT each, are running
// brokers to use instead of those that the test starts.
package amqpdiff
