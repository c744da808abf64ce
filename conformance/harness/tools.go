package harness

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

// Full says whether the whole suites run instead of the sample.
func Full() bool { return os.Getenv("WAXWING_FULL") == "1" }

// Pick returns full when the whole suites run, else sample.
func Pick(sample, full int) int {
	if Full() {
		return full
	}
	return sample
}

// Shards are the numbers of shards with which a suite runs: one, and when the
// whole suites run three too, unless the broker is not ours.
func Shards() []int {
	if Full() && os.Getenv("WAXWING_CONFORMANCE_BOOTSTRAP") == "" {
		return []int{1, 3}
	}
	return []int{1}
}

// EachShards runs run as a subtest against a broker for each of Shards.
func EachShards(t *testing.T, run func(*testing.T, *Broker)) {
	for _, n := range Shards() {
		t.Run(fmt.Sprintf("shards=%d", n), func(t *testing.T) {
			run(t, StartBroker(t, "--shards", fmt.Sprint(n)))
		})
	}
}

// Root is the folder of the repository.
func Root() (string, error) {
	_, file, _, ok := runtime.Caller(0)
	if !ok {
		return "", fmt.Errorf("the place of the test sources is unknown")
	}
	return filepath.Abs(filepath.Join(filepath.Dir(file), "..", ".."))
}

// Tool returns the path of something that scripts/install-tools.sh keeps in
// its cache, and fails t if it is not there.
func Tool(t *testing.T, parts ...string) string {
	t.Helper()
	cache := os.Getenv("WAXWING_CACHE")
	if cache == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			t.Fatal(err)
		}
		cache = filepath.Join(home, ".cache", "waxwing")
	}
	path := filepath.Join(append([]string{cache}, parts...)...)
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%v: run scripts/install-tools.sh", err)
	}
	return path
}
