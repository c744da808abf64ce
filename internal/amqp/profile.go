package amqp

import (
	"fmt"

	"github.com/waxwing-mq/waxwing/internal/amqp/wire"
)

// Profile is what the broker says it is. Clients change their behaviour by it:
// Celery uses a prefetch limit per channel only with a RabbitMQ before 4.
type Profile string

// The profiles.
const (
	ProfileWaxwing   Profile = "waxwing"
	ProfileRabbitMQ3 Profile = "rabbitmq-3.13"
	ProfileRabbitMQ4 Profile = "rabbitmq-4"
)

// ParseProfile finds the profile of that name.
func ParseProfile(name string) (Profile, error) {
	switch p := Profile(name); p {
	case ProfileWaxwing, ProfileRabbitMQ3, ProfileRabbitMQ4:
		return p, nil
	}
	return "", fmt.Errorf("AMQP profile %q is not one of %s, %s, %s", name, ProfileWaxwing, ProfileRabbitMQ3, ProfileRabbitMQ4)
}

// product is what the profile says to clients.
func (p Profile) product(version string) (name, number string) {
	switch p {
	case ProfileRabbitMQ3:
		return "RabbitMQ", "3.13.7"
	case ProfileRabbitMQ4:
		return "RabbitMQ", "4.0.5"
	}
	return "Waxwing", version
}

// serverProperties are what connection.start carries.
func (s *Server) serverProperties() wire.Table {
	product, version := s.cfg.Profile.product(s.cfg.Version)
	yes := func(key string) wire.Field { return wire.Field{Key: key, Value: wire.BoolValue(true)} }
	text := func(key, value string) wire.Field { return wire.Field{Key: key, Value: wire.TextValue(value)} }
	return wire.MakeTable(
		wire.Field{Key: "capabilities", Value: wire.TableValue(wire.MakeTable(
			yes("publisher_confirms"), yes("exchange_exchange_bindings"), yes("basic.nack"),
			yes("consumer_cancel_notify"), yes("connection.blocked"), yes("consumer_priorities"),
			yes("authentication_failure_close"), yes("per_consumer_qos"), yes("direct_reply_to"),
		))},
		text("cluster_name", s.cfg.ClusterName),
		text("copyright", "The Waxwing authors"),
		text("information", "Licensed under the Apache License 2.0"),
		text("platform", "Go"),
		text("product", product),
		text("version", version),
	)
}

// capabilities are what a client says it understands.
type capabilities struct {
	consumerCancel bool // consumer_cancel_notify
	blocked        bool // connection.blocked
	loginRefused   bool // authentication_failure_close
	product        string
	name           string // connection_name
}

// readCapabilities reads the client-properties of connection.start-ok.
func readCapabilities(t wire.Table) (c capabilities) {
	if v, ok := t.Get("capabilities"); ok {
		if sub, ok := v.Table(); ok {
			has := func(key string) bool {
				v, _ := sub.Get(key)
				yes, _ := v.Bool()
				return yes
			}
			c.consumerCancel = has("consumer_cancel_notify")
			c.blocked = has("connection.blocked")
			c.loginRefused = has("authentication_failure_close")
		}
	}
	if v, ok := t.Get("product"); ok {
		c.product, _ = v.Text()
	}
	if v, ok := t.Get("connection_name"); ok {
		c.name, _ = v.Text()
	}
	return c
}
