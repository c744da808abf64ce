package broker_test

import (
	"context"
	"testing"

	"github.com/waxwing-mq/waxwing/internal/broker"
)

// TestTraffic: topics with traffic are listed by name up to a limit, the
// others are counted; it begins anew with each start.
func TestTraffic(t *testing.T) {
	eachShards(t, func(t *testing.T, shards int) {
		f := newFixture(t, shards)
		var size uint64
		for _, name := range []string{"c", "a", "silent", "b"} {
			f.create(name, 2, nil)
			if name == "silent" {
				continue
			}
			for i := range 2 {
				b := f.batch(-1, -1, -1, name, name)
				size = uint64(len(b))
				f.append(f.partition(name, i), b)
			}
		}
		p := f.partition("b", 0)
		f.append(p, f.batch(-1, -1, -1, "b", "b"))
		plan, err := f.Plan(context.Background(), p, 1, 4, 1<<20, true)
		if err != nil {
			t.Fatal(err)
		}
		defer plan.Close()
		p.Sent(1, &plan)
		check := func(most, leftOut int, want ...broker.Traffic) {
			t.Helper()
			got, more := f.Traffic(most)
			if len(got) != len(want) || more != leftOut {
				t.Fatalf("%+v, and %d more", got, more)
			}
			for i := range want {
				if got[i] != want[i] {
					t.Errorf("got %+v, want %+v", got[i], want[i])
				}
			}
		}
		a := broker.Traffic{Topic: "a", RecordsIn: 4, BytesIn: 2 * size}
		b := broker.Traffic{Topic: "b", RecordsIn: 6, BytesIn: 3 * size, RecordsOut: 3, BytesOut: 2 * size}
		c := broker.Traffic{Topic: "c", RecordsIn: 4, BytesIn: 2 * size}
		check(3, 0, a, b, c)
		check(2, 1, a, b)
		plan.Close()
		f.restart()
		check(3, 0)
		f.append(f.partition("c", 1), f.batch(-1, -1, -1, "c", "c"))
		check(3, 0, broker.Traffic{Topic: "c", RecordsIn: 2, BytesIn: size})
	})
}
