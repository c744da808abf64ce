// Command kill proves that the real binary keeps its promises when it is
// killed with kill -9 at any moment: under load, while it starts, and soon
// after. Clients that retry go on across the kills; after each round it checks
//
//   - that every acknowledged or consumed record stands at the offset that was
//     told, with the bytes that were sent;
//   - that no record of an idempotent producer is doubled, and that the records
//     of each producer and partition are in order, without a gap;
//   - that offsets are dense and high watermarks never go back;
//   - that a committed offset is one that can have been the last (neither
//     behind an acknowledged commit nor ahead of what was asked for) and lies
//     within the partition;
//   - that created topics are there and deleted ones are not;
//   - in rounds that write much, that a checkpoint comes when it is due.
//
// Half of the rounds run with one shard, half with three.
//
// kill -9 loses what the process holds, not what the kernel holds: that
// everything is synced is proved by the simulation.
//
// It prints a line per round, and exits with 1 and keeps the broker's folder
// when a promise is broken.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	var opt options
	flag.IntVar(&opt.rounds, "rounds", 50, "how many rounds")
	flag.IntVar(&opt.partitions, "partitions", 8, "partitions of the topic")
	flag.IntVar(&opt.shards, "shards", 0, "shards of the broker; 0: half of the rounds with one, half with three")
	flag.Uint64Var(&opt.seed, "seed", 0, "seed of the moments and of the load; 0 picks one")
	flag.Int64Var(&opt.fileBytes, "file-bytes", 8<<20, "size of the broker's journal files; small ones are closed and rewritten often")
	flag.StringVar(&opt.dir, "dir", os.TempDir(), "make the work folder here")
	flag.StringVar(&opt.binary, "binary", "", "the waxwing binary (default: build it)")
	flag.BoolVar(&opt.keep, "keep", false, "keep the work folder")
	asJSON := flag.Bool("json", false, "print JSON, one object per line")
	flag.Parse()
	if flag.NArg() > 0 || opt.rounds < 1 || opt.partitions < 1 || opt.shards < 0 {
		fmt.Fprintln(os.Stderr, "kill: -rounds and -partitions must be at least 1, -shards at least 0, and nothing follows the flags")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := alternate(ctx, opt, reporter(os.Stdout, *asJSON)); err != nil {
		fmt.Fprintln(os.Stderr, "kill:", err)
		os.Exit(1)
	}
}
