//go:build killpoints

package killmatrix

import (
	"fmt"
	"os"
	"testing"

	"github.com/waxwing-mq/waxwing"
	"github.com/waxwing-mq/waxwing/conformance/harness"
	"github.com/waxwing-mq/waxwing/internal/killpoint"
	"github.com/waxwing-mq/waxwing/internal/sqltest"
	"github.com/waxwing-mq/waxwing/waxtest"
)

func TestMain(m *testing.M) {
	if p := given(); p != nil {
		if err := work(p); err != nil {
			fmt.Fprintln(os.Stderr, "worker:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(sqltest.Run(m))
}

// brokers are what cases run over.
func brokers(t *testing.T) map[string]string {
	b := waxtest.Broker(t, waxwing.AMQPAddr("127.0.0.1:0"), waxwing.Setting("group.min.session.timeout.ms", "100"), waxwing.Setting("group.initial.rebalance.delay.ms", "0"))
	rabbit := harness.StartRabbitMQ(t, "killmatrix", false)
	return map[string]string{
		"waxwing-kafka": "kafka:" + b.KafkaAddr(),
		"waxwing-amqp":  "amqp://guest:guest@" + b.AMQPAddr() + "/",
		"rabbitmq":      "amqp://guest:guest@" + rabbit.AMQP + "/",
	}
}

// nth is at which passing a point springs: early enough that every case passes it so
// often, late enough that work is under way.
var nth = map[killpoint.Point]int{
	killpoint.BusinessCommit: 20, killpoint.OutboxRead: 10, killpoint.OutboxSend: 10, killpoint.OutboxDelete: 10,
	killpoint.Delivery: 20, killpoint.InboxInsert: 20, killpoint.Effect: 20, killpoint.HandlerCommit: 20, killpoint.Ack: 5,
	killpoint.SagaTransition: 5, killpoint.SagaCommand: 5, killpoint.Barrier: 5, killpoint.Park: 2,
	killpoint.DeadLetter: 1, killpoint.Replay: 1, killpoint.SagaTimer: 1, killpoint.SagaCompensate: 1,
}

var phases = []killpoint.Phase{killpoint.Before, killpoint.After}

// cases are the matrix for one database and one broker.
func cases() (all []Case) {
	for _, p := range killpoint.Points {
		for _, ph := range phases {
			all = append(all,
				Case{Point: p, Phase: ph, Mode: killpoint.Kill, Nth: nth[p]},
				Case{Point: p, Phase: ph, Mode: killpoint.Kill, Nth: nth[p], Again: 2},
				Case{Point: p, Phase: ph, Mode: killpoint.Error, Nth: nth[p]},
				Case{Point: p, Phase: ph, Mode: killpoint.Hang, Nth: nth[p]},
				Case{Point: p, Phase: ph, Mode: killpoint.Stop, Nth: nth[p]},
			)
		}
	}
	return all
}

// A place is a database and a broker that a case runs on.
type place struct {
	dialect, broker string
}

// places are all of them.
var places = func() (all []place) {
	for _, d := range sqltest.Dialects {
		for _, b := range []string{"waxwing-kafka", "waxwing-amqp", "rabbitmq"} {
			all = append(all, place{d, b})
		}
	}
	return all
}()

// chosen are the places for the nth case. In full a worker is killed everywhere, and
// stopped, hung or lied to on three places in turn, in which each database and each
// broker is one; the sample has one case for each point and phase, on one place in
// turn.
func chosen(n int, c Case) []place {
	turn := []place{places[n%3], places[3+(n+1)%3], places[6+(n+2)%3]}
	switch {
	case harness.Full() && c.Mode == killpoint.Kill:
		return places
	case harness.Full():
		return turn
	case n%5 == (n/5)%5:
		return []place{places[(n/5)%9]}
	}
	return nil
}

// TestKillMatrix has the worker fail at every point, on each database and over each
// broker. Cases mostly wait: run more of them at once (-parallel) than there are
// processors.
func TestKillMatrix(t *testing.T) {
	urls := brokers(t)
	for n, c := range cases() {
		for _, at := range chosen(n, c) {
			t.Run(fmt.Sprintf("%s/%s/%s", at.dialect, at.broker, c), func(t *testing.T) {
				t.Parallel()
				found := carryOut(t, c, Plan{DSN: sqltest.New(t, at.dialect).DSN, Broker: urls[at.broker], Prefix: harness.Fresh("km") + "-"})
				if len(found) > 0 {
					t.Errorf("%s", waxtest.Report(found))
				}
			})
		}
	}
}

// TestSafeguards: without a safeguard, what happens is noticed.
func TestSafeguards(t *testing.T) {
	urls := brokers(t)
	for _, c := range []Case{
		{Point: killpoint.HandlerCommit, Phase: killpoint.After, Mode: killpoint.Kill, Nth: 20, Removed: "dedup"},
		{Point: killpoint.OutboxSend, Phase: killpoint.Before, Mode: killpoint.Stop, Nth: 5, Removed: "fence"},
		{Point: killpoint.OutboxRead, Phase: killpoint.After, Mode: killpoint.Hang, Nth: 5, Removed: "order"},
		{Point: killpoint.Effect, Phase: killpoint.Before, Mode: killpoint.Kill, Nth: 20, Removed: "ack-order"},
		{Point: killpoint.SagaTimer, Phase: killpoint.After, Mode: killpoint.Kill, Nth: 1, Removed: "barrier"},
	} {
		for _, at := range places[:harness.Pick(1, len(places))] {
			t.Run(fmt.Sprintf("%s/%s/%s", at.dialect, at.broker, c.Removed), func(t *testing.T) {
				t.Parallel()
				var found []waxtest.Violation
				for range 3 { // how much goes wrong is a matter of the moment
					// A relay that ignores its lease is noticed by what comes while there are two.
					plan := Plan{DSN: sqltest.New(t, at.dialect).DSN, Broker: urls[at.broker], Prefix: harness.Fresh("km") + "-", Slowly: c.Removed == "fence"}
					if found = carryOut(t, c, plan); len(found) > 0 {
						break
					}
				}
				if v := waxtest.Notices(c.Removed, found); len(v) > 0 {
					t.Errorf("%s", waxtest.Report(v))
				}
				t.Logf("noticed:\n%s", waxtest.Report(found))
			})
		}
	}
}
