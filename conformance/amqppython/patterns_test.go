package amqppython

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/waxwing-mq/waxwing/conformance/amqptest"
	"github.com/waxwing-mq/waxwing/conformance/harness"
)

const waiting = "waiting for messages; Ctrl-C ends"

// examples runs the programs of examples/rabbitmq-python against a broker.
type examples struct {
	dir, python string
	env         []string
}

func (e examples) run(t *testing.T, args ...string) *amqptest.Program {
	t.Helper()
	args[0] += ".py"
	return amqptest.Run(t, e.dir, e.env, append([]string{e.python, "-B"}, args...)...)
}

// waits runs a program that waits for messages, and waits until it does.
func (e examples) waits(t *testing.T, args ...string) *amqptest.Program {
	t.Helper()
	p := e.run(t, args...)
	p.Await(waiting)
	return p
}

// TestPatterns runs each example against the real binary and checks what it
// prints.
func TestPatterns(t *testing.T) {
	t.Parallel()
	root, err := harness.Root()
	harness.Must(t, err)
	e := examples{
		dir:    filepath.Join(root, "examples", "rabbitmq-python"),
		python: harness.Tool(t, "amqppython", "bin", "python"),
		env:    amqptest.Env(amqptest.Start(t, "waxwing")),
	}
	for name, test := range map[string]func(*testing.T, examples){
		"work queue": workQueue, "publish and subscribe": publishSubscribe, "routing": routing, "topics": topics,
		"rpc": rpc, "publisher confirms": publisherConfirms, "retry and dead letters": retry, "priorities": priorities,
		"competing consumers": competingConsumers, "idempotent receiver": idempotentReceiver, "streams": streams,
		"order flow": orderFlow,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, e)
		})
	}
}

// workQueue: tasks are done in order; what a killed worker had begun, another
// does, and nothing else.
func workQueue(t *testing.T, e examples) {
	amqptest.Equal(t, e.run(t, "work_queue_send", "one.", "two").Wait(), "sent one.", "sent two")
	first := e.waits(t, "work_queue_worker")
	first.Await("done two")
	amqptest.Equal(t, e.run(t, "work_queue_send", "long"+strings.Repeat(".", 600), "three", "four").Wait()[1:], "sent three", "sent four")
	first.Await("received long" + strings.Repeat(".", 600))
	first.Kill()
	amqptest.Equal(t, first.Lines(), waiting, "received one.", "done one.", "received two", "done two", "received long"+strings.Repeat(".", 600))

	second := e.waits(t, "work_queue_worker")
	second.Await("again long" + strings.Repeat(".", 600))
	third := e.waits(t, "work_queue_worker")
	third.Await("done four")
	amqptest.Equal(t, third.Interrupt(), waiting, "received three", "done three", "received four", "done four")
}

// publishSubscribe: every subscriber gets everything that is published while it
// is there.
func publishSubscribe(t *testing.T, e examples) {
	early := e.waits(t, "pubsub_subscribe")
	e.run(t, "pubsub_publish", "one").Wait()
	late := e.waits(t, "pubsub_subscribe")
	amqptest.Equal(t, e.run(t, "pubsub_publish", "two", "three").Wait(), "published two", "published three")
	early.Await("three")
	late.Await("three")
	amqptest.Equal(t, early.Interrupt(), waiting, "one", "two", "three")
	amqptest.Equal(t, late.Interrupt(), waiting, "two", "three")
}

func routing(t *testing.T, e examples) {
	all := e.waits(t, "routing_subscribe", "info", "error")
	errors := e.waits(t, "routing_subscribe", "error")
	for _, args := range [][]string{{"info", "started"}, {"debug", "for nobody"}, {"error", "on fire", "burnt"}} {
		e.run(t, append([]string{"routing_publish"}, args...)...).Wait()
	}
	all.Await("error: burnt")
	errors.Await("error: burnt")
	amqptest.Equal(t, all.Interrupt(), waiting, "info: started", "error: on fire", "error: burnt")
	amqptest.Equal(t, errors.Interrupt(), waiting, "error: on fire", "error: burnt")
}

func topics(t *testing.T, e examples) {
	europe := e.waits(t, "topics_subscribe", "eu.#", "eu.order.*")
	paid := e.waits(t, "topics_subscribe", "*.order.paid")
	for _, key := range []string{"eu.order.placed", "us.order.placed", "us.order.paid", "eu.order.paid", "eu", "order.paid", "eu.a.b.c", "us.order.paid"} {
		e.run(t, "topics_publish", key, "x").Wait()
	}
	europe.Await("eu.a.b.c: x")
	paid.AwaitCount(4)
	amqptest.Equal(t, europe.Interrupt(), waiting, "eu.order.placed: x", "eu.order.paid: x", "eu: x", "eu.a.b.c: x")
	amqptest.Equal(t, paid.Interrupt(), waiting, "us.order.paid: x", "eu.order.paid: x", "us.order.paid: x")
}

func rpc(t *testing.T, e examples) {
	server := e.waits(t, "rpc_server")
	amqptest.Equal(t, e.run(t, "rpc_client", "10", "0", "90").Wait(), "fibonacci(10) = 55", "fibonacci(0) = 0", "fibonacci(90) = 2880067194370816120")
	amqptest.Equal(t, server.Interrupt(), waiting, "fibonacci(10)", "fibonacci(0)", "fibonacci(90)")
}

func publisherConfirms(t *testing.T, e examples) {
	amqptest.Equal(t, e.run(t, "publisher_confirms", "5000").Wait(),
		"one by one: 500 confirmed",
		"came back: 'lost?', NO_ROUTE",
		"refused: the queue is full",
		"streaming: 5000 confirmed",
	)
}

func retry(t *testing.T, e examples) {
	worker := e.waits(t, "retry_worker")
	e.run(t, "retry_send", "flaky", "broken", "good").Wait()
	worker.Await("broken: attempt 3 failed, given up")
	worker.Await("flaky: done at attempt 3")
	amqptest.Equal(t, worker.Interrupt(), waiting,
		"flaky: attempt 1 failed, again in 300 ms",
		"broken: attempt 1 failed, again in 300 ms",
		"good: done at attempt 1",
		"flaky: attempt 2 failed, again in 300 ms",
		"broken: attempt 2 failed, again in 300 ms",
		"flaky: done at attempt 3",
		"broken: attempt 3 failed, given up",
	)
}

func priorities(t *testing.T, e examples) {
	amqptest.Equal(t, e.run(t, "priorities").Wait()[5:],
		"received with priority 9: alarm",
		"received with priority 5: invoice",
		"received with priority 5: reminder",
		"received with priority 0: newsletter",
		"received with priority 0: second newsletter",
	)
}

func competingConsumers(t *testing.T, e examples) {
	amqptest.Equal(t, e.run(t, "competing_consumers", "4", "200").Wait(),
		"sent 200 tasks",
		"200 tasks done by 4 workers, 200 times in all",
		"0 left",
	)
}

// idempotentReceiver: a payment that is sent twice is applied once, and so is one
// whose receiver died between applying and acknowledging it.
func idempotentReceiver(t *testing.T, e examples) {
	database := filepath.Join(t.TempDir(), "inbox.db")
	e.run(t, "idempotent_send", "p1=100", "p2=50", "p1=100").Wait()
	crashed := e.run(t, "idempotent_receiver", database, "--crash-before-ack")
	if code := crashed.WaitCode(); code != 1 {
		t.Fatalf("exit code %d", code)
	}
	amqptest.Equal(t, crashed.Lines(), waiting, "p1: applied, balance 100")
	again := e.waits(t, "idempotent_receiver", database)
	e.run(t, "idempotent_send", "p3=-20").Wait()
	again.Await("p3: applied, balance 130")
	amqptest.Equal(t, again.Interrupt(), waiting,
		"p1: was applied before, balance 100",
		"p2: applied, balance 150",
		"p1: was applied before, balance 150",
		"p3: applied, balance 130",
	)
}

func streams(t *testing.T, e examples) {
	amqptest.Equal(t, e.run(t, "stream_publish", "a", "b", "c").Wait(), "appended a", "appended b", "appended c")
	next := e.waits(t, "stream_read", "next")
	e.run(t, "stream_publish", "d").Wait()
	next.Await("3: d")
	amqptest.Equal(t, next.Interrupt(), waiting, "3: d")
	for start, want := range map[string][]string{
		"first": {"0: a", "1: b", "2: c", "3: d"},
		"2":     {"2: c", "3: d"},
		"last":  {"3: d"},
		"1h":    {"0: a", "1: b", "2: c", "3: d"},
	} {
		reader := e.waits(t, "stream_read", start)
		reader.Await("3: d")
		amqptest.Equal(t, reader.Interrupt(), append([]string{waiting}, want...)...)
	}
}

// orderFlow: the events of each order come in their order. Services that are not
// there yet find their events waiting.
func orderFlow(t *testing.T, e examples) {
	place := e.run(t, "order_flow_place", "book=20", "piano=900", "yacht=5000", "lamp=40")
	payment := e.waits(t, "order_flow_payment")
	payment.Await("order 4: took 40")
	payment.Kill() // what it had committed is done; the rest waits for the next one
	shipping := e.waits(t, "order_flow_shipping")
	refunding := e.waits(t, "order_flow_payment")

	events := map[string][]string{}
	for _, line := range place.Wait() {
		order, event, _ := strings.Cut(line, ": ")
		events[order] = append(events[order], event)
	}
	for number, want := range []string{
		"order.placed payment.taken shipping.done complete",
		"order.placed payment.taken shipping.failed payment.refunded cancelled",
		"order.placed payment.declined cancelled",
		"order.placed payment.taken shipping.done complete",
	} {
		if got := strings.Join(events[fmt.Sprint("order ", number+1)], " "); got != want {
			t.Errorf("order %d: %s, want %s", number+1, got, want)
		}
	}
	amqptest.Equal(t, shipping.Interrupt(), waiting, "order 1: shipped a book", "order 2: cannot ship a piano", "order 4: shipped a lamp")
	if got := refunding.Interrupt(); !slices.Contains(got, "order 2: refunded 900") {
		t.Errorf("the second payment service printed %q", got)
	}
}
