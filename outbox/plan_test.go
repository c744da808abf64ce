package outbox

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"testing"

	"github.com/waxwing-mq/waxwing/internal/sqltest"
)

// fill writes n events with keys of their own by few transactions.
func fill(t testing.TB, o *Outbox[*sql.Tx], n int) {
	t.Helper()
	for at := 0; at < n; at += 5000 {
		err := o.InTx(t.Context(), func(ctx context.Context, tx *sql.Tx) error {
			batch := make([]Event, min(5000, n-at))
			for i := range batch {
				batch[i] = Event{Topic: "t", Key: fmt.Sprint("key", at+i), Data: at + i}
			}
			return o.Publish(ctx, tx, batch...)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestPlans: PostgreSQL looks rows up by the index, whatever it knows of the table,
// and whether or not it plans for the parameters at hand.
func TestPlans(t *testing.T) {
	d := sqltest.New(t, "postgres")
	db, pool := sqltest.Open(t, d)
	pool.SetMaxOpenConns(1)
	o := New(db)
	r := NewRelay(o, &recorder{})
	r.floor = &floor{store: r.store}
	w := newWorker(r, 0)
	w.limit = 500
	check := func(state string) {
		var parts []*part
		for b := range 8 {
			parts = append(parts, &part{lease: &lease{bucket: b, token: 1}, state: &w.states[b], ids: make([]int64, 500)})
		}
		read, args := w.query(parts)
		explain(t, pool, state+", read", read, args)
		remove, args := removePostgres(parts)
		explain(t, pool, state+", delete", remove, args)
	}
	check("empty")
	if _, err := pool.Exec("ANALYZE"); err != nil {
		t.Fatal(err)
	}
	check("empty and analyzed")
	fill(t, o, 20_000)
	check("full and not analyzed")
	if _, err := pool.Exec("ANALYZE"); err != nil {
		t.Fatal(err)
	}
	check("full and analyzed")
	if _, err := pool.Exec("DELETE FROM waxwing_outbox"); err != nil {
		t.Fatal(err)
	}
	check("emptied")
	if _, err := pool.Exec("VACUUM ANALYZE"); err != nil {
		t.Fatal(err)
	}
	check("emptied and vacuumed")
	fill(t, o, 100)
	check("some")
	if _, err := pool.Exec("ANALYZE"); err != nil {
		t.Fatal(err)
	}
	check("some, analyzed")
	fill(t, o, 50_000)
	check("full after that")
}

// TestPlansMySQL: MySQL looks the rows that it deletes up by their whole key, whatever it
// knows of the table, and so does not wait for others of the bucket.
func TestPlansMySQL(t *testing.T) {
	db, pool := sqltest.Open(t, sqltest.New(t, "mysql"))
	o := New(db)
	check := func(state string) {
		for _, n := range []int{1, 20, 500} {
			ids := make([]int64, n)
			for i := range ids {
				ids[i] = int64(3 + Buckets*i)
			}
			rows, err := pool.Query("EXPLAIN " + o.store().removal(3, ids))
			if err != nil {
				t.Fatal(err)
			}
			found := false
			for rows.Next() {
				var line [10]sql.NullString // the third is the table, the fourth the way to its rows, the seventh the length of the key
				if err := rows.Scan(&line[0], &line[1], &line[2], &line[3], &line[4], &line[5], &line[6], &line[7], &line[8], &line[9]); err != nil {
					t.Fatal(err)
				}
				found = found || line[2].String == "o" && line[3].String == "eq_ref" && line[6].String == "10"
			}
			rows.Close()
			if !found {
				t.Errorf("%s, %d ids: not by the whole key", state, n)
			}
		}
	}
	analyze := func() {
		if _, err := pool.Exec("ANALYZE TABLE waxwing_outbox"); err != nil {
			t.Fatal(err)
		}
	}
	check("empty")
	analyze()
	check("empty and analyzed")
	fill(t, o, 20_000)
	check("full and not analyzed")
	analyze()
	check("full and analyzed")
	must(t, pool, "DELETE FROM waxwing_outbox")
	check("emptied")
	analyze()
	check("emptied and analyzed")
	fill(t, o, 100)
	check("some")
}

// explain checks the plans of a query.
func explain(t *testing.T, pool *sql.DB, what, query string, args []any) {
	t.Helper()
	for _, mode := range []string{"force_custom_plan", "force_generic_plan"} {
		if _, err := pool.Exec("SET plan_cache_mode = " + mode); err != nil {
			t.Fatal(err)
		}
		tx, err := pool.Begin()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tx.Exec(useIndex); err != nil {
			t.Fatal(err)
		}
		rows, err := tx.Query("EXPLAIN "+numbered(query), args...)
		if err != nil {
			t.Fatal(err)
		}
		var plan strings.Builder
		for rows.Next() {
			var line string
			if err := rows.Scan(&line); err != nil {
				t.Fatal(err)
			}
			plan.WriteString(line + "\n")
		}
		rows.Close()
		if err := tx.Rollback(); err != nil {
			t.Fatal(err)
		}
		if p := plan.String(); strings.Contains(p, "Seq Scan on waxwing_outbox ") || strings.Contains(p, "Sort") || strings.Contains(p, "Bitmap") {
			t.Errorf("%s, %s:\n%s", what, mode, p)
		}
	}
}

// numbered gives a query PostgreSQL's placeholders.
func numbered(query string) string {
	for n := 1; strings.Contains(query, "?"); n++ {
		query = strings.Replace(query, "?", fmt.Sprint("$", n), 1)
	}
	return query
}
