// Package watermill names the modules that watermill-amqp's own suite needs. It
// is a module of its own for the sake of amqp091-go 1.10.0, which
// watermill-amqp is made for: others of this repository need a newer one.
package watermill

import _ "github.com/ThreeDotsLabs/watermill-amqp/v3/pkg/amqp"
