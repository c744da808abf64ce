package sqldb_test

import (
	"context"
	"errors"
	"net"
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/waxwing-mq/waxwing/internal/sqltest"
	"github.com/waxwing-mq/waxwing/sqldb"
)

// TestSilentServer: a transaction that fails while the server does not answer any more
// ends nevertheless, whether its context does or not.
func TestSilentServer(t *testing.T) {
	u, err := url.Parse(sqltest.New(t, "postgres").DSN)
	if err != nil {
		t.Fatal(err)
	}
	var silent atomic.Bool
	u.Host = relay(t, u.Host, &silent)
	pool, err := pgxpool.New(t.Context(), u.String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { go pool.Close() }() // it waits for transactions
	failed := errors.New("failed")
	done := make(chan error)
	go func() {
		done <- sqldb.PGX(pool).InTx(t.Context(), func(context.Context, pgx.Tx) error {
			silent.Store(true)
			return failed
		})
	}()
	select {
	case err := <-done:
		if !errors.Is(err, failed) {
			t.Error(err)
		}
	case <-time.After(15 * time.Second):
		t.Error("it waits for the answer to its rollback")
	}
	silent.Store(false)
	if err := sqldb.PGX(pool).InTx(t.Context(), func(context.Context, pgx.Tx) error { return nil }); err != nil {
		t.Error("a new transaction: ", err)
	}
}

// relay passes connections on to an address, and drops what they carry while it is
// silent.
func relay(t *testing.T, to string, silent *atomic.Bool) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	pass := func(from, to net.Conn) {
		defer to.Close()
		buf := make([]byte, 4096)
		for {
			n, err := from.Read(buf)
			if err != nil {
				return
			}
			if !silent.Load() {
				if _, err := to.Write(buf[:n]); err != nil {
					return
				}
			}
		}
	}
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", to)
			if err != nil {
				in.Close()
				return
			}
			go pass(in, out)
			go pass(out, in)
		}
	}()
	return l.Addr().String()
}
