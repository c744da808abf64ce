//go:build killpoints

package killmatrix

import (
	"encoding/json"
	"os"
	"time"

	"github.com/waxwing-mq/waxwing/waxtest"
)

// The workload of each case.
const (
	orders = 120 // business transactions, each with one event
	keys   = 6   // that they are about
	sagas  = 8
	pace   = 12 * time.Millisecond // between two business transactions of a writer
	slowly = 15 * pace
	writer = 3 // how many produce at once

	batch = 1               // events that the relay takes of a bucket at once
	lease = time.Second     // of the relay
	alive = 1 * time.Second // of a member of a Kafka group
)

// envPlan names the variable that holds a worker's plan.
const envPlan = "WAXWING_KILLMATRIX"

// A Plan is what a worker is told.
type Plan struct {
	DSN     string // of the database
	Broker  string // "kafka:HOST:PORT" or an AMQP URL
	Prefix  string // of topics
	Sent    string // file in which the worker writes what it is about to publish
	Removed string // the safeguard that is missing, "" for none
	Slowly  bool   // produce for some seconds, rather than as fast as it goes
	Replay  bool   // publish everything that Sent holds once more, instead of working
	Keys    *Keys  // to seal all messages with, nil to seal none

	Directory string // URL of a directory for a case whose messages are to be sealed
}

// env is a plan as a worker's environment.
func (p Plan) env() string {
	b, err := json.Marshal(p)
	if err != nil {
		panic(err)
	}
	return envPlan + "=" + string(b)
}

// given is the plan in this process's environment, nil if it is the test itself.
func given() *Plan {
	text := os.Getenv(envPlan)
	if text == "" {
		return nil
	}
	p := &Plan{}
	if err := json.Unmarshal([]byte(text), p); err != nil {
		panic(err)
	}
	return p
}

// sagaSteps are those of the workload's saga.
var sagaSteps = []waxtest.SagaStep{{Name: "reserve", Group: 0}, {Name: "pack", Group: 1}, {Name: "label", Group: 1}, {Name: "charge", Group: 2}, {Name: "ship", Group: 3}}
