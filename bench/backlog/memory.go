package main

import (
	"context"
	"io"
	"net/http"
	"os"
)

// memory is what the process holds at one moment, in bytes.
type memory struct {
	Resident  int64 `json:"resident"`
	Peak      int64 `json:"peak"`       // most resident so far
	HeapInUse int64 `json:"heap_inuse"` // of Go, with what the next collection frees
	HeapAlloc int64 `json:"heap_alloc"`
	Disk      int64 `json:"disk"`
}

func (m *measurement) memory(ctx context.Context) (mem memory, err error) {
	if mem.Resident, err = m.broker.ResidentBytes(); err != nil {
		return mem, err
	}
	if mem.Peak, err = m.broker.PeakResidentBytes(); err != nil {
		return mem, err
	}
	metrics, err := m.broker.Metrics(ctx)
	if err != nil {
		return mem, err
	}
	mem.HeapInUse = int64(metrics["go_memstats_heap_inuse_bytes"])
	mem.HeapAlloc = int64(metrics["go_memstats_heap_alloc_bytes"])
	mem.Disk, err = m.diskBytes()
	return mem, err
}

// profile writes the broker's heap profile to a file, after a collection.
func (m *measurement) profile(ctx context.Context, path string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+m.cfg.Pprof+"/debug/pprof/heap?gc=1", nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	return os.WriteFile(path, body, 0o644)
}
