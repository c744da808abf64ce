package saga_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/waxwing-mq/waxwing/bus"
	"github.com/waxwing-mq/waxwing/inbox"
	"github.com/waxwing-mq/waxwing/internal/busrow"
	"github.com/waxwing-mq/waxwing/internal/safeguard"
	"github.com/waxwing-mq/waxwing/internal/sample"
	"github.com/waxwing-mq/waxwing/internal/sqltest"
	"github.com/waxwing-mq/waxwing/outbox"
	"github.com/waxwing-mq/waxwing/saga"
	"github.com/waxwing-mq/waxwing/sqldb"
	"github.com/waxwing-mq/waxwing/waxtest"
)

func TestMain(m *testing.M) { os.Exit(sqltest.Run(m)) }

// service is a database with an outbox and an inbox.
type service struct {
	db   *sqldb.DB[*sql.Tx]
	pool *sql.DB
	ob   *outbox.Outbox[*sql.Tx]
	ib   *inbox.Inbox[*sql.Tx]
}

func newService(t testing.TB, d sqltest.Database, name string) *service {
	t.Helper()
	return serviceOf(t, d, name, func(*sqldb.DB[*sql.Tx]) (outbox.Option, inbox.Option) { return outbox.Seal(nil), inbox.Seal(nil) })
}

// serviceOf is a service that seals and opens, or does not.
func serviceOf(t testing.TB, d sqltest.Database, name string, seals func(*sqldb.DB[*sql.Tx]) (outbox.Option, inbox.Option)) *service {
	t.Helper()
	db, pool := sqltest.Open(t, d)
	out, in := seals(db)
	ib, err := inbox.New(db, name, inbox.InPlace(50), inbox.MaxAttempts(50), inbox.Backoff(time.Microsecond, time.Microsecond), in)
	if err != nil {
		t.Fatal(err)
	}
	return &service{db, pool, outbox.New(db, outbox.Source(name), out), ib}
}

// take takes everything out of the outbox.
func (s *service) take(t testing.TB) (out []bus.Message) {
	t.Helper()
	rows, err := s.pool.Query("SELECT id, topic, msg_key, event_id, event_type, headers, body FROM waxwing_outbox ORDER BY id")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	last := int64(0)
	for rows.Next() {
		var m bus.Message
		var key, headers []byte
		if err := rows.Scan(&last, &m.Topic, &key, &m.ID, &m.Type, &headers, &m.Body); err != nil {
			t.Fatal(err)
		}
		m.Key = string(key)
		if m.Headers, err = busrow.DecodeHeaders(headers); err != nil {
			t.Fatal(err)
		}
		out = append(out, m)
	}
	rows.Close()
	if _, err := s.pool.Exec(fmt.Sprintf("DELETE FROM waxwing_outbox WHERE id <= %d", last)); err != nil {
		t.Fatal(err)
	}
	return out
}

// clock is a clock that a test moves.
type clock struct{ now time.Time }

func newClock() *clock { return &clock{time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)} }

func (c *clock) Now() time.Time { return c.now }

// trip is the state of the sagas of these tests.
type trip struct {
	ID      string
	Booking string `json:",omitempty"`
}

var steps = []string{"reserve", "car", "hotel", "charge", "ship"}

// tripSaga has all kinds of stages. Its commands go to the topics "stock", which is
// one service, and "trade", which is another.
func tripSaga() *saga.Definition[trip] {
	command := func(topic, kind string) saga.Builder[trip] {
		return func(s trip) (saga.Command, error) {
			return saga.Command{Topic: topic, Type: kind, Data: s}, nil
		}
	}
	opts := []saga.StepOption{saga.Timeout(time.Second), saga.Attempts(3), saga.Backoff(time.Second, 4*time.Second)}
	return saga.Define[trip]("trip", 1).
		Step("reserve", command("stock", "reserve"), command("stock", "undo-reserve"), append(opts, saga.OnReply(func(s *trip, booking string) error {
			s.Booking = booking
			return nil
		}))...).
		Parallel(
			saga.Branch("car", command("trade", "car"), command("trade", "undo-car"), opts...),
			saga.Branch("hotel", command("trade", "hotel"), command("trade", "undo-hotel"), opts...),
		).
		Pivot("charge", command("trade", "charge"), opts...).
		Step("ship", command("stock", "ship"), nil, opts...)
}

// world is an engine, its participants and what is on the way between them.
type world struct {
	t      *testing.T
	rnd    *rand.Rand
	clock  *clock
	eng    *saga.Engine[*sql.Tx]
	def    *saga.Definition[trip]
	center *service
	peers  map[string]*service // by topic
	flight []bus.Message
	odds   int  // one in so many commands fails in each of three ways
	calm   bool // participants do what they are asked
	seq    int
	ids    []string
}

func newWorld(t *testing.T, dialect string, seed uint64) *world {
	return worldOf(t, dialect, seed, newService)
}

// worldOf is a world of services that are made so.
func worldOf(t *testing.T, dialect string, seed uint64, newService func(t testing.TB, d sqltest.Database, name string) *service) *world {
	w := &world{t: t, rnd: rand.New(rand.NewPCG(seed, 1)), clock: newClock(), odds: 25}
	w.center = newService(t, sqltest.New(t, dialect), "center")
	w.peers = map[string]*service{"replies": w.center}
	for _, name := range []string{"stock", "trade"} {
		s := newService(t, sqltest.New(t, dialect), name)
		if _, err := s.pool.Exec("CREATE TABLE ledger (seq INTEGER, saga VARCHAR(100), what VARCHAR(100), amount INTEGER)"); err != nil {
			t.Fatal(err)
		}
		w.peers[name] = s
		p := saga.NewParticipant(s.db, s.ib, s.ob)
		for _, step := range steps {
			saga.Serve(p, name, step, w.act("+"+step, 1))
			saga.ServeCompensation(p, name, "undo-"+step, w.act("-"+step, -1))
		}
	}
	w.eng = saga.NewEngine(w.center.db, w.center.ob, "replies", saga.Clock(w.clock.Now))
	w.def = tripSaga()
	if err := w.eng.Register(w.def); err != nil {
		t.Fatal(err)
	}
	w.eng.Bind(w.center.ib)
	return w
}

// act writes into the ledger, which has no unique key, and may then fail.
func (w *world) act(what string, amount int) saga.Act[trip, *sql.Tx] {
	return func(_ context.Context, tx *sql.Tx, s trip, m *bus.Delivery) (any, error) {
		w.seq++
		if _, err := tx.Exec(fmt.Sprintf("INSERT INTO ledger VALUES (%d, '%s', '%s', %d)", w.seq, s.ID, what, amount)); err != nil {
			return nil, err
		}
		if strings.HasPrefix(what, "-") && what != "-reserve" && s.Booking == "" {
			w.t.Errorf("saga %s: the booking is not in its state", s.ID)
		}
		if !w.calm {
			switch w.rnd.IntN(w.odds) {
			case 0:
				return nil, saga.Rejected(errors.New("no"))
			case 1:
				return nil, saga.Failed(errors.New("not now"))
			case 2:
				return nil, errors.New("try again in place")
			}
		}
		return "booking-" + s.ID, nil
	}
}

func (w *world) start(n int) {
	for range n {
		id := fmt.Sprintf("trip-%d", len(w.ids))
		w.ids = append(w.ids, id)
		if err := w.center.db.InTx(w.t.Context(), func(ctx context.Context, tx *sql.Tx) error {
			return saga.Start(ctx, w.eng, tx, w.def, id, trip{ID: id})
		}); err != nil {
			w.t.Fatal(err)
		}
	}
}

// step does one thing that may happen.
func (w *world) step() {
	w.collect()
	switch n := w.rnd.IntN(100); {
	case n < 90 && len(w.flight) > 0:
		i := w.rnd.IntN(len(w.flight))
		w.deliver(w.flight[i])
		if w.rnd.IntN(4) > 0 { // else its acknowledgement is lost
			w.flight = slices.Delete(w.flight, i, i+1)
		}
	case n < 97:
		w.clock.now = w.clock.now.Add(150 * time.Millisecond)
		w.timers()
	default:
		w.press()
	}
}

// collect takes what was published.
func (w *world) collect() {
	for _, topic := range []string{"replies", "stock", "trade"} {
		w.flight = append(w.flight, w.peers[topic].take(w.t)...)
	}
}

func (w *world) deliver(m bus.Message) {
	if err := w.peers[m.Topic].ib.Process(w.t.Context(), &bus.Delivery{Message: m, Attempt: 1}); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) timers() {
	if _, err := w.eng.FireTimers(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

// press is an operator who has what is stuck tried again.
func (w *world) press() {
	stuck, err := saga.List(w.t.Context(), w.center.db, saga.Filter{State: "attention"})
	if err != nil {
		w.t.Fatal(err)
	}
	for _, in := range stuck {
		if err := saga.Retry(w.t.Context(), w.center.db, in.ID); err != nil {
			w.t.Fatal(err)
		}
	}
}

// finish lets everything come to its end.
func (w *world) finish() {
	w.calm = true
	for range 100 {
		live, err := saga.List(w.t.Context(), w.center.db, saga.Filter{State: "live"})
		if err != nil {
			w.t.Fatal(err)
		}
		w.collect()
		if len(live) == 0 && len(w.flight) == 0 {
			return
		}
		for _, m := range w.flight {
			w.deliver(m)
		}
		w.flight = nil
		w.clock.now = w.clock.now.Add(5 * time.Second)
		w.press()
		w.timers()
	}
	w.t.Fatal("the sagas do not come to an end")
}

// ledger is what happened to each saga, in order.
func (w *world) ledger() map[string][]string {
	type entry struct {
		seq        int
		saga, what string
	}
	var all []entry
	for _, name := range []string{"stock", "trade"} {
		rows, err := w.peers[name].pool.Query("SELECT seq, saga, what FROM ledger")
		if err != nil {
			w.t.Fatal(err)
		}
		for rows.Next() {
			var e entry
			if err := rows.Scan(&e.seq, &e.saga, &e.what); err != nil {
				w.t.Fatal(err)
			}
			all = append(all, e)
		}
		rows.Close()
	}
	slices.SortFunc(all, func(a, b entry) int { return a.seq - b.seq })
	did := map[string][]string{}
	for _, e := range all {
		did[e.saga] = append(did[e.saga], e.what)
	}
	return did
}

// groups says which steps run at once.
var groups = map[string]int{"reserve": 0, "car": 1, "hotel": 1, "charge": 2, "ship": 3}

// judge returns how each saga went, and how many ended how.
func (w *world) judge() (wrong []waxtest.Violation, ends map[string]int) {
	did, ends := w.ledger(), map[string]int{}
	var runs []waxtest.SagaRun
	for _, id := range w.ids {
		in, err := saga.Show(w.t.Context(), w.center.db, id)
		if err != nil {
			w.t.Fatal(err)
		}
		ends[in.State]++
		run := waxtest.SagaRun{ID: id, State: in.State}
		for _, s := range steps {
			run.Steps = append(run.Steps, waxtest.SagaStep{Name: s, Group: groups[s]})
		}
		for _, what := range did[id] {
			op := map[byte]string{'+': "action", '-': "compensation"}[what[0]]
			run.Effects = append(run.Effects, waxtest.SagaEffect{Step: what[1:], Op: op})
		}
		runs = append(runs, run)
	}
	return append(waxtest.SagasEnded(runs), w.conserved(ends["completed"])...), ends
}

// conserved: what the sagas that are completed took is missing, and nothing else.
func (w *world) conserved(completed int) []waxtest.Violation {
	parts := map[string]int64{}
	for _, name := range []string{"stock", "trade"} {
		var sum int64
		if err := w.peers[name].pool.QueryRow("SELECT COALESCE(SUM(amount), 0) FROM ledger").Scan(&sum); err != nil {
			w.t.Fatal(err)
		}
		parts[name] = sum
	}
	return waxtest.Conserved("amounts", int64(completed*len(steps)), parts)
}

// TestPump: whatever order, loss of acknowledgements, duplication and timing there
// is, each saga ends fully done or fully undone, with each effect once at most.
func TestPump(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, d sqltest.Database) {
		seeds, barred, all := 1, 0, map[string]int{}
		if d.Dialect == "sqlite" {
			seeds = sample.Of(2, 4)
		}
		for seed := range uint64(seeds) {
			w := newWorld(t, d.Dialect, seed+1)
			w.odds = []int{25, 10}[seed%2]
			ends := w.play()
			for state, n := range ends {
				all[state] += n
			}
			barred += w.barred()
		}
		if all["completed"] == 0 || all["compensated"] == 0 || barred == 0 {
			t.Fatalf("the test proves little: %v, %d barred", all, barred)
		}
		t.Log(all, "barred:", barred)
	})
}

// play has sagas go through a storm and then to their ends, and returns how many
// ended how.
func (w *world) play() map[string]int {
	w.start(12)
	for range 700 {
		w.step()
	}
	w.start(4)
	w.finish()
	wrong, ends := w.judge()
	if len(wrong) > 0 {
		w.t.Fatal(waxtest.Report(wrong))
	}
	return ends
}

// barred counts the actions that were compensated before they came.
func (w *world) barred() (n int) {
	for _, name := range []string{"stock", "trade"} {
		var one int
		if err := w.peers[name].pool.QueryRow("SELECT COUNT(*) FROM waxwing_saga_barrier WHERE outcome = 'barred'").Scan(&one); err != nil {
			w.t.Fatal(err)
		}
		n += one
	}
	return n
}

// TestPumpWithoutBarrier: the same, without the barrier, is noticed.
func TestPumpWithoutBarrier(t *testing.T) {
	safeguard.Remove(safeguard.Barrier)
	defer safeguard.Restore()
	w := newWorld(t, "sqlite", 1)
	w.start(12)
	for range 700 {
		w.step()
	}
	w.finish()
	wrong, _ := w.judge()
	if missed := waxtest.Notices("barrier", wrong); len(missed) > 0 {
		t.Fatal(waxtest.Report(missed))
	}
}
