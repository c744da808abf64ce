package node

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"

	"github.com/waxwing-mq/waxwing/internal/amqp"
	"github.com/waxwing-mq/waxwing/internal/broker"
	"github.com/waxwing-mq/waxwing/internal/settings"
)

// fileBytesMin is the smallest journal file that takes the largest entry that
// a request can make; fileBytesMax is what an index can point into.
const (
	fileBytesMin = 8 << 20
	fileBytesMax = 4<<30 - 4<<10
)

// ConfigError says what is wrong with a Config.
type ConfigError struct {
	Setting string // as a flag of `waxwing serve` names it: "file-bytes"
	Name    string // of the entry, if Setting is "broker-config"
	Text    string // for people; does not repeat Setting
}

func (e *ConfigError) Error() string { return e.Setting + ": " + e.Text }

// Validate returns a *ConfigError for the first value that Start could not run
// with, or nil. It touches neither disk nor network.
func (c *Config) Validate() error {
	for _, check := range []func() error{c.checkData, c.checkAddresses, c.checkIdentity, c.checkSettings} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

func bad(setting, format string, args ...any) error {
	return &ConfigError{Setting: setting, Text: fmt.Sprintf(format, args...)}
}

func (c *Config) checkData() error {
	switch {
	case c.Engine != "disk" && c.Engine != "mem":
		return bad("engine", "%q is not one of disk, mem", c.Engine)
	case c.DataDir == "":
		return bad("data", "must name a folder")
	case strings.ContainsRune(c.DataDir, 0):
		return bad("data", "%q is no path", c.DataDir)
	case c.Shards < 0 || c.Shards > broker.ShardsMax:
		return bad("shards", "must be between 1 and %d, or 0 for the stored number, not %d", broker.ShardsMax, c.Shards)
	case c.FileBytes < fileBytesMin || c.FileBytes > fileBytesMax:
		return bad("file-bytes", "must be between %d, so that every request fits one file, and %d, not %d",
			int64(fileBytesMin), int64(fileBytesMax), c.FileBytes)
	}
	return nil
}

func (c *Config) checkAddresses() error {
	if err := checkListen("kafka", c.KafkaAddr); err != nil {
		return err
	}
	if err := checkListen("amqp", c.AMQPAddr); err != nil {
		return err
	}
	if err := checkListen("http", c.HTTPAddr); err != nil {
		return err
	}
	switch {
	case (c.HTTPTLSCert == "") != (c.HTTPTLSKey == ""):
		missing := "http-tls-key"
		if c.HTTPTLSCert == "" {
			missing = "http-tls-cert"
		}
		return bad(missing, "is missing: a certificate and its key are given together")
	case c.HTTPTLSCert != "" && c.HTTPAddr == "":
		return bad("http-tls-cert", "is for --http, which is off")
	}
	if c.AMQPProfile != "" {
		if _, err := amqp.ParseProfile(c.AMQPProfile); err != nil {
			return bad("amqp-profile", "%v", err)
		}
	}
	if _, _, err := c.advertised(&net.TCPAddr{Port: 9092}); err != nil {
		return bad("advertise", "%v", err)
	}
	return nil
}

// checkFolder refuses a folder that holds something else. What the first start
// makes before it writes FORMAT may be there; shards without FORMAT are told by
// the engine.
func (c *Config) checkFolder() error {
	entries, err := os.ReadDir(c.DataDir)
	if err != nil {
		return nil // it is not there, or the engine says what is wrong with it
	}
	foreign := ""
	for _, e := range entries {
		switch name := e.Name(); {
		case name == "FORMAT" || strings.HasPrefix(name, "shard-"):
			return nil
		case name != "lost+found" && name != "LOCK" && name != "FORMAT.tmp":
			foreign = name
		}
	}
	if foreign != "" {
		return bad("data", "%s is not empty and is no Waxwing folder (it has %q); choose a folder that is empty or not there", c.DataDir, foreign)
	}
	return nil
}

// checkListen checks an address to listen on; "" is none.
func checkListen(setting, addr string) error {
	if addr == "" {
		return nil
	}
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return bad(setting, "%q is not host:port", addr)
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return bad(setting, "%q: port %q is not a number from 0 to 65535", addr, port)
	}
	return nil
}

func (c *Config) checkIdentity() error {
	if c.NodeID < 0 {
		return bad("node-id", "must be at least 0, not %d", c.NodeID)
	}
	if c.ClusterID != "" {
		if _, err := broker.ParseClusterID(c.ClusterID); err != nil {
			return bad("cluster-id", "%v", err)
		}
	}
	return nil
}

func (c *Config) checkSettings() error {
	switch {
	case c.RetentionCheck < 0:
		return bad("retention-check", "must not be negative")
	case c.InitialRebalanceDelay < 0:
		return bad("initial-rebalance-delay", "must not be negative")
	}
	for _, t := range c.Twins() {
		if t.Value == "" {
			continue
		}
		if err := settings.BrokerDefinition(t.Name).Check(t.Value); err != nil {
			return bad(t.Flag, "%v", err)
		}
	}
	_, err := settings.ParseBroker(c.settings(), nil)
	var wrong *settings.Error
	if errors.As(err, &wrong) {
		return &ConfigError{Setting: "broker-config", Name: wrong.Name, Text: wrong.Text}
	}
	return err
}
