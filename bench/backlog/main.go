// Command backlog measures what a backlog of single messages in very many
// partitions costs: it starts the real binary, appends messages round-robin so
// that each is a batch of its own, and reports resident memory and Go heap at
// each step, the time to serve after kill -9, the time to drain one partition
// from a cold page cache, and the latency of a light load alone, while a
// checkpoint is made, and while files are rewritten because topics were
// deleted.
//
// It exits with 1 when something fails or a goal is missed.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	var opt options
	flag.Int64Var(&opt.messages, "messages", 10_000_000, "messages in all")
	flag.IntVar(&opt.partitions, "partitions", 10_000, "partitions in all")
	flag.IntVar(&opt.topics, "topics", 10, "topics that they belong to; most are deleted in the end")
	flag.IntVar(&opt.valueBytes, "value", 100, "bytes of a value")
	flag.IntVar(&opt.rate, "rate", 200, "messages per second of the light load")
	flag.DurationVar(&opt.settle, "settle", 15*time.Second, "how long to wait before memory is read")
	flag.DurationVar(&opt.steady, "steady", 45*time.Second, "how long to measure the light load before anything is deleted")
	flag.DurationVar(&opt.rewrite, "rewrite", 3*time.Minute, "how long to wait, at most, until everything is rewritten")
	flag.StringVar(&opt.heap, "heap", "", "write heap profiles to files that begin with this")
	flag.StringVar(&opt.dir, "dir", os.TempDir(), "make the work folder here")
	flag.StringVar(&opt.binary, "binary", "", "the waxwing binary (default: build it)")
	flag.BoolVar(&opt.keep, "keep", false, "keep the work folder")
	asJSON := flag.Bool("json", false, "print one JSON object")
	flag.Parse()
	if err := opt.check(); err != nil || flag.NArg() > 0 {
		fmt.Fprintln(os.Stderr, "backlog: nothing follows the flags;", err)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	report := func(what any) { fmt.Println(what) }
	if *asJSON {
		report = func(any) {}
	}
	res, err := run(ctx, opt, report)
	if err != nil {
		fmt.Fprintln(os.Stderr, "backlog:", err)
		os.Exit(1)
	}
	verdict, met := res.verdict()
	report(verdict)
	if *asJSON {
		res.Messages, res.Partitions = opt.messages, opt.partitions
		_ = json.NewEncoder(os.Stdout).Encode(res)
	}
	if !met {
		os.Exit(1)
	}
}
