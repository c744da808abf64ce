//go:build !unix

package main

import (
	"context"
	"io"
)

// whileRead cannot tell whether anybody reads w; the next write will.
func whileRead(ctx context.Context, _ io.Writer) (context.Context, context.CancelFunc) {
	return context.WithCancel(ctx)
}
