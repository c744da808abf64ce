package broker

import "testing"

// TestRefusedElsewhereStays: a message that a stream in another shard did not
// take is refused, also when it is handed in again because the session's own
// shard had no room: what goes elsewhere goes there once.
func TestRefusedElsewhereStays(t *testing.T) {
	p := &Publish{away: true, elsewhere: 1}
	commit := &Commit{Publishes: []Publish{{}, *p}}
	for what, it := range map[string]SessionItem{"publish": {Publish: p}, "commit": {Commit: commit}} {
		if !it.Refused() {
			t.Errorf("%s: confirmed", what)
		}
	}
	if it := (SessionItem{Publish: &Publish{away: true}}); it.Refused() {
		t.Error("refused without a reason")
	}
}
