package main

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestHistogram compares percentiles with those of the sorted values.
func TestHistogram(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOfN(rapid.Int64Range(0, histogramMax), 1, 300).Draw(t, "values")
		h := new(histogram)
		for _, v := range values {
			h.record(time.Duration(v))
		}
		c := &counts{}
		c.add(h)
		slices.Sort(values)
		if c.total != uint64(len(values)) || c.max != values[len(values)-1] {
			t.Fatalf("total %d, max %d", c.total, c.max)
		}
		for _, q := range []float64{0, 0.5, 0.9, 0.99, 0.999, 1} {
			exact := values[max(int(math.Ceil(q*float64(len(values)))), 1)-1]
			got := int64(c.quantile(q))
			if got < exact || float64(got-exact) > float64(exact)/128 {
				t.Fatalf("quantile %v: got %d, want %d", q, got, exact)
			}
		}
	})
}

// TestHistogramBuckets: the buckets cover every value once, in order.
func TestHistogramBuckets(t *testing.T) {
	for b := range histogramBuckets {
		upper := histogramUpper(b)
		if got := histogramBucket(upper); got != b {
			t.Fatalf("the upper end %d of bucket %d is in bucket %d", upper, b, got)
		}
		if b+1 < histogramBuckets && histogramBucket(upper+1) != b+1 {
			t.Fatalf("%d is not in bucket %d", upper+1, b+1)
		}
	}
	if histogramUpper(histogramBuckets-1) != histogramMax {
		t.Fatalf("the last bucket ends at %d", histogramUpper(histogramBuckets-1))
	}
}

// TestHistogramSince: the difference of two copies holds what came between.
func TestHistogramSince(t *testing.T) {
	h := new(histogram)
	h.record(time.Second)
	before := &counts{}
	before.add(h)
	h.record(time.Millisecond)
	h.record(-time.Millisecond)
	after := &counts{}
	after.add(h)
	window := after.since(before)
	if window.total != 2 || time.Duration(window.max) > 1010*time.Microsecond || window.mean() != time.Millisecond/2 {
		t.Fatalf("total %d, max %d, mean %v", window.total, window.max, window.mean())
	}
	if empty := after.since(after); empty.quantile(0.99) != 0 || empty.mean() != 0 {
		t.Fatal("an empty window has values")
	}
}

// TestLedger compares the set with a map, filled from several goroutines.
func TestLedger(t *testing.T) {
	var mine, theirs ledger
	want := map[uint64]bool{}
	rng := rand.New(rand.NewPCG(1, 2))
	var numbers []uint64
	for range 5000 {
		n := rng.Uint64N(ledgerPage * 3)
		numbers = append(numbers, n)
		want[n] = true
	}
	numbers = append(numbers, ledgerMax-1)
	want[ledgerMax-1] = true

	var fresh [4]int
	var wg sync.WaitGroup
	for g := range fresh {
		wg.Go(func() {
			for _, n := range numbers {
				if mine.add(n) {
					fresh[g]++
				}
			}
		})
	}
	wg.Wait()
	if total := fresh[0] + fresh[1] + fresh[2] + fresh[3]; total != len(want) {
		t.Fatalf("%d numbers were new, want %d", total, len(want))
	}
	missing := int64(len(want))
	for n := range want {
		if rng.IntN(2) == 0 {
			theirs.add(n)
			missing--
		}
	}
	if got := mine.missing(&theirs); got != missing {
		t.Fatalf("%d are missing, want %d", got, missing)
	}
	if got := theirs.missing(&mine); got != 0 {
		t.Fatalf("%d are missing from the larger set", got)
	}
}

func TestStamp(t *testing.T) {
	value := newPayload(100, rand.New(rand.NewPCG(1, 1)))
	stamp(value, 7, 5*time.Second, 3, 1<<35)
	due, producer, sequence, ok := readStamp(value, 7)
	if !ok || due != 5*time.Second || producer != 3 || sequence != 1<<35 {
		t.Fatalf("got %v %d %d %v", due, producer, sequence, ok)
	}
	if _, _, _, ok := readStamp(value, 8); ok {
		t.Error("another run's record was taken")
	}
	short := make([]byte, stampBytes-1)
	stamp(short, 7, 0, 0, 0)
	if _, _, _, ok := readStamp(short, 0); ok {
		t.Error("a short record was taken")
	}
}

// TestPacer: records are due at the rate, in ticks, and never early.
func TestPacer(t *testing.T) {
	tests := []struct {
		rate float64
		n    uint64
		want time.Duration
	}{
		{20000, 0, time.Second},
		{20000, 4, time.Second},
		{20000, 5, time.Second + 250*time.Microsecond},
		{20000, 20000, 2 * time.Second},
		{0.5, 1, 3 * time.Second},
		{1e6, 1e6, 2 * time.Second},
	}
	for _, tt := range tests {
		p := pacer{perSecond: tt.rate, start: time.Second}
		if got := p.due(tt.n); got != tt.want {
			t.Errorf("record %d at %v/s is due at %v, want %v", tt.n, tt.rate, got, tt.want)
		}
	}
	p := pacer{perSecond: 1000, base: time.Now()}
	for n := range uint64(20) {
		if due := p.wait(t.Context(), n); time.Since(p.base) < due {
			t.Fatalf("record %d was early", n)
		}
	}
}

// TestBenchReportsLoss: what was acknowledged and not read is lost, and makes
// the run fail.
func TestBenchReportsLoss(t *testing.T) {
	run := newBenchRun(&benchKafka{producers: 1}, nil)
	producer := &benchProducer{run: run}
	run.producers = []*benchProducer{producer}
	pass := &benchPass{run: run, ledgers: make([]ledger, 1)}
	for n := range uint64(10) {
		producer.ledger.add(n)
		if n != 4 {
			pass.ledgers[0].add(n)
		}
	}
	result := &benchResult{Idempotent: true}
	result.addPasses(pass, nil)
	if result.Lost != 1 || result.verdict() == nil || result.verdict().Error() != "1 acknowledged record lost" {
		t.Fatalf("lost %d, verdict %v", result.Lost, result.verdict())
	}
	pass.ledgers[0].add(4)
	pass.duplicates.Store(2)
	again := &benchResult{Idempotent: true}
	again.addPasses(pass, nil)
	if again.Lost != 0 || again.verdict() == nil {
		t.Fatalf("duplicates were no failure: lost %d, verdict %v", again.Lost, again.verdict())
	}
	if clean := (&benchResult{Duplicated: 2}).verdict(); clean != nil {
		t.Fatalf("without idempotence duplicates may be: %v", clean)
	}
}

// TestBenchResultJSON: the field names are what scripts rely on, and each says
// what it is named after.
func TestBenchResultJSON(t *testing.T) {
	h := new(histogram)
	for ms := range 1000 {
		h.record(time.Duration(ms+1) * time.Millisecond)
	}
	c := &counts{}
	c.add(h)
	latency := newLatencyResult(c)
	text, err := json.Marshal(benchResult{
		Produce:  produceResult{readResult: newReadResult(10, 1000, 2*time.Second), Latency: latency, ScheduleLag: &latency},
		Requests: requestResult{RoundTrip: latency}, EndToEnd: &latency, Consume: &readResult{},
	})
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Produce struct {
			Records, Bytes, Seconds, RecordsPerSecond, BytesPerSecond float64
			LatencyFrom                                               *string
			Latency, ScheduleLag                                      map[string]float64
		}
		Requests                 struct{ RoundTrip map[string]float64 }
		EndToEndLatency          map[string]float64
		Consume                  map[string]float64
		Lost, Failed, Duplicated *float64
	}
	if err := json.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	p := doc.Produce
	if p.Records != 10 || p.Bytes != 1000 || p.Seconds != 2 || p.RecordsPerSecond != 5 || p.BytesPerSecond != 500 || p.LatencyFrom == nil {
		t.Errorf("produce is %+v in %s", p, text)
	}
	if doc.Lost == nil || doc.Failed == nil || doc.Duplicated == nil || len(doc.Consume) != 5 {
		t.Errorf("a field is missing in %s", text)
	}
	for name, got := range map[string]map[string]float64{
		"latency": p.Latency, "scheduleLag": p.ScheduleLag, "roundTrip": doc.Requests.RoundTrip, "endToEndLatency": doc.EndToEndLatency,
	} {
		want := map[string]float64{"count": 1000, "meanMs": 500.5, "p50Ms": 500, "p99Ms": 990, "p999Ms": 999, "maxMs": 1000}
		for field, exact := range want {
			if has, ok := got[field]; !ok || math.Abs(has-exact) > exact/100 {
				t.Errorf("%s.%s is %v, want %v", name, field, has, exact)
			}
		}
		if got["p999Ms"] <= got["p99Ms"] || len(got) != len(want) || math.Abs(got["maxMs"]-1000) > 0.001 {
			t.Errorf("%s is %v", name, got)
		}
	}
}

// BenchmarkBenchRecord is what the client adds to each record: the stamp, the
// histogram and the ledger. It must stay far below what a broker costs.
func BenchmarkBenchRecord(b *testing.B) {
	value := newPayload(1024, rand.New(rand.NewPCG(1, 1)))
	h, l := new(histogram), new(ledger)
	b.ReportAllocs()
	for n := uint64(0); b.Loop(); n++ {
		stamp(value, 1, time.Duration(n), 0, n)
		h.record(time.Duration(n))
		l.add(n % ledgerMax)
	}
}

// writeFile writes a file for a test.
func writeFile(t interface{ Fatal(...any) }, path, text string) {
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
