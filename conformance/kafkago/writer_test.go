package kafkago

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/waxwing-mq/waxwing/conformance/harness"
)

func numbered(count int) []kafka.Message {
	messages := make([]kafka.Message, count)
	for i := range messages {
		messages[i].Value = fmt.Appendf(nil, "%d", i)
	}
	return messages
}

func wantNumbers(t *testing.T, got []kafka.Message, first int) {
	t.Helper()
	for i, m := range got {
		if string(m.Value) != fmt.Sprint(first+i) || m.Offset != int64(first+i) {
			t.Fatalf("message %d is %q at offset %d, want %d", i, m.Value, m.Offset, first+i)
		}
	}
}

func (s *suite) acks(t *testing.T) {
	for _, acks := range []kafka.RequiredAcks{kafka.RequireNone, kafka.RequireOne, kafka.RequireAll} {
		topic := s.topic(t, 1)
		w := s.writer(topic)
		w.RequiredAcks = acks
		write(t, w, numbered(200)...)
		wantNumbers(t, s.readAll(t, topic, 200), 0)
	}
}

func (s *suite) compression(t *testing.T) {
	for name, codec := range map[string]kafka.Compression{"gzip": kafka.Gzip, "snappy": kafka.Snappy, "lz4": kafka.Lz4, "zstd": kafka.Zstd} {
		topic := s.topic(t, 1)
		w := s.writer(topic)
		w.Compression = codec
		messages := numbered(300)
		for i := range messages {
			messages[i].Key = []byte(strings.Repeat("the waxwing passes the berry on ", 8))
		}
		write(t, w, messages...)
		wantNumbers(t, s.readAll(t, topic, 300), 0)
		harness.WantCodec(t, s.broker, topic, name)
	}
}

func (s *suite) shapes(t *testing.T) {
	topic := s.topic(t, 1)
	stamp := time.UnixMilli(1600000000123)
	write(t, s.writer(topic),
		kafka.Message{Key: []byte("k"), Value: []byte("v"), Headers: []kafka.Header{{Key: "a", Value: []byte("1")}, {Key: "a", Value: []byte{0, 1}}}},
		kafka.Message{Key: []byte("gone")},
		kafka.Message{Value: []byte("timed"), Time: stamp},
	)
	got := s.readAll(t, topic, 3)
	if len(got[0].Headers) != 2 || string(got[0].Headers[0].Value) != "1" || !bytes.Equal(got[0].Headers[1].Value, []byte{0, 1}) {
		t.Errorf("headers came back as %v", got[0].Headers)
	}
	if string(got[1].Key) != "gone" || len(got[1].Value) != 0 {
		t.Errorf("the tombstone came back as %q: %q", got[1].Key, got[1].Value)
	}
	if !got[2].Time.Equal(stamp) {
		t.Errorf("time came back as %v", got[2].Time)
	}
}

func (s *suite) balancers(t *testing.T) {
	for _, balancer := range []kafka.Balancer{&kafka.Hash{}, kafka.CRC32Balancer{}, kafka.Murmur2Balancer{}} {
		topic := s.topic(t, 4)
		messages := numbered(80)
		for i := range messages {
			messages[i].Key = fmt.Appendf(nil, "%d", i%20)
		}
		w := s.writer(topic)
		w.Balancer = balancer
		write(t, w, messages...)
		homes := map[string]map[int]bool{}
		for _, m := range take(t, s.reader(t, kafka.ReaderConfig{GroupTopics: []string{topic}, GroupID: harness.Fresh("kgo-group"), StartOffset: kafka.FirstOffset}), 80) {
			if homes[string(m.Key)] == nil {
				homes[string(m.Key)] = map[int]bool{}
			}
			homes[string(m.Key)][m.Partition] = true
		}
		for key, home := range homes {
			if len(home) != 1 {
				t.Errorf("key %s is in %d partitions", key, len(home))
			}
		}
	}
}

func (s *suite) autoCreation(t *testing.T) {
	topic := harness.Fresh("kgo-auto")
	w := s.writer(topic)
	w.AllowAutoTopicCreation = true
	harness.Until(t, "a topic created on first use", func() bool {
		return w.WriteMessages(harness.Context(t), numbered(1)...) == nil
	})
	harness.Must(t, w.Close())
	wantNumbers(t, s.readAll(t, topic, 1), 0)
}

func (s *suite) writerErrors(t *testing.T) {
	w := s.writer(harness.Fresh("kgo-none"))
	w.MaxAttempts = 1
	if err := w.WriteMessages(harness.Context(t), numbered(1)...); !errors.Is(err, kafka.UnknownTopicOrPartition) {
		t.Errorf("writing to an unknown topic: %v", err)
	}
	w = s.writer(s.topic(t, 1, kafka.ConfigEntry{ConfigName: "max.message.bytes", ConfigValue: "5000"}))
	w.MaxAttempts = 1
	err := w.WriteMessages(harness.Context(t), kafka.Message{Value: make([]byte, 6000)})
	var each kafka.WriteErrors
	if !errors.As(err, &each) || !errors.Is(each[0], kafka.MessageSizeTooLarge) {
		t.Errorf("writing too large a message: %v", err)
	}
	harness.Must(t, w.WriteMessages(harness.Context(t), numbered(1)...))
}
