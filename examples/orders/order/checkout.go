package order

import (
	"context"
	"time"

	"github.com/waxwing-mq/waxwing/examples/orders/contract"
	"github.com/waxwing-mq/waxwing/examples/orders/service"
	"github.com/waxwing-mq/waxwing/saga"
)

// checkout is the saga. Its steps come one after the other. A step before ship that
// is rejected turns it back: what was done before is undone in reverse. From ship's
// success on it only goes forward.
//
// Before the pivot nothing has a timeout: a service that is down has its commands
// waiting in its queue, and an order is not cancelled because of that. From the pivot
// on a step that does not answer is asked again, without end; the services' barrier
// sees to it that it still happens once.
func checkout() *saga.Definition[contract.Payment] {
	again := []saga.StepOption{saga.Timeout(2 * time.Second), saga.Attempts(0), saga.Backoff(100*time.Millisecond, time.Second)}
	return saga.Define[contract.Payment]("checkout", 1).
		Step("accept", to(contract.OrderCommands, contract.AcceptOrder), to(contract.OrderCommands, contract.CancelOrder)).
		Step("reserve", to(contract.InventoryCommands, contract.ReserveStock), to(contract.InventoryCommands, contract.ReleaseStock)).
		Step("charge", pay(contract.ChargeCard), pay(contract.RefundCard)).
		Pivot("ship", to(contract.ShippingCommands, contract.SendParcel), again...).
		Step("confirm", to(contract.InventoryCommands, contract.ConfirmStock), nil, again...).
		Step("complete", to(contract.OrderCommands, contract.CompleteOrder), nil, again...)
}

// to is a command with the order as its body, without how it is paid.
func to(queue, command string) saga.Builder[contract.Payment] {
	return func(p contract.Payment) (saga.Command, error) {
		return saga.Command{Topic: queue, Type: command, Data: p.Order}, nil
	}
}

// pay is a command to payment, which the outbox seals.
func pay(command string) saga.Builder[contract.Payment] {
	return func(p contract.Payment) (saga.Command, error) {
		return saga.Command{Topic: contract.PaymentCommands, Type: command, Data: p}, nil
	}
}

// startEngine has the sagas carried out as long as the service runs.
func (s *Service) startEngine() error {
	s.engine = saga.NewEngine(s.DB, s.Outbox, contract.CheckoutReplies, saga.Poll(250*time.Millisecond))
	if err := s.engine.Register(s.checkout); err != nil {
		return err
	}
	replies, err := s.Replies("order.replies")
	if err != nil {
		return err
	}
	s.engine.Bind(replies)
	s.Start(func(ctx context.Context, _ service.Buses) error { return s.engine.RunTimers(ctx) })
	return nil
}
