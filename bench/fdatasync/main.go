//go:build linux

// Command fdatasync measures the device alone: it writes blocks of one size
// to a file that was filled with zeros before, syncs each with fdatasync, and
// prints the latency distribution of write plus sync. It is the yardstick
// that produce latencies are compared with.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"slices"
	"syscall"
	"time"
)

// result is printed as one JSON object; times are in milliseconds.
type result struct {
	Bytes   int     `json:"bytes"`
	Count   int     `json:"count"`
	P50     float64 `json:"p50_ms"`
	P99     float64 `json:"p99_ms"`
	P999    float64 `json:"p999_ms"`
	Max     float64 `json:"max_ms"`
	MBPerS  float64 `json:"mb_per_s"`
	Seconds float64 `json:"seconds"`
}

const fileBytes = 128 << 20

func main() {
	dir := flag.String("dir", ".", "folder on the device to measure")
	size := flag.Int("bytes", 64<<10, "bytes per write")
	seconds := flag.Float64("seconds", 5, "how long to write")
	rate := flag.Float64("rate", 0, "writes per second, 0 for as many as go")
	flag.Parse()
	if *size < 1 || *size > fileBytes {
		fail(fmt.Errorf("-bytes must lie between 1 and %d", fileBytes))
	}
	f, err := zeroFilled(*dir)
	fail(err)
	took, elapsed, err := measure(f, *size, time.Duration(*seconds*float64(time.Second)), *rate)
	os.Remove(f.Name())
	fail(err)
	fail(json.NewEncoder(os.Stdout).Encode(summarise(*size, took, elapsed)))
}

// zeroFilled creates a file of fileBytes zeros that are on the device.
func zeroFilled(dir string) (*os.File, error) {
	f, err := os.CreateTemp(dir, "fdatasync-*")
	if err != nil {
		return nil, err
	}
	zeros := make([]byte, 1<<20)
	for range fileBytes / len(zeros) {
		if _, err := f.Write(zeros); err != nil {
			os.Remove(f.Name())
			return nil, err
		}
	}
	return f, f.Sync()
}

// measure writes and syncs until the time is up and returns how long each took.
func measure(f *os.File, size int, total time.Duration, rate float64) ([]time.Duration, time.Duration, error) {
	block := make([]byte, size)
	for i := range block {
		block[i] = byte(i * 7)
	}
	var took []time.Duration
	var off int64
	start := time.Now()
	for time.Since(start) < total {
		if rate > 0 {
			time.Sleep(time.Until(start.Add(time.Duration(float64(len(took)) / rate * float64(time.Second)))))
		}
		if off+int64(size) > fileBytes {
			off = 0
		}
		t := time.Now()
		if _, err := f.WriteAt(block, off); err != nil {
			return nil, 0, err
		}
		if err := syscall.Fdatasync(int(f.Fd())); err != nil {
			return nil, 0, err
		}
		took = append(took, time.Since(t))
		off += int64(size)
	}
	return took, time.Since(start), nil
}

func summarise(size int, took []time.Duration, elapsed time.Duration) result {
	slices.Sort(took)
	at := func(q float64) float64 {
		return float64(took[min(len(took)-1, int(q*float64(len(took))))].Microseconds()) / 1000
	}
	return result{
		Bytes: size, Count: len(took), Seconds: elapsed.Seconds(),
		P50: at(0.50), P99: at(0.99), P999: at(0.999), Max: at(1),
		MBPerS: float64(size) * float64(len(took)) / elapsed.Seconds() / 1e6,
	}
}

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "fdatasync:", err)
		os.Exit(1)
	}
}
