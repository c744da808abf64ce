package inbox

import (
	"context"
	"sync"

	"github.com/waxwing-mq/waxwing/bus"
	"github.com/waxwing-mq/waxwing/sqldb"
)

// Run receives the messages of all topics that have handlers, as the group that is
// named as the consumer, until ctx ends, which is no error. It tries again what was
// put aside and removes what is past its retention. Several processes may run the
// same inbox.
func (i *Inbox[TX]) Run(ctx context.Context, sub bus.Subscriber) error {
	if len(i.handlers) == 0 {
		return errNoHandlers
	}
	if err := sqldb.Validate(ctx, i.db); err != nil {
		return err
	}
	i.system.Store(sub.System())
	i.catchUp.begin(i.now())
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() { i.retryLoop(ctx) })
	wg.Go(func() { i.cleanLoop(ctx) })
	defer wg.Wait()
	defer cancel()
	return sub.Subscribe(ctx, bus.Subscription{
		Group: i.consumer, Topics: i.topics(), Lanes: i.o.lanes, PerPartition: i.o.perPartition, Batch: i.o.batch,
	}, i.ProcessBatch)
}
