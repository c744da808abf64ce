package service

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"
)

// Status is what a service says of itself.
type Status struct {
	Outbox     int // events that are not published yet
	Parked     int // messages that were put aside, dead letters included
	Sagas      int // instances under way
	Completed  int // instances that ended so
	Reversed   int // instances that ended by compensation
	Duplicates int // messages that this process has skipped
}

// Status asks the database and the inboxes.
func (b *Base) Status(ctx context.Context) (s Status, err error) {
	err = b.DB.InTx(ctx, func(ctx context.Context, tx Tx) error {
		return tx.QueryRowContext(ctx, `SELECT
			(SELECT COUNT(*) FROM waxwing_outbox),
			(SELECT COUNT(*) FROM waxwing_parked),
			(SELECT COUNT(*) FROM waxwing_saga WHERE state NOT IN ('completed', 'compensated')),
			(SELECT COUNT(*) FROM waxwing_saga WHERE state = 'completed'),
			(SELECT COUNT(*) FROM waxwing_saga WHERE state = 'compensated')`).
			Scan(&s.Outbox, &s.Parked, &s.Sagas, &s.Completed, &s.Reversed)
	})
	s.Duplicates = b.duplicates()
	return s, err
}

// Takeovers is how often relays have taken over the bucket of the outbox that was
// taken over most often.
func (b *Base) Takeovers(ctx context.Context) (n int, err error) {
	err = b.DB.InTx(ctx, func(ctx context.Context, tx Tx) error {
		return tx.QueryRowContext(ctx, "SELECT COALESCE(MAX(token), 0) FROM waxwing_outbox_lease").Scan(&n)
	})
	return n, err
}

// duplicates adds up what the inboxes count.
func (b *Base) duplicates() (n int) {
	metrics := prometheus.NewRegistry()
	for _, in := range b.inboxes {
		metrics.MustRegister(in.Collector())
	}
	families, _ := metrics.Gather() // what cannot be told now is told the next time
	for _, f := range families {
		if f.GetName() == "waxwing_inbox_duplicates_total" {
			for _, m := range f.Metric {
				n += int(m.GetCounter().GetValue())
			}
		}
	}
	return n
}
