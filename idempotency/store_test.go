package idempotency

import (
	"context"
	"database/sql"
	"errors"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/waxwing-mq/waxwing/internal/sqltest"
)

// TestClaimsMeet: in MySQL two processes can both find no row; the second one's
// claim gives up soon. In all, a second response under a key is refused.
func TestClaimsMeet(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, d sqltest.Database) {
		db, _ := sqltest.Open(t, d)
		who := identity{digest([]byte("k")), digest([]byte("a"))}
		res := response{status: 200}
		put := func(ctx context.Context, tx *sql.Tx) error {
			if d.Dialect == "mysql" {
				if err := insertClaim(ctx, db.Bind(tx), who); err != nil {
					return err
				}
			}
			return store(ctx, db.Bind(tx), db.Dialect(), who, res, time.Now(), time.Hour)
		}
		err := db.InTx(t.Context(), func(ctx context.Context, tx *sql.Tx) error {
			if err := put(ctx, tx); err != nil || d.Dialect != "mysql" {
				return err
			}
			begin := time.Now()
			if err := db.InTx(ctx, put); !errors.Is(err, errBusy) || time.Since(begin) > 20*claimWait {
				t.Errorf("while the first runs: %v after %v", err, time.Since(begin))
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := db.InTx(t.Context(), put); !errors.Is(err, errBusy) {
			t.Errorf("when the first is stored: %v", err)
		}
	})
}

// BenchmarkHandler: a request with a new key, and one that is replayed, whose
// handler answers and does nothing; the databases sync every commit.
func BenchmarkHandler(b *testing.B) {
	for _, dialect := range sqltest.Dialects {
		db, _ := sqltest.Open(b, sqltest.Durable(b, dialect))
		h := New(db).Handler(func(_ context.Context, _ *sql.Tx, w http.ResponseWriter, _ *http.Request) error {
			w.WriteHeader(http.StatusCreated)
			return nil
		})
		n := 0
		for name, step := range map[string]int{"new": 1, "replayed": 0} {
			b.Run(dialect+"/"+name, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					n += step
					r := httptest.NewRequest("POST", "/orders", strings.NewReader("an order"))
					r.Header.Set(headerKey, strconv.Itoa(n))
					w := httptest.NewRecorder()
					if h.ServeHTTP(w, r); w.Code != http.StatusCreated {
						b.Fatal(w.Code, w.Body)
					}
				}
			})
		}
	}
}
