//go:build unix

package main

import (
	"context"
	"errors"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// whileRead returns a context that ends when w is a pipe and nobody reads it any
// more, which a write would notice only with the next record.
func whileRead(ctx context.Context, w io.Writer) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	file, ok := w.(*os.File)
	if !ok || !isPipe(file) {
		return ctx, func() { cancel(nil) }
	}
	go func() {
		const pause = 200 * time.Millisecond // also how long the end of ctx goes unseen
		for ctx.Err() == nil {
			// No event is asked for: an error is told anyway.
			fds := []unix.PollFd{{Fd: int32(file.Fd())}}
			n, err := unix.Poll(fds, int(pause.Milliseconds()))
			if err == nil && n > 0 && fds[0].Revents&(unix.POLLERR|unix.POLLHUP) != 0 {
				cancel(errNotRead)
				return
			}
			if err != nil && !errors.Is(err, unix.EINTR) {
				return
			}
		}
	}()
	return ctx, func() { cancel(nil) }
}

func isPipe(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeNamedPipe != 0
}
