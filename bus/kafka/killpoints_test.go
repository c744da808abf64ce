//go:build killpoints

package kafka_test

import (
	"testing"

	"github.com/waxwing-mq/waxwing/bus"
	"github.com/waxwing-mq/waxwing/bus/bustest"
)

func TestKillPoints(t *testing.T) {
	w := start(t)
	defer stop(t, w)
	bustest.KillPoints(t, bustest.Peer{New: func(t *testing.T) bus.Bus { return open(t, w.KafkaAddr()) }, Log: true})
}
