package broker_test

import (
	"context"
	"maps"
	"testing"
	"time"
)

// TestSettingsSurvive: what was changed while running holds after a restart,
// with and without a checkpoint; taken back, it does not.
func TestSettingsSurvive(t *testing.T) {
	eachShards(t, func(t *testing.T, shards int) {
		f := newFixture(t, shards)
		ctx := context.Background()
		id := f.create("t", 1, map[string]string{"retention.ms": "1"}).ID
		if err := f.ConfigureBroker(ctx, map[string]string{"producer.id.expiration.ms": "5", "log.retention.ms": "7000"}); err != nil {
			t.Fatal(err)
		}
		if err := f.ConfigureTopic(ctx, id, map[string]string{"max.message.bytes": "9"}); err != nil {
			t.Fatal(err)
		}
		for round := range 3 {
			st := f.Settings()
			tp, _ := f.TopicByID(id)
			if st.ProducerIDExpiration != 5*time.Millisecond || tp.Settings.RetentionTime != 7*time.Second || tp.Settings.MaxMessageBytes != 9 {
				t.Fatalf("round %d: %+v, %+v", round, st, tp.Settings)
			}
			if round == 1 {
				f.maintain()
			}
			f.restart()
		}
		if err := f.ConfigureBroker(ctx, nil); err != nil {
			t.Fatal(err)
		}
		f.restart()
		if st := f.Settings(); st.ProducerIDExpiration != 24*time.Hour || len(f.SettingOverrides()) != 0 {
			t.Fatalf("%+v", st)
		}
	})
}

// TestStoredSettingsOfAnotherVersion are no reason not to start; the others
// hold.
func TestStoredSettingsOfAnotherVersion(t *testing.T) {
	f := newFixture(t, 1)
	stored := map[string]string{"max.connections": "5", "num.partitions": "5", "no.such.setting": "x", "message.max.bytes": "-7"}
	if err := f.StoreSettings(context.Background(), stored); err != nil {
		t.Fatal(err)
	}
	f.restart()
	if st := f.Settings(); st.ConnectionsMax != 5 || st.NumPartitions != 1 || st.Topic.MaxMessageBytes != 1048588 {
		t.Fatalf("%+v", st)
	}
	if got := f.SettingOverrides(); !maps.Equal(got, map[string]string{"max.connections": "5"}) {
		t.Fatalf("%v", got)
	}
}
