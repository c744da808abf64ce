package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/waxwing-mq/waxwing/seal/directory"
)

// TestPrekeysSurviveKill9: the process is killed again and again while many take
// one-time keys and raise a mark; each key is given out once, and the mark never
// sinks.
func TestPrekeysSurviveKill9(t *testing.T) {
	dir := t.TempDir()
	var mu sync.Mutex
	given, told, next := map[uint32]int{}, uint64(0), uint32(1)
	for round := range 5 {
		ports := filepath.Join(dir, "ports.json")
		os.Remove(ports) // the one before was killed
		cmd, _ := waxwingProcess(t, "serve", "--data", filepath.Join(dir, "data"), "--file-bytes", "8MiB", "--kafka", "127.0.0.1:0", "--amqp", "", "--http", "127.0.0.1:0", "--port-file", ports)
		awaitFile(t, ports)
		var addrs listenAddrs
		text, err := os.ReadFile(ports)
		if err == nil {
			err = json.Unmarshal(text, &addrs)
		}
		if err != nil {
			t.Fatal(err)
		}
		c, err := directory.NewClient(directory.Config{URL: "http://" + addrs.HTTP, User: "guest", Password: "guest"})
		if err != nil {
			t.Fatal(err)
		}
		p := directory.Publication{RegistrationID: 1, Certificate: []byte("c"), Signed: &directory.SignedKey{ID: 1, Key: []byte("k"), Signature: []byte("s")}}
		for range 60 {
			p.OneTime = append(p.OneTime, directory.Key{ID: next, Key: []byte("k")})
			next++
		}
		if _, err := c.Publish(t.Context(), "orders", p); err != nil {
			t.Fatal(err)
		}
		if marks, err := c.Marks(t.Context(), "orders"); err != nil || marks[0] < told {
			t.Fatalf("mark %d after %d, %v", marks[0], told, err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		enough, until := make(chan struct{}), len(given)+5+5*round
		var group sync.WaitGroup
		for range 3 {
			group.Go(func() {
				for ctx.Err() == nil {
					b, err := c.Take(ctx, "orders")
					if err != nil || b.OneTime == nil {
						return
					}
					mu.Lock()
					if given[b.OneTime.ID]++; len(given) == until {
						close(enough)
					}
					mu.Unlock()
				}
			})
		}
		group.Go(func() {
			for mark := told + 1; ctx.Err() == nil; mark++ {
				marks, err := c.Raise(ctx, "orders", map[uint32]uint64{0: mark})
				if err != nil {
					return
				}
				mu.Lock()
				told = marks[0]
				mu.Unlock()
			}
		})
		select { // while the others are in the middle of it
		case <-enough:
		case <-time.After(30 * time.Second):
			t.Error("too few keys are given out")
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait()
		cancel()
		group.Wait()
		c.Close()
	}
	for id, times := range given {
		if times != 1 {
			t.Errorf("key %d was given out %d times", id, times)
		}
	}
	t.Logf("%d keys given out, mark %d", len(given), told)
}
