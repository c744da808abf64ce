package kafkago

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/waxwing-mq/waxwing/conformance/harness"
)

func (s *suite) readerOffsets(t *testing.T) {
	topic := s.topic(t, 1)
	base := time.Now().Add(-time.Hour).Truncate(time.Millisecond)
	for i, m := range numbered(20) {
		m.Time = base.Add(time.Duration(i) * time.Second)
		w := s.writer(topic)
		write(t, w, m)
	}
	r := s.reader(t, kafka.ReaderConfig{Topic: topic, MaxBytes: 10e6})
	wantNumbers(t, take(t, r, 20), 0)
	harness.Must(t, r.SetOffset(15))
	wantNumbers(t, take(t, r, 5), 15)
	harness.Must(t, r.SetOffsetAt(harness.Context(t), base.Add(6500*time.Millisecond)))
	wantNumbers(t, take(t, r, 13), 7)
	harness.Must(t, r.SetOffset(kafka.FirstOffset))
	wantNumbers(t, take(t, r, 1), 0)
	if lag, err := r.ReadLag(harness.Context(t)); err != nil || lag != 19 {
		t.Errorf("lag is %d, %v", lag, err)
	}
	harness.Must(t, r.SetOffset(kafka.LastOffset))
	time.AfterFunc(300*time.Millisecond, func() {
		w := s.writer(topic)
		w.WriteMessages(t.Context(), kafka.Message{Value: []byte("20")})
		w.Close()
	})
	wantNumbers(t, take(t, r, 1), 20)
}

func (s *suite) readerGroup(t *testing.T) {
	topic, group := s.topic(t, 1), harness.Fresh("kgo-group")
	write(t, s.writer(topic), numbered(10)...)
	config := kafka.ReaderConfig{Topic: topic, GroupID: group, StartOffset: kafka.FirstOffset}
	r := s.reader(t, config)
	for i := range 10 {
		m, err := r.FetchMessage(harness.Context(t))
		harness.Must(t, err)
		if i == 5 {
			harness.Must(t, r.CommitMessages(harness.Context(t), m))
		}
	}
	harness.Must(t, r.Close())
	wantNumbers(t, take(t, s.reader(t, config), 4), 6)
}

// readerRebalances lets a second reader join and the first one leave.
func (s *suite) readerRebalances(t *testing.T) {
	topic := s.topic(t, 4)
	config := kafka.ReaderConfig{GroupTopics: []string{topic}, GroupID: harness.Fresh("kgo-group"), StartOffset: kafka.FirstOffset}
	var mu sync.Mutex
	seen := map[string]map[string]bool{"first": {}, "second": {}}
	follow := func(name string, r *kafka.Reader) {
		for {
			m, err := r.ReadMessage(t.Context())
			if err != nil {
				return
			}
			mu.Lock()
			seen[name][fmt.Sprint(m.Partition, ":", m.Offset)] = true
			mu.Unlock()
		}
	}
	count := func(names ...string) int {
		mu.Lock()
		defer mu.Unlock()
		all := map[string]bool{}
		for _, name := range names {
			for place := range seen[name] {
				all[place] = true
			}
		}
		return len(all)
	}
	w := s.writer(topic)
	w.Balancer = &kafka.RoundRobin{}
	first := s.reader(t, config)
	go follow("first", first)
	harness.Must(t, w.WriteMessages(harness.Context(t), numbered(40)...))
	harness.Until(t, "the first sees all", func() bool { return count("first") == 40 })
	go follow("second", s.reader(t, config))
	sent := 40
	harness.Until(t, "the second sees some", func() bool {
		harness.Must(t, w.WriteMessages(harness.Context(t), numbered(8)...))
		sent += 8
		return count("second") > 0
	})
	harness.Until(t, "both see all", func() bool { return count("first", "second") == sent })
	harness.Must(t, first.Close())
	before := count("second")
	harness.Must(t, w.WriteMessages(harness.Context(t), numbered(40)...))
	harness.Until(t, "the second sees what comes after the first left", func() bool {
		return count("first", "second") == sent+40 && count("second") >= before+40
	})
}
