package main

import (
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
)

// pprofServer serves Go's profiles; the zero value serves nothing.
type pprofServer struct {
	server *http.Server
	addr   string // the address bound, "" when off
}

// listen binds addr and serves in the background until stop.
func (p *pprofServer) listen(addr string, server *http.Server) error {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return fmt.Errorf("--pprof: %w", err)
	}
	p.server, p.addr = server, l.Addr().String()
	go func() { _ = server.Serve(l) }() // ends with ErrServerClosed at stop
	return nil
}

// stop closes the listener and its connections.
func (p *pprofServer) stop() {
	if p.server != nil {
		_ = p.server.Close()
	}
}

// pprofHandler serves /debug/pprof/ and nothing else.
func pprofHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	return mux
}
