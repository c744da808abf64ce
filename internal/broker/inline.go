package broker

import (
	"context"

	"github.com/waxwing-mq/waxwing/internal/engine"
)

// The methods of this file drive a broker that was opened with Config.Inline.

// Decide carries out what has been submitted and lets timers fire. Nothing is
// durable or answered before Flush.
func (b *Broker) Decide() {
	for _, s := range b.shards {
		s.decideInline()
	}
}

// Flush makes what was decided durable, publishes it and sends the replies.
func (b *Broker) Flush() error {
	for _, s := range b.shards {
		if err := s.j.Flush(); err != nil {
			b.stopFailed(err)
			return err
		}
	}
	return nil
}

// Maintain does all background work that is due, or, with force, whatever
// can be done: indexes, checkpoints, retention, rewriting, trimming.
func (b *Broker) Maintain(ctx context.Context, force bool) error {
	for _, s := range b.shards {
		if err := s.maintain.step(ctx, force); err != nil {
			return err
		}
	}
	return nil
}

func (s *shard) decideInline() {
	var batch [2][]command
	s.inbox.take(&batch)
	s.decideAll(&batch)
	s.fireTimers()
}

// State is the encoded state of shard i, and the slot whose entries are the
// last in it once everything decided is flushed; slot 0 after the log has
// failed. For comparing replay with live.
func (b *Broker) State(i int) (engine.SlotNo, []byte) {
	s := b.shards[i]
	if s.j.Err() != nil {
		return 0, nil
	}
	return s.j.Next(), s.d.Snapshot(nil)
}

// Recovered is what State was when recovery had ended, before anything new.
func (b *Broker) Recovered(i int) (engine.SlotNo, []byte) {
	s := b.shards[i]
	return s.recoveredSlot, s.recoveredState
}

// Abandon lets go of a broker whose engine has crashed, without writing.
func (b *Broker) Abandon() {
	for _, s := range b.shards {
		s.inbox.close()
		s.index.Close()
		s.eng.Release()
	}
}

// JournalFiles lists the journal files of shard i.
func (b *Broker) JournalFiles(i int) []engine.FileInfo { return b.shards[i].eng.Files() }
