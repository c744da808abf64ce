package amqptest

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/waxwing-mq/waxwing/conformance/harness"
	"github.com/waxwing-mq/waxwing/internal/amqp"
	"github.com/waxwing-mq/waxwing/internal/broker"
	"github.com/waxwing-mq/waxwing/internal/engine/mem"
	"github.com/waxwing-mq/waxwing/internal/listen"
)

// StartOnSmallDisk starts a broker in this process, on a disk in memory that can
// be full, until t ends. It returns the variable CONTROL_URL for a program: POST
// /fill takes what is free of the disk away, POST /free gives it back.
func StartOnSmallDisk(t *testing.T) (b *harness.Broker, control string) {
	t.Helper()
	disk := mem.New(mem.Options{FileBytes: 8 << 20})
	eng, err := disk.Engine()
	harness.Must(t, err)
	br, err := broker.Open(context.Background(), broker.Config{Engine: eng})
	harness.Must(t, err)
	server := amqp.New(amqp.Config{Broker: br, Version: "test"})
	br.SetProtocol(server)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	harness.Must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		listen.Serve(ctx, ln, listen.Limits{}, server.ServeConn)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
		if err := br.Close(); err != nil {
			t.Error(err)
		}
		if err := eng.Close(); err != nil {
			t.Error(err)
		}
	})
	mux := http.NewServeMux()
	mux.HandleFunc("POST /fill", func(http.ResponseWriter, *http.Request) { disk.SetFree(0) })
	mux.HandleFunc("POST /free", func(http.ResponseWriter, *http.Request) { disk.SetFree(-1) })
	web := httptest.NewServer(mux)
	t.Cleanup(web.Close)
	return &harness.Broker{AMQP: ln.Addr().String()}, "CONTROL_URL=" + web.URL
}
