package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// listenAddrs are the addresses that serve listens on, as --port-file tells
// them; those that are off are left out.
type listenAddrs struct {
	Kafka string `json:"kafka,omitempty"`
	AMQP  string `json:"amqp,omitempty"`
	HTTP  string `json:"http,omitempty"`
	Pprof string `json:"pprof,omitempty"`
	PID   int    `json:"pid"`
}

// writePortFile writes the file at once whole, so that a reader who sees it can
// read it. An empty path writes nothing.
func writePortFile(path string, addrs listenAddrs) error {
	if path == "" {
		return nil
	}
	addrs.PID = os.Getpid()
	text, err := json.Marshal(addrs)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("--port-file: %w", err)
	}
	_, err = f.Write(append(text, '\n'))
	err = errors.Join(err, f.Chmod(0o644), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return fmt.Errorf("--port-file: %w", err)
	}
	return nil
}

// removePortFile takes away what an earlier run may have left, so that the file
// is there only while it is true.
func removePortFile(path string) error {
	if path == "" {
		return nil
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("--port-file: %w", err)
	}
	return nil
}
