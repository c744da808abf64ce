//go:build killpoints

package killmatrix

import (
	"fmt"
	"slices"
	"testing"

	"github.com/waxwing-mq/waxwing"
	"github.com/waxwing-mq/waxwing/conformance/harness"
	"github.com/waxwing-mq/waxwing/internal/killpoint"
	"github.com/waxwing-mq/waxwing/internal/sqltest"
	"github.com/waxwing-mq/waxwing/waxtest"
)

// A sealing is a broker with a directory, over which cases are sealed.
type sealing struct {
	urls      map[string]string
	directory string
}

func startSealing(t *testing.T) sealing {
	b := waxtest.Broker(t, waxwing.AMQPAddr("127.0.0.1:0"), waxwing.HTTPAddr("127.0.0.1:0"),
		waxwing.Setting("group.min.session.timeout.ms", "100"), waxwing.Setting("group.initial.rebalance.delay.ms", "0"))
	return sealing{map[string]string{"waxwing-kafka": "kafka:" + b.KafkaAddr(), "waxwing-amqp": "amqp://guest:guest@" + b.AMQPAddr() + "/"}, "http://" + b.HTTPAddr()}
}

// sealedPlaces are where everything is sealed.
var sealedPlaces = []place{{"postgres", "waxwing-kafka"}, {"sqlite", "waxwing-amqp"}, {"sqlite", "waxwing-kafka"}, {"postgres", "waxwing-amqp"}}

// sealedNth is nth, for the points that only sealed messages pass.
var sealedNth = map[killpoint.Point]int{killpoint.Seal: 20, killpoint.Open: 20, killpoint.Pin: 2}

// sealedCases are the kills at every point, and what else can happen where something is
// sealed or opened.
func sealedCases() (all []Case) {
	for _, p := range slices.Concat(killpoint.Sealed, killpoint.Points) {
		n := max(nth[p], sealedNth[p])
		for _, ph := range phases {
			all = append(all, Case{Point: p, Phase: ph, Mode: killpoint.Kill, Nth: n}, Case{Point: p, Phase: ph, Mode: killpoint.Kill, Nth: n, Again: 2})
			if sealedNth[p] > 0 {
				for _, m := range []killpoint.Mode{killpoint.Error, killpoint.Hang, killpoint.Stop} {
					all = append(all, Case{Point: p, Phase: ph, Mode: m, Nth: n})
				}
			}
		}
	}
	return all
}

// sealedChosen are the places for the nth case: in full those of PostgreSQL and SQLite
// over Kafka's protocol and AMQP; in the sample one, for the kills at the points of its
// own and for some of the others.
func sealedChosen(n int, c Case) []place {
	switch {
	case harness.Full():
		return sealedPlaces
	case sealedNth[c.Point] > 0 && c.Mode == killpoint.Kill && (c.Again > 0) == (n/5%2 == 1), n%19 == 5:
		return sealedPlaces[n%2 : n%2+1]
	}
	return nil
}

func (s sealing) plan(t *testing.T, at place) Plan {
	return Plan{DSN: sqltest.New(t, at.dialect).DSN, Broker: s.urls[at.broker], Directory: s.directory, Prefix: harness.Fresh("ks") + "-"}
}

// TestSealedKillMatrix: the kill matrix with every message sealed. The same holds, each row
// of the outbox opens exactly once, and nothing that was consumed opens again.
func TestSealedKillMatrix(t *testing.T) {
	s := startSealing(t)
	for n, c := range sealedCases() {
		for _, at := range sealedChosen(n, c) {
			t.Run(fmt.Sprintf("%s/%s/%s", at.dialect, at.broker, c), func(t *testing.T) {
				t.Parallel()
				if found := carryOut(t, c, s.plan(t, at)); len(found) > 0 {
					t.Errorf("%s", waxtest.Report(found))
				}
			})
		}
	}
}

// TestSealedSafeguards: a ratchet that is saved before the effect, and a one-time key that is
// deleted outside of the transaction, are noticed.
func TestSealedSafeguards(t *testing.T) {
	s := startSealing(t)
	for _, c := range []Case{
		{Point: killpoint.Effect, Phase: killpoint.Before, Mode: killpoint.Kill, Nth: 20, Removed: "ratchet"},
		{Point: killpoint.Open, Phase: killpoint.After, Mode: killpoint.Error, Nth: 1, Removed: "one-time"},
	} {
		for _, at := range sealedPlaces[:harness.Pick(1, len(sealedPlaces))] {
			t.Run(fmt.Sprintf("%s/%s/%s", at.dialect, at.broker, c.Removed), func(t *testing.T) {
				t.Parallel()
				var found []waxtest.Violation
				for range 3 { // in SQLite another message may open the session first
					if found = carryOut(t, c, s.plan(t, at)); len(found) > 0 {
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
