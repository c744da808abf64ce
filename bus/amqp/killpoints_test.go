//go:build killpoints

package amqp_test

import (
	"testing"

	"github.com/waxwing-mq/waxwing/bus"
	"github.com/waxwing-mq/waxwing/bus/bustest"
)

func TestKillPoints(t *testing.T) {
	w := start(t, "127.0.0.1:0")
	defer stop(t, w)
	bustest.KillPoints(t, bustest.Peer{New: func(t *testing.T) bus.Bus { return open(t, w.AMQPURL()) }})
}
