package demo

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"

	"github.com/waxwing-mq/waxwing/bus/amqp"
	"github.com/waxwing-mq/waxwing/bus/kafka"
	"github.com/waxwing-mq/waxwing/examples/orders/inventory"
	"github.com/waxwing-mq/waxwing/examples/orders/order"
	"github.com/waxwing-mq/waxwing/examples/orders/payment"
	"github.com/waxwing-mq/waxwing/examples/orders/service"
	"github.com/waxwing-mq/waxwing/examples/orders/shipping"
	"github.com/waxwing-mq/waxwing/internal/safeguard"
	"github.com/waxwing-mq/waxwing/sqldb"
)

// A child is what a service's process is told: the first line of its stdin.
type child struct {
	Service string // "order", "payment", "inventory" or "shipping"
	Name    string // of the process: "order/2"
	DSN     string
	Kafka   string
	AMQP    string
	HTTP    string // URL
	Keys    *keyLines
	Groups  string // what the names of consumer groups end with
	Faults  string // the file that faults are written to; empty for none
	Sent    string // the file that says what was published
	Seed    uint64
	Break   string // the safeguard to do without; empty for none
}

// ServeChild runs the service that the first line of in describes, until in ends or
// ctx does. Further lines are orders of faults. It writes the address of its HTTP
// front to out.
func ServeChild(ctx context.Context, in io.Reader, out, log io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	lines := bufio.NewScanner(in)
	var c child
	if !lines.Scan() {
		return errors.New("nobody says which service to be")
	}
	if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
		return err
	}
	slog.SetDefault(slog.New(slog.NewTextHandler(log, nil)))
	if name, ok := safeguard.Names[c.Break]; ok {
		safeguard.Remove(name)
	}
	faults, err := newFaults(&c)
	if err != nil {
		return err
	}
	return c.serve(ctx, faults, out, func() {
		defer cancel() // whoever started this process is gone
		for lines.Scan() {
			faults.order(lines.Text())
		}
	})
}

// serve runs the service, and listen beside it.
func (c *child) serve(ctx context.Context, f *faults, out io.Writer, listen func()) error {
	db, pool, err := sqldb.Open(c.DSN)
	if err != nil {
		return err
	}
	defer pool.Close()
	if db.Dialect().String() == "sqlite" {
		// SQLite writes one transaction at a time. Those of this process then wait in the
		// pool's queue, instead of asking the file again and again.
		pool.SetMaxOpenConns(1)
	}
	f.pool, f.out = pool, out
	base, front, err := c.open(ctx, db.Hooked(f))
	if err != nil {
		return err
	}
	buses, err := c.buses(f)
	if err != nil {
		return err
	}
	defer buses.Events.Close()
	defer buses.Commands.Close()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	if err := base.Publish(ctx); err != nil {
		slog.Error("prekeys are not published yet", "error", err) // it is tried again
	}
	server := &http.Server{Handler: withStatus(base, front), ReadHeaderTimeout: 5 * time.Second}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return base.Run(ctx, buses) })
	g.Go(func() error {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	g.Go(func() error {
		<-ctx.Done()
		within, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		return server.Shutdown(within)
	})
	fmt.Fprintln(out, listener.Addr())
	go listen()
	return g.Wait()
}

// open makes the service that the process is. Only the order service has a front of
// its own.
func (c *child) open(ctx context.Context, db *service.DB) (*service.Base, http.Handler, error) {
	none := http.NotFoundHandler()
	keys, err := c.Keys.keys(c.HTTP)
	if err != nil {
		return nil, nil, err
	}
	switch c.Service {
	case "order":
		s, err := order.New(ctx, db, keys)
		if err != nil {
			return nil, nil, err
		}
		return s.Base, s.Handler(), nil
	case "payment":
		s, err := payment.New(ctx, db, keys)
		if err != nil {
			return nil, nil, err
		}
		return s.Base, none, nil
	case "inventory":
		s, err := inventory.New(ctx, db)
		if err != nil {
			return nil, nil, err
		}
		return s.Base, none, nil
	case "shipping":
		s, err := shipping.New(ctx, db)
		if err != nil {
			return nil, nil, err
		}
		return s.Base, none, nil
	}
	return nil, nil, fmt.Errorf("there is no service %q", c.Service)
}

// sessionTimeout is after which a consumer that is heard of no more loses its
// partitions, and heartbeat how often one is heard of.
const (
	sessionTimeout = 2 * time.Second
	heartbeat      = 400 * time.Millisecond
)

// buses are Kafka and AMQP, with faults in between.
func (c *child) buses(f *faults) (service.Buses, error) {
	events, err := kafka.New([]string{c.Kafka}, kafka.CommitEvery(100*time.Millisecond),
		kafka.Client(kgo.SessionTimeout(sessionTimeout), kgo.RebalanceTimeout(sessionTimeout), kgo.HeartbeatInterval(heartbeat),
			kgo.RetryBackoffFn(func(int) time.Duration { return 100 * time.Millisecond })))
	if err != nil {
		return service.Buses{}, err
	}
	commands, err := amqp.New(c.AMQP)
	if err != nil {
		return service.Buses{}, err
	}
	return service.Buses{Events: faulty{events, f, c.Groups}, Commands: faulty{commands, f, c.Groups}}, nil
}

// withStatus adds GET /status to a front.
func withStatus(base *service.Base, front http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", front)
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, r *http.Request) {
		s, err := base.Status(r.Context())
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		_ = json.NewEncoder(w).Encode(s)
	})
	return mux
}
