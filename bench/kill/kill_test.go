package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/waxwing-mq/waxwing/internal/sample"
)

// TestKill kills the real binary, with one shard and with three.
func TestKill(t *testing.T) {
	for shards, rounds := range map[int]int{1: sample.Of(2, 3), 3: 1} {
		t.Run(fmt.Sprintf("shards=%d", shards), func(t *testing.T) { testKill(t, shards, rounds) })
	}
}

func testKill(t *testing.T, shards, rounds int) {
	var out strings.Builder
	opt := options{rounds: rounds, partitions: 4, shards: shards, fileBytes: 8 << 20, dir: t.TempDir()}
	if err := run(t.Context(), opt, reporter(&out, true)); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	var sum summary
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &sum); err != nil {
		t.Fatal(err)
	}
	if len(lines) != opt.rounds+1 || sum.Shards != shards || sum.Acked == 0 || sum.Commits == 0 || sum.Stored < sum.Acked {
		t.Fatalf("nothing was proved:\n%s", out.String())
	}
}
