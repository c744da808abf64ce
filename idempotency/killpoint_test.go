//go:build killpoints

package idempotency_test

import (
	"bufio"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/waxwing-mq/waxwing/idempotency"
	"github.com/waxwing-mq/waxwing/internal/killpoint"
	"github.com/waxwing-mq/waxwing/internal/sqltest"
	"github.com/waxwing-mq/waxwing/sqldb"
)

// TestLostAnswer: an error before the commit leaves nothing; after it, the retry
// gets what was stored.
func TestLostAnswer(t *testing.T) {
	each(t, func(t *testing.T, e env) {
		t.Cleanup(killpoint.Disarm)
		url := e.serve(t, order, quiet) + "/orders"
		killpoint.Arm(killpoint.HandlerCommit, killpoint.Before, 1, killpoint.Error)
		wantProblem(t, post(t, url, `"k"`, "a"), 500, "failed")
		if e.effects(t) != 0 || e.stored(t) != 0 {
			t.Fatalf("%d effects, %d stored", e.effects(t), e.stored(t))
		}
		killpoint.Arm(killpoint.HandlerCommit, killpoint.After, 1, killpoint.Error)
		wantProblem(t, post(t, url, `"k"`, "a"), 500, "failed")
		if e.effects(t) != 1 || e.stored(t) != 1 {
			t.Fatalf("%d effects, %d stored", e.effects(t), e.stored(t))
		}
		if a := post(t, url, `"k"`, "a"); a.status != 201 || a.body != "ordered a" || !a.replayed() || e.effects(t) != 1 {
			t.Errorf("%+v, %d effects", a, e.effects(t))
		}
	})
}

const serverDSN = "WAXWING_IDEMPOTENCY_TEST_DSN"

// init makes the process a server, if it was started as one: it says its address
// and serves until its standard input ends.
func init() {
	dsn := os.Getenv(serverDSN)
	if dsn == "" {
		return
	}
	beforeTests = func() {
		db, _, err := sqldb.Open(dsn)
		if err != nil {
			panic(err)
		}
		s := httptest.NewServer(routes(db, idempotency.New(db), order))
		fmt.Println(s.URL)
		_, _ = bufio.NewReader(os.Stdin).ReadString('\n')
		os.Exit(0)
	}
}

// process starts a server with kill points, until the test ends.
func process(t *testing.T, d sqltest.Database, killpoints string) string {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), serverDSN+"="+d.DSN, "WAXWING_KILLPOINTS="+killpoints)
	cmd.Stderr = os.Stderr
	in, _ := cmd.StdinPipe()
	out, _ := cmd.StdoutPipe()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		_ = cmd.Wait() // that it was killed
	})
	url, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(url)
}

// TestKilled: a process that gets SIGKILL in mid-handler, with its key claimed,
// leaves the key free; one that is killed after the commit, the response.
func TestKilled(t *testing.T) {
	each(t, func(t *testing.T, e env) {
		for i, phase := range []string{"before", "after"} {
			key := `"` + phase + `"`
			if a, err := try(process(t, e.Database, "handler-commit:"+phase+":1:kill")+"/orders", key, "a"); err == nil {
				t.Fatalf("it was not killed: %+v", a)
			}
			url := process(t, e.Database, "") + "/orders"
			var a answer
			for begin := time.Now(); ; time.Sleep(10 * time.Millisecond) {
				a = post(t, url, key, "a")
				if a.status != 409 || time.Since(begin) > 10*time.Second {
					t.Logf("%s: %d after %v", phase, a.status, time.Since(begin))
					break
				}
			}
			if a.status != 201 || a.body != "ordered a" || a.replayed() != (phase == "after") || e.effects(t) != i+1 {
				t.Errorf("killed %s the commit: %+v, %d effects", phase, a, e.effects(t))
			}
		}
	})
}
