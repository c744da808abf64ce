// Package contract is all that the services of the example know of each other: the
// names of topics and queues, and what messages say.
package contract

// Topics, which Kafka keeps. Who wants to know subscribes.
const (
	Orders    = "orders"    // keyed by order: order.placed, order.completed, order.cancelled
	Payments  = "payments"  // keyed by customer: payment.charged, payment.refunded
	Shipments = "shipments" // keyed by country: shipment.sent
)

// Queues, which AMQP keeps. Each has one service that works on it.
const (
	OrderCommands     = "order.commands"
	InventoryCommands = "inventory.commands"
	PaymentCommands   = "payment.commands"
	ShippingCommands  = "shipping.commands"
	CheckoutReplies   = "checkout.replies"
)

// Types of events.
const (
	OrderPlaced     = "order.placed"
	OrderCompleted  = "order.completed"
	OrderCancelled  = "order.cancelled"
	PaymentCharged  = "payment.charged"
	PaymentRefunded = "payment.refunded"
	ShipmentSent    = "shipment.sent"
)

// Types of commands. Those of a line undo each other.
const (
	AcceptOrder, CancelOrder   = "order.accept", "order.cancel"
	ReserveStock, ReleaseStock = "stock.reserve", "stock.release"
	ChargeCard, RefundCard     = "payment.charge", "payment.refund"
	SendParcel                 = "shipment.send"
	ConfirmStock               = "stock.confirm"
	CompleteOrder              = "order.complete"
)

// An Order is what a customer wants. It is also the body of all commands but those to
// payment: each service takes what it needs.
type Order struct {
	ID       string `json:"id"`
	Customer string `json:"customer"`
	SKU      string `json:"sku"`
	Quantity int64  `json:"quantity"`
	Amount   int64  `json:"amount"` // in cents
	Country  string `json:"country"`
}

// A Payment is an order with how it is paid, the body of commands to payment. It is
// sealed on its way: nobody but order and payment sees the card.
type Payment struct {
	Order
	Card string `json:"card"`
}

// An Event is the body of all events.
type Event struct {
	// Version is the event's place among those of its key.
	Version int64  `json:"version"`
	Order   string `json:"order"`
	About   string `json:"about"` // the customer, or the country
	// Amount is what moved: cents to the merchant, or pieces to the customer. It is
	// negative if they went back.
	Amount int64 `json:"amount"`
}
