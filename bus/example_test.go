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
