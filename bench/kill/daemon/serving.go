package daemon

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Serving waits until the broker answers ApiVersions on a new connection, and
// returns that connection and how long it took since the binary was executed.
// The port may accept connections earlier than they are served.
func (p *Process) Serving(ctx context.Context) (*Conn, time.Duration, error) {
	for {
		c, err := greet(ctx, p.cfg.Kafka)
		if err == nil {
			return c, time.Since(p.Started), nil
		}
		select {
		case <-p.done:
			return nil, 0, p.Ended()
		case <-ctx.Done():
			return nil, 0, fmt.Errorf("the broker does not serve: %w", err)
		case <-time.After(time.Millisecond):
		}
	}
}

// greet connects and waits for the answer to ApiVersions.
func greet(ctx context.Context, addr string) (*Conn, error) {
	c, err := Dial(ctx, addr)
	if err != nil {
		return nil, err
	}
	req := kmsg.NewPtrApiVersionsRequest()
	req.Version, req.ClientSoftwareName, req.ClientSoftwareVersion = 3, "waxwing-bench", "1"
	resp, err := c.Request(req)
	if err == nil {
		err = kerr.ErrorForCode(resp.(*kmsg.ApiVersionsResponse).ErrorCode)
	}
	if err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}
