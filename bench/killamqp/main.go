// Command killamqp proves that the real binary keeps its promises to AMQP
// clients when it is killed with kill -9 at any moment under confirmed
// publishing and acknowledging. Publishers send numbered messages to a fanout
// exchange that leads to a classic and a quorum queue; a consumer of each
// acknowledges most of them, gives some back, rejects some and leaves some. It checks
//
//   - that every confirmed message comes out of both queues, and none comes
//     that was not sent;
//   - that a message whose acknowledgement was followed by an answered method
//     on its channel never comes back, and any that comes again says that it
//     is redelivered;
//   - that the messages of each publisher come in order when they come first;
//   - that the delivery count of a quorum queue counts what was given back, and
//     no crash;
//   - that a message that was rejected comes again, or is a dead letter, once,
//     and never both.
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
	flag.IntVar(&opt.publishers, "publishers", 3, "how many publishers")
	flag.Uint64Var(&opt.seed, "seed", 0, "seed of the moments and of the load; 0 picks one")
	flag.StringVar(&opt.dir, "dir", os.TempDir(), "make the work folder here")
	flag.StringVar(&opt.binary, "binary", "", "the waxwing binary (default: build it)")
	flag.BoolVar(&opt.keep, "keep", false, "keep the work folder")
	flag.Parse()
	if flag.NArg() > 0 || opt.rounds < 1 || opt.publishers < 1 {
		fmt.Fprintln(os.Stderr, "killamqp: -rounds and -publishers must be at least 1, and nothing follows the flags")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, opt, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "killamqp:", err)
		os.Exit(1)
	}
}
