package bus_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/waxwing-mq/waxwing/bus"
)

func ExampleMessage_Header() {
	m := bus.Message{Topic: "orders", Headers: []bus.Header{{Name: "tenant", Value: []byte("a")}, {Name: "tenant", Value: []byte("b")}}}
	fmt.Printf("%s %v\n", m.Header("tenant"), m.Header("region") == nil)
	// Output: b true
}

func ExampleMessage_SetHeader() {
	m := bus.Message{Topic: "orders", Headers: []bus.Header{{Name: "tenant", Value: []byte("a")}, {Name: "region", Value: []byte("eu")}}}
	m.SetHeader("tenant", []byte("b"))
	for _, h := range m.Headers {
		fmt.Printf("%s=%s\n", h.Name, h.Value)
	}
	// Output:
	// region=eu
	// tenant=b
}

// Publish tells of each message of a batch what has become of it.
func ExampleFailed() {
	refused := errors.New("too large")
	var err error = &bus.PublishError{Errs: []error{nil, refused}} // as a publisher returns it
	for i := range 2 {
		fmt.Println(i, bus.Failed(err, i))
	}
	fmt.Println(err)
	fmt.Println(errors.Is(err, refused))
	// Output:
	// 0 <nil>
	// 1 too large
	// bus: 1 of 2 messages were not published: too large
	// true
}

// A handler that is given several at once does them in one go.
func ExampleHandler() {
	var store bus.Handler = func(ctx context.Context, ds []*bus.Delivery) (done int, err error) {
		fmt.Println("one transaction for", len(ds))
		return len(ds), nil // if it fails it returns 0, and each comes again, alone
	}
	waiting := []*bus.Delivery{{Message: bus.Message{ID: "1"}}, {Message: bus.Message{ID: "2"}}}
	fmt.Println(store(context.Background(), waiting)) // as a subscriber does
	// Output:
	// one transaction for 2
	// 2 <nil>
}

func ExampleEach() {
	h := bus.Each(func(ctx context.Context, d *bus.Delivery) error {
		if d.ID == "2" {
			return errors.New("not now")
		}
		fmt.Println("handled", d.ID)
		return nil
	})
	waiting := []*bus.Delivery{{Message: bus.Message{ID: "1"}}, {Message: bus.Message{ID: "2"}}, {Message: bus.Message{ID: "3"}}}
	fmt.Println(h(context.Background(), waiting))
	// Output:
	// handled 1
	// 1 not now
}

func ExamplePosition() {
	fmt.Println(&bus.Position{Topic: "orders", Partition: 3, Offset: 17})
	// Output: orders/3/17
}

// One outbox, whose events go to topics of Kafka and whose commands go to queues.
func ExampleRoute() {
	var events, commands []string
	kafka, amqp := &refuser{got: &events}, &refuser{got: &commands} // buses of bus/kafka and bus/amqp
	to := bus.Route("kafka", func(topic string) bus.Publisher {
		if topic == "payments" {
			return amqp
		}
		return kafka
	})
	err := to.Publish(context.Background(), []bus.Message{{Topic: "orders", ID: "placed"}, {Topic: "payments", ID: "charge"}})
	fmt.Println(events, commands, err)
	// Output: [placed] [charge] <nil>
}
