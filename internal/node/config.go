// Package node is the composition root: it builds, starts and stops the parts
// of a Waxwing process. Nothing else wires.
package node

import (
	"fmt"
	"log/slog"
	"maps"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/waxwing-mq/waxwing/internal/engine/disk"
)

// Config is what a Node is built from. Start from DefaultConfig.
type Config struct {
	DataDir string // folder of the disk engine
	Engine  string // "disk" or "mem"

	KafkaAddr string // host:port to listen on for Kafka clients; "" turns it off
	AMQPAddr  string // host:port to listen on for AMQP clients; "" turns it off
	// AMQPProfile is what AMQP clients are told that this is: "waxwing",
	// "rabbitmq-3.13" or "rabbitmq-4".
	AMQPProfile string
	HTTPAddr    string // host:port for health, metrics, lists and prekeys; "" turns it off
	// HTTPTLSCert and HTTPTLSKey are files in PEM, the certificate with its
	// chain: HTTP is served over TLS then. Both or neither.
	HTTPTLSCert, HTTPTLSKey string
	// Advertise is what clients are told to connect to, host or host:port;
	// "" tells them KafkaAddr.
	Advertise string

	Shards            int // 0: as many as the data was founded with; 1 for new data
	NodeID            int32
	ClusterID         string // of new data, in Kafka's form; "": one is made. Another one than the stored is refused
	DefaultPartitions int    // num.partitions
	AutoCreateTopics  bool
	FileBytes         int64 // size of a journal file
	// InitialRebalanceDelay is how long the first rebalance of an empty
	// consumer group waits for more members.
	InitialRebalanceDelay time.Duration
	RetentionCheck        time.Duration // 0: Kafka's default
	// BrokerConfig are other settings, by Kafka's names. They win over the
	// fields above.
	BrokerConfig map[string]string

	Logger  *slog.Logger
	Version string

	fs disk.FS // of tests: what DataDir lies on, if not on the system's
}

// DefaultConfig is what `waxwing serve` runs with when nothing is said.
func DefaultConfig() Config {
	return Config{
		DataDir:           "./waxwing-data",
		Engine:            "disk",
		KafkaAddr:         "127.0.0.1:9092",
		AMQPAddr:          "127.0.0.1:5672",
		AMQPProfile:       "waxwing",
		HTTPAddr:          "127.0.0.1:8080",
		NodeID:            1,
		DefaultPartitions: 1,
		AutoCreateTopics:  true,
		FileBytes:         128 << 20,
		Logger:            slog.New(slog.DiscardHandler),
		Version:           "dev",
	}
}

// settings are the broker settings of the configuration, by Kafka's names.
func (c *Config) settings() map[string]string {
	m := map[string]string{}
	for _, t := range c.Twins() {
		if t.Value != "" {
			m[t.Name] = t.Value
		}
	}
	maps.Copy(m, c.BrokerConfig)
	return m
}

// Twin is a field of Config that stands for a broker setting.
type Twin struct {
	Flag  string // of `waxwing serve`
	Name  string // Kafka's
	Value string // as Kafka writes it; "": Kafka's default
}

// Twins are all fields that stand for a broker setting, with their values.
func (c *Config) Twins() []Twin {
	retention := ""
	if c.RetentionCheck != 0 {
		retention = strconv.FormatInt(c.RetentionCheck.Milliseconds(), 10)
	}
	return []Twin{
		{"default-partitions", "num.partitions", strconv.Itoa(c.DefaultPartitions)},
		{"auto-create-topics", "auto.create.topics.enable", strconv.FormatBool(c.AutoCreateTopics)},
		{"initial-rebalance-delay", "group.initial.rebalance.delay.ms", strconv.FormatInt(c.InitialRebalanceDelay.Milliseconds(), 10)},
		{"retention-check", "log.retention.check.interval.ms", retention},
	}
}

// advertised is the host and port that clients are told, given the address
// that the listener is bound to.
func (c *Config) advertised(bound net.Addr) (host string, port int32, err error) {
	h, p, err := net.SplitHostPort(bound.String())
	if err != nil {
		return "", 0, err
	}
	if c.Advertise != "" {
		ah, ap, err := net.SplitHostPort(c.Advertise)
		switch {
		case err == nil:
			h, p = ah, ap
		case net.ParseIP(c.Advertise) != nil || !hasPort(c.Advertise):
			h = c.Advertise
		default:
			return "", 0, fmt.Errorf("%q: %w", c.Advertise, err)
		}
	}
	if ip := net.ParseIP(h); h == "" || ip != nil && ip.IsUnspecified() {
		h = "localhost" // an address that nobody can connect to
	}
	n, err := strconv.ParseUint(p, 10, 16)
	if err != nil || n == 0 {
		return "", 0, fmt.Errorf("%q: port %q is not a number from 1 to 65535", c.Advertise, p)
	}
	return h, int32(n), nil
}

func hasPort(s string) bool { return strings.Contains(s, ":") }
