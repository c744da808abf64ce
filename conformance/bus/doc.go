// Package bus runs the suite of the SDK's bus (bus/bustest) against the brokers
// that it is for: Waxwing, Apache Kafka and RabbitMQ, each restarted in the midst.
package bus
