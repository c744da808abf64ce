// Command restart measures how long the broker takes to serve after kill -9
// with much data stored: it fills the real binary with 1 KiB records, kills it
// while it is written to, starts it again, and times
//
//   - the answer to ApiVersions on a new connection,
//   - then the acknowledgement of a produce,
//   - then the fetch of an old record,
//
// each from the moment the binary is executed. After each start it checks that
// everything acknowledged is there: all high watermarks, and records at random.
//
// It exits with 1 when something fails or the goal is missed.
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
	flag.Float64Var(&opt.gb, "gb", 10, "how much to store, in 10^9 bytes")
	flag.IntVar(&opt.partitions, "partitions", 8, "partitions of the topic")
	flag.IntVar(&opt.restarts, "restarts", 3, "how often it is killed and started; the first time it is killed under load")
	flag.BoolVar(&opt.cold, "cold", false, "take the data out of the page cache before the last start (Linux)")
	flag.DurationVar(&opt.settle, "settle", 5*time.Second, "how long to wait before memory is read again")
	flag.StringVar(&opt.dir, "dir", os.TempDir(), "make the work folder here")
	flag.StringVar(&opt.binary, "binary", "", "the waxwing binary (default: build it)")
	flag.BoolVar(&opt.keep, "keep", false, "keep the work folder")
	asJSON := flag.Bool("json", false, "print one JSON object")
	flag.Parse()
	if flag.NArg() > 0 || opt.gb <= 0 || opt.partitions < 1 || opt.restarts < 1 {
		fmt.Fprintln(os.Stderr, "restart: -gb, -partitions and -restarts must be more than 0, and nothing follows the flags")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	progress := func(format string, args ...any) { fmt.Fprintf(os.Stdout, format+"\n", args...) }
	if *asJSON {
		progress = func(string, ...any) {}
	}
	res, err := run(ctx, opt, progress)
	if err != nil {
		fmt.Fprintln(os.Stderr, "restart:", err)
		os.Exit(1)
	}
	verdict, met := res.verdict()
	progress("%s", verdict)
	if *asJSON {
		_ = json.NewEncoder(os.Stdout).Encode(res)
	}
	if !met {
		os.Exit(1)
	}
}
