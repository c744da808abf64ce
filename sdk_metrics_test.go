package waxwing_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"gopkg.in/yaml.v3"

	"github.com/waxwing-mq/waxwing/bus"
	"github.com/waxwing-mq/waxwing/inbox"
	"github.com/waxwing-mq/waxwing/outbox"
	"github.com/waxwing-mq/waxwing/saga"
	"github.com/waxwing-mq/waxwing/seal"
	"github.com/waxwing-mq/waxwing/sqldb"
)

// TestSDKMetricsPage: the section SDK of docs/metrics.md lists what the SDK's
// collectors tell: each name, with its type and its labels.
func TestSDKMetricsPage(t *testing.T) {
	told := sdkMetrics(t)
	documented := documentedSDKMetrics(t)
	for _, name := range slices.Sorted(maps.Keys(told)) {
		if got, ok := documented[name]; !ok {
			t.Errorf("docs/metrics.md does not list %s", name)
		} else if got != told[name] {
			t.Errorf("docs/metrics.md says of %s %q; it is %q", name, got, told[name])
		}
	}
	for _, name := range slices.Sorted(maps.Keys(documented)) {
		if _, ok := told[name]; !ok {
			t.Errorf("docs/metrics.md lists %s, which no collector tells", name)
		}
	}
}

// documentedSDKMetrics reads the rows of the page: by name, type and labels.
func documentedSDKMetrics(t *testing.T) map[string]string {
	t.Helper()
	page, err := os.ReadFile("docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(page), "\n## SDK\n")
	row := regexp.MustCompile("(?m)^\\| `([a-z_]+)(?:\\{([a-z, ]+)\\})?` \\| ([a-z]+) \\| ([a-z]+) \\| .+ \\|$")
	out := map[string]string{}
	for _, m := range row.FindAllStringSubmatch(section, -1) {
		out[m[1]] = m[3] + "{" + m[2] + "}"
		if strings.HasSuffix(m[1], "_seconds") != (m[4] == "seconds") {
			t.Errorf("docs/metrics.md: the unit of %s is not %q", m[1], m[4])
		}
	}
	if n := strings.Count(section, "\n| `"); n == 0 || n != len(out) {
		t.Fatalf("docs/metrics.md has %d rows under SDK, %d can be read", n, len(out))
	}
	return out
}

// sdkMetrics are what the SDK's collectors tell once everything has happened that
// they count: by name, type and labels.
func sdkMetrics(t *testing.T) map[string]string {
	t.Helper()
	db, pool, err := sqldb.Open("sqlite:" + filepath.Join(t.TempDir(), "app.db"))
	must(t, err)
	t.Cleanup(func() { pool.Close() })
	must(t, sqldb.Migrate(t.Context(), db))
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(busyRelay(t, db), busyInbox(t, db), busyEngine(t, db), idleEndpoint(t, db))
	families, err := registry.Gather()
	must(t, err)
	out := map[string]string{}
	for _, f := range families {
		var labels []string
		for _, l := range f.Metric[0].Label {
			labels = append(labels, l.GetName())
		}
		out[f.GetName()] = strings.ToLower(f.GetType().String()) + "{" + strings.Join(labels, ", ") + "}"
	}
	return out
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

var silent = slog.New(slog.NewTextHandler(io.Discard, nil))

// A refusing publisher fails.
type refusing struct{ done func() }

func (r refusing) Publish(context.Context, []bus.Message) error {
	r.done()
	return errors.New("no broker")
}

func (refusing) System() string { return "kafka" }

// busyRelay is the collector of a relay that has failed to publish.
func busyRelay(t *testing.T, db *sqldb.DB[*sql.Tx]) prometheus.Collector {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	ob := outbox.New(db)
	must(t, ob.InTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		return ob.Publish(ctx, tx, outbox.Event{Topic: "orders", Key: "o1", Type: "order.placed"})
	}))
	r := outbox.NewRelay(ob, refusing{cancel}, outbox.Logger(silent))
	must(t, r.Run(ctx))
	return r.Collector()
}

// busyInbox is the collector of an inbox with a dead letter.
func busyInbox(t *testing.T, db *sqldb.DB[*sql.Tx]) prometheus.Collector {
	in, err := inbox.New(db, "billing", inbox.Logger(silent))
	must(t, err)
	in.Handle("orders", "", func(context.Context, *sql.Tx, *bus.Delivery) error { return inbox.DeadLetter(nil) })
	must(t, in.Process(t.Context(), &bus.Delivery{Message: bus.Message{Topic: "orders", Key: "o1", ID: "1"}}))
	return in.Collector()
}

// idleEndpoint is the collector of an endpoint of seal, which tells all from the start.
func idleEndpoint(t *testing.T, db *sqldb.DB[*sql.Tx]) prometheus.Collector {
	id, err := seal.NewIdentity("orders")
	must(t, err)
	id, err = id.SelfSigned(1, time.Now().Add(time.Hour))
	must(t, err)
	key, err := seal.NewStorageKey(1)
	must(t, err)
	keys, err := seal.NewKeyRing(key)
	must(t, err)
	ep, err := seal.New(db, id, keys, seal.TOFU())
	must(t, err)
	return ep.Collector()
}

// busyEngine is the collector of an engine of which one saga is under way, one was
// compensated, and a reply was to none.
func busyEngine(t *testing.T, db *sqldb.DB[*sql.Tx]) prometheus.Collector {
	command := func(struct{}) (saga.Command, error) { return saga.Command{Topic: "work", Type: "do"}, nil }
	def := saga.Define[struct{}]("checkout", 1).Step("reserve", command, command).Pivot("charge", command)
	ob := outbox.New(db)
	eng := saga.NewEngine(db, ob, "replies", saga.Logger(silent))
	must(t, eng.Register(def))
	in, err := inbox.New(db, "sagas", inbox.Logger(silent))
	must(t, err)
	eng.Bind(in)
	for _, id := range []string{"o1", "o2"} {
		must(t, ob.InTx(t.Context(), func(ctx context.Context, tx *sql.Tx) error {
			return saga.Start(ctx, eng, tx, def, id, struct{}{})
		}))
	}
	for i, answer := range [][4]string{
		{"o1", "reserve", "action", "ok"}, {"o1", "charge", "action", "rejected"},
		{"o1", "reserve", "compensate", "ok"}, {"none", "charge", "action", "ok"},
	} {
		m := bus.Message{Topic: "replies", Type: saga.ReplyType, ID: string(rune('a' + i))}
		for name, value := range map[string]string{
			saga.HeaderSaga: answer[0], saga.HeaderName: "checkout", saga.HeaderStep: answer[1],
			saga.HeaderOp: answer[2], saga.HeaderOutcome: answer[3], saga.HeaderAttempt: "1",
		} {
			m.SetHeader(name, []byte(value))
		}
		must(t, in.Process(t.Context(), &bus.Delivery{Message: m}))
	}
	return eng.Collector()
}

// TestSDKAlerts: docs/sdk-alerts.yml is a file of rules, whose metrics exist, and
// docs/observability.md names each alert.
func TestSDKAlerts(t *testing.T) {
	text, err := os.ReadFile("docs/sdk-alerts.yml")
	must(t, err)
	var file struct {
		Groups []struct {
			Name  string
			Rules []struct {
				Alert, Expr, For    string
				Labels, Annotations map[string]string
			}
		}
	}
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	must(t, d.Decode(&file))
	page, err := os.ReadFile("docs/observability.md")
	must(t, err)
	told, seen := sdkMetrics(t), map[string]bool{}
	name := regexp.MustCompile(`\bwaxwing_[a-z_]+`)
	for _, g := range file.Groups {
		for _, r := range g.Rules {
			if seen[r.Alert] || r.Alert == "" {
				t.Errorf("there are two alerts %q", r.Alert)
			}
			seen[r.Alert] = true
			if r.For != "" {
				_, err := time.ParseDuration(r.For)
				must(t, err)
			}
			if r.Labels["severity"] == "" || r.Annotations["summary"] == "" || r.Annotations["description"] == "" {
				t.Errorf("%s lacks severity, summary or description", r.Alert)
			}
			names := name.FindAllString(r.Expr, -1)
			if len(names) == 0 {
				t.Errorf("%s looks at no metric: %s", r.Alert, r.Expr)
			}
			for _, n := range names {
				if told[n] == "" && !strings.HasPrefix(told[strings.TrimSuffix(n, "_bucket")], "histogram") {
					t.Errorf("%s: no collector tells %s", r.Alert, n)
				}
			}
			if !bytes.Contains(page, []byte("| `"+r.Alert+"` |")) {
				t.Errorf("docs/observability.md does not list %s", r.Alert)
			}
		}
	}
	for _, m := range regexp.MustCompile("(?m)^\\| `(Waxwing[A-Za-z]+)` \\|").FindAllSubmatch(page, -1) {
		if !seen[string(m[1])] {
			t.Errorf("docs/observability.md lists %s, which is no alert", m[1])
		}
	}
}
