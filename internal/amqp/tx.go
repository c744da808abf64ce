package amqp

import (
	"github.com/waxwing-mq/waxwing/internal/amqp/wire"
	"github.com/waxwing-mq/waxwing/internal/broker"
	"github.com/waxwing-mq/waxwing/internal/broker/queue"
)

// The class tx (90): what a channel publishes and settles is gathered until
// tx.commit, which makes all of it one entry of the log, or tx.rollback, which
// drops what was published and takes the settlements back; nothing is
// delivered again by that. Routing happens when a message is published, as in
// RabbitMQ.

// Limits of what one transaction gathers.
const (
	txItemsMax = 100_000
	txBytesMax = 8 << 20
)

// transaction is what a channel has gathered since the last commit.
type transaction struct {
	publishes []broker.Publish
	bytes     int
	settles   []settlement
	returns   []*content // mandatory ones that no queue takes
}

type settlement struct {
	kind queue.SettleKind
	held []held
}

func (t *transaction) publish(item broker.SessionItem, returned *content) error {
	t.bytes += publishBytes(item.Publish) + len(item.Publish.Batch)*max(0, len(item.Publish.Targets)-1)
	if len(t.publishes) >= txItemsMax || t.bytes > txBytesMax {
		return connectionErrf(wire.ResourceError, "a transaction of more than %d messages or %d bytes", txItemsMax, txBytesMax)
	}
	if returned != nil {
		t.returns = append(t.returns, returned)
	}
	if len(item.Publish.Targets)+len(item.Publish.Appends) > 0 {
		t.publishes = append(t.publishes, *item.Publish)
	}
	return nil
}

func (t *transaction) settle(kind queue.SettleKind, hs []held) error {
	if len(t.settles) >= txItemsMax {
		return connectionErrf(wire.ResourceError, "a transaction of more than %d acknowledgements", txItemsMax)
	}
	t.settles = append(t.settles, settlement{kind, hs})
	return nil
}

// txSelect (90.10) gives the channel transactions.
func (c *conn) txSelect(ch *channel) error {
	if ch.confirming {
		return errf(wire.PreconditionFailed, "cannot switch from confirm to tx mode")
	}
	if ch.tx == nil {
		ch.tx = &transaction{}
	}
	c.out.method(ch.number, &wire.TxSelectOk{})
	return nil
}

func errNotTransactional() error {
	return errf(wire.PreconditionFailed, "channel is not transactional")
}

// txCommit (90.20).
func (c *conn) txCommit(ch *channel) error {
	t := ch.tx
	if t == nil {
		return errNotTransactional()
	}
	ch.tx = &transaction{}
	for _, p := range t.returns {
		c.giveBack(ch, p, p.body)
	}
	if len(t.publishes)+len(t.settles) > 0 {
		commit := &broker.Commit{Publishes: t.publishes}
		for _, s := range t.settles {
			if refs := ranges(s.held); len(refs) > 0 {
				commit.Settles = append(commit.Settles, queue.Settle{Kind: s.kind, Channel: ch.id, Refs: refs})
			}
		}
		b, err := c.commit(commit)
		if err != nil {
			return brokerError(err)
		}
		if b.Items[0].Refused() {
			return errf(wire.PreconditionFailed, "partial tx completion: a queue refused a message")
		}
	}
	for _, s := range t.settles {
		giveCredit(s.held)
	}
	c.out.method(ch.number, &wire.TxCommitOk{})
	return nil
}

// commit has the broker carry out a transaction. While the disk has no room for
// it, it waits.
func (c *conn) commit(commit *broker.Commit) (*broker.SessionBatch, error) {
	for again := false; ; again = true {
		if err := c.begin(); err != nil { // what was published before goes first
			return nil, err
		}
		b := &broker.SessionBatch{Items: []broker.SessionItem{{Commit: commit}}, Again: again}
		err := c.session.SubmitWait(c.ctx, b)
		c.mu.Lock()
		c.underWay--
		c.mu.Unlock()
		if err != nil || !b.Items[0].NoRoom() {
			return b, err
		}
		if !again {
			c.block("low on disk")
			defer c.unblock()
		}
		if err := c.pollDisk(); err != nil {
			return nil, err
		}
	}
}

// txRollback (90.30).
func (c *conn) txRollback(ch *channel) error {
	t := ch.tx
	if t == nil {
		return errNotTransactional()
	}
	ch.tx = &transaction{}
	c.mu.Lock()
	for _, s := range t.settles {
		ch.held.giveBack(s.held)
	}
	c.mu.Unlock()
	c.out.method(ch.number, &wire.TxRollbackOk{})
	return nil
}
