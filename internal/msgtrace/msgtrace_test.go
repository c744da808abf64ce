package msgtrace_test

import (
	"context"
	"errors"
	"maps"
	"regexp"
	"testing"

	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/waxwing-mq/waxwing/bus"
	"github.com/waxwing-mq/waxwing/internal/msgtrace"
)

// record is a tracer, and the spans that it has ended so far.
func record(t *testing.T) (trace.Tracer, func() tracetest.SpanStubs) {
	t.Helper()
	spans := tracetest.NewInMemoryExporter()
	p := sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans))
	t.Cleanup(func() {
		if err := p.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return msgtrace.Tracer(p), spans.GetSpans
}

// attributes are a span's, as text.
func attributes(s tracetest.SpanStub) map[string]string {
	out := map[string]string{}
	for _, a := range s.Attributes {
		out[string(a.Key)] = a.Value.String()
	}
	return out
}

// expect compares what docs/observability.md says of a span with the span.
func expect(t *testing.T, s tracetest.SpanStub, name string, kind trace.SpanKind, links []trace.SpanContext, attrs map[string]string) {
	t.Helper()
	if s.Name != name || s.SpanKind != kind {
		t.Errorf("the span is %q, %v; want %q, %v", s.Name, s.SpanKind, name, kind)
	}
	if got := attributes(s); !maps.Equal(got, attrs) {
		t.Errorf("%s has %v\nwant %v", name, got, attrs)
	}
	if len(s.Links) != len(links) {
		t.Fatalf("%s has %d links, want %d", name, len(s.Links), len(links))
	}
	for i, want := range links {
		got := s.Links[i].SpanContext
		if got.TraceID() != want.TraceID() || got.SpanID() != want.SpanID() {
			t.Errorf("%s: link %d is to %v of %v, want %v of %v", name, i, got.SpanID(), got.TraceID(), want.SpanID(), want.TraceID())
		}
	}
	if s.InstrumentationScope.SchemaURL != "https://opentelemetry.io/schemas/1.43.0" {
		t.Errorf("%s follows %s", name, s.InstrumentationScope.SchemaURL)
	}
}

var traceparent = regexp.MustCompile("^00-[0-9a-f]{32}-[0-9a-f]{16}-01$")

// TestWayOfAMessage: creating, sending and processing are three spans; the later two
// link to the first, whose traceparent nobody changes.
func TestWayOfAMessage(t *testing.T) {
	tracer, spans := record(t)
	m := bus.Message{Topic: "orders", Key: "o1", ID: "event-1"}
	request, business := tracer.Start(t.Context(), "POST /orders")
	msgtrace.Create(request, tracer, &m)
	business.End()
	header := string(m.Header("traceparent"))
	if !traceparent.MatchString(header) {
		t.Fatalf("the traceparent is %q", header)
	}

	_, span := msgtrace.Send(t.Context(), tracer, "kafka", []bus.Message{m})
	msgtrace.End(span, nil)

	d := bus.Delivery{Message: m, Position: &bus.Position{Topic: "orders", Partition: 3, Offset: 17}}
	handling, span := msgtrace.Process(t.Context(), tracer, "kafka", "billing", &d)
	next := bus.Message{Topic: "invoices", ID: "event-2"}
	msgtrace.Create(handling, tracer, &next) // what the handler publishes
	msgtrace.End(span, nil)

	if got := string(d.Header("traceparent")); got != header {
		t.Errorf("the traceparent was %q and is %q", header, got)
	}
	all := spans()
	if len(all) != 5 {
		t.Fatalf("there are %d spans: %v", len(all), all)
	}
	create, send, createNext, process := all[0], all[2], all[3], all[4]
	link := []trace.SpanContext{create.SpanContext}
	expect(t, create, "create orders", trace.SpanKindProducer, nil, map[string]string{
		"messaging.operation.type": "create", "messaging.operation.name": "create",
		"messaging.destination.name": "orders", "messaging.message.id": "event-1",
	})
	expect(t, send, "send orders", trace.SpanKindClient, link, map[string]string{
		"messaging.system": "kafka", "messaging.operation.type": "send", "messaging.operation.name": "send",
		"messaging.destination.name": "orders", "messaging.batch.message_count": "1",
	})
	expect(t, process, "process orders", trace.SpanKindConsumer, link, map[string]string{
		"messaging.system": "kafka", "messaging.operation.type": "process", "messaging.operation.name": "process",
		"messaging.destination.name": "orders", "messaging.consumer.group.name": "billing",
		"messaging.message.id": "event-1", "messaging.destination.partition.id": "3", "messaging.kafka.offset": "17",
	})
	if want := "00-" + create.SpanContext.TraceID().String() + "-" + create.SpanContext.SpanID().String() + "-01"; header != want {
		t.Errorf("the traceparent is %s, that of the creation is %s", header, want)
	}
	if create.Parent.SpanID() != business.SpanContext().SpanID() {
		t.Error("the creation is no child of the caller's span")
	}
	if createNext.Parent.SpanID() != process.SpanContext.SpanID() {
		t.Error("what a handler publishes is no child of its span")
	}
	for _, s := range []tracetest.SpanStub{send, process} {
		if s.Parent.IsValid() {
			t.Errorf("%s has a parent", s.Name)
		}
	}
}

// TestSendOfABatch: a link for each message that has a creation context, and a
// destination only if it is that of all.
func TestSendOfABatch(t *testing.T) {
	tracer, spans := record(t)
	msgs := []bus.Message{{Topic: "orders", ID: "1"}, {Topic: "orders", ID: "2"}, {Topic: "invoices", ID: "3"}}
	msgtrace.Create(t.Context(), tracer, &msgs[0])
	msgtrace.Create(t.Context(), tracer, &msgs[2])
	refused := errors.New("the broker is gone")
	_, span := msgtrace.Send(t.Context(), tracer, "rabbitmq", msgs)
	msgtrace.End(span, refused)

	all := spans()
	send := all[2]
	expect(t, send, "send", trace.SpanKindClient, []trace.SpanContext{all[0].SpanContext, all[1].SpanContext}, map[string]string{
		"messaging.system": "rabbitmq", "messaging.operation.type": "send", "messaging.operation.name": "send",
		"messaging.batch.message_count": "3", "error.type": "*errors.errorString",
	})
	if send.Status.Code != codes.Error || send.Status.Description != refused.Error() {
		t.Errorf("the status is %+v", send.Status)
	}
	if len(send.Events) != 1 || send.Events[0].Name != "exception" {
		t.Errorf("the events are %+v", send.Events)
	}
}

// TestForeignContext: a message that has a traceparent keeps it; without one,
// processing has no link.
func TestForeignContext(t *testing.T) {
	tracer, spans := record(t)
	const header = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	m := bus.Message{Topic: "orders", Headers: []bus.Header{{Name: "traceparent", Value: []byte(header)}, {Name: "tracestate", Value: []byte("congo=t61")}}}
	msgtrace.Create(t.Context(), tracer, &m)
	if got := string(m.Header("traceparent")); got != header || len(spans()) != 0 {
		t.Errorf("the traceparent is now %q, there are %d spans", got, len(spans()))
	}
	for _, d := range []*bus.Delivery{{Message: m}, {Message: bus.Message{Topic: "orders"}}} {
		_, span := msgtrace.Process(t.Context(), tracer, "rabbitmq", "billing", d)
		msgtrace.End(span, nil)
	}
	with, without := spans()[0], spans()[1]
	if len(with.Links) != 1 || with.Links[0].SpanContext.SpanID().String() != "b7ad6b7169203331" || with.Links[0].SpanContext.TraceState().String() != "congo=t61" {
		t.Errorf("the links are %+v", with.Links)
	}
	if len(without.Links) != 0 {
		t.Errorf("without a traceparent the links are %+v", without.Links)
	}
}
