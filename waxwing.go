// Package waxwing runs a Waxwing broker inside a Go program or test.
//
//	b, err := waxwing.Start(ctx, waxwing.InMemory())
//	defer b.Stop(ctx)
//	client, err := kgo.NewClient(kgo.SeedBrokers(b.KafkaAddr()))
//
// The broker is the one that `waxwing serve` runs; clients of any language
// connect to it.
package waxwing

import (
	"context"
	"log/slog"

	"github.com/waxwing-mq/waxwing/internal/node"
)

// Option changes how Start runs the broker.
type Option func(*node.Config)

// InMemory keeps everything in memory: nothing survives Stop. For tests.
func InMemory() Option {
	return func(c *node.Config) { c.Engine, c.FileBytes = "mem", 16<<20 }
}

// DataDir keeps the data in a folder, which is created if need be. One process
// at a time can use it.
func DataDir(dir string) Option {
	return func(c *node.Config) { c.Engine, c.DataDir = "disk", dir }
}

// KafkaAddr is the host:port to listen on; port 0, the default, takes a free
// one.
func KafkaAddr(addr string) Option {
	return func(c *node.Config) { c.KafkaAddr = addr }
}

// AMQPAddr has the broker speak AMQP 0-9-1 too, which it does not by default, on
// a host:port; port 0 takes a free one. The user is guest, with the password
// guest, from this machine.
func AMQPAddr(addr string) Option {
	return func(c *node.Config) { c.AMQPAddr = addr }
}

// HTTPAddr has the broker serve HTTP too (health, metrics, RabbitMQ's management
// pages, the prekey directory of package seal/directory), which it does not by
// default, on a host:port; port 0 takes a free one. The user is guest, with the
// password guest, from this machine.
func HTTPAddr(addr string) Option {
	return func(c *node.Config) { c.HTTPAddr = addr }
}

// Setting gives a broker setting by Kafka's name ("num.partitions").
func Setting(name, value string) Option {
	return func(c *node.Config) { c.BrokerConfig[name] = value }
}

// Logger sets where the broker logs; by default it does not.
func Logger(l *slog.Logger) Option {
	return func(c *node.Config) { c.Logger = l }
}

// Broker is a running broker.
type Broker struct{ n *node.Node }

// Start runs a broker on loopback. Without DataDir it keeps its data in
// memory.
func Start(ctx context.Context, opts ...Option) (*Broker, error) {
	cfg := node.DefaultConfig()
	cfg.KafkaAddr, cfg.AMQPAddr, cfg.HTTPAddr = "127.0.0.1:0", "", ""
	cfg.BrokerConfig = map[string]string{}
	InMemory()(&cfg)
	for _, o := range opts {
		o(&cfg)
	}
	n, err := node.Start(ctx, cfg)
	if err != nil {
		return nil, err
	}
	return &Broker{n}, nil
}

// KafkaAddr is the host:port that Kafka clients connect to.
func (b *Broker) KafkaAddr() string { return b.n.KafkaAddr() }

// AMQPAddr is the host:port that AMQP clients connect to; empty without the option
// of that name.
func (b *Broker) AMQPAddr() string { return b.n.AMQPAddr() }

// AMQPURL is the URL of the default vhost for the user guest, as AMQP clients take
// it; empty without the option AMQPAddr.
func (b *Broker) AMQPURL() string {
	if b.AMQPAddr() == "" {
		return ""
	}
	return "amqp://guest:guest@" + b.AMQPAddr() + "/"
}

// HTTPAddr is the host:port that answers over HTTP; empty without the option of
// that name.
func (b *Broker) HTTPAddr() string { return b.n.HTTPAddr() }

// Stop lets requests under way finish until ctx ends and stops the broker.
func (b *Broker) Stop(ctx context.Context) error { return b.n.Shutdown(ctx) }
