// Package msgtrace makes the spans of the SDK by OpenTelemetry's conventions for
// messaging, of the version that the import of semconv names, and carries W3C
// trace context in the headers of messages.
//
// The span that creates a message is its creation context: its traceparent is in
// the message's headers from then on and nobody changes it. Sending and processing
// are spans of their own that link to it.
package msgtrace

import (
	"context"
	"strconv"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/waxwing-mq/waxwing/bus"
)

// Tracer is the SDK's tracer of a provider, or of the global one if that is nil.
func Tracer(p trace.TracerProvider) trace.Tracer {
	if p == nil {
		p = otel.GetTracerProvider()
	}
	return p.Tracer("github.com/waxwing-mq/waxwing", trace.WithSchemaURL(semconv.SchemaURL))
}

var propagator = propagation.TraceContext{}

// carrier is a message's headers as a propagator sees them.
type carrier struct{ m *bus.Message }

func (c carrier) Get(key string) string { return string(c.m.Header(key)) }
func (c carrier) Set(key, value string) { c.m.SetHeader(key, []byte(value)) }
func (c carrier) Keys() (names []string) {
	for _, h := range c.m.Headers {
		names = append(names, h.Name)
	}
	return names
}

// context of a message's creation, not valid if it has none.
func created(m *bus.Message) trace.SpanContext {
	return trace.SpanContextFromContext(propagator.Extract(context.Background(), carrier{m}))
}

// Create records that a message was created: a span, whose context goes into the
// message's headers. A message that has one already keeps it.
func Create(ctx context.Context, t trace.Tracer, m *bus.Message) {
	if m.Header("traceparent") != nil {
		return
	}
	ctx, span := t.Start(ctx, "create "+m.Topic, trace.WithSpanKind(trace.SpanKindProducer), trace.WithAttributes(
		semconv.MessagingOperationTypeCreate, semconv.MessagingOperationName("create"),
		semconv.MessagingDestinationName(m.Topic), semconv.MessagingMessageID(m.ID),
	))
	propagator.Inject(ctx, carrier{m})
	span.End()
}

// Send is the span of the sending of a batch, linked to the creation of each
// message; system is "kafka" or "rabbitmq". End it with End.
func Send(ctx context.Context, t trace.Tracer, system string, msgs []bus.Message) (context.Context, trace.Span) {
	var links []trace.Link
	for i := range msgs {
		if c := created(&msgs[i]); c.IsValid() {
			links = append(links, trace.Link{SpanContext: c})
		}
	}
	attrs := []attribute.KeyValue{
		semconv.MessagingSystemKey.String(system), semconv.MessagingOperationTypeSend,
		semconv.MessagingOperationName("send"), semconv.MessagingBatchMessageCount(len(msgs)),
	}
	name := "send"
	if topic, ok := oneTopic(msgs); ok {
		name += " " + topic
		attrs = append(attrs, semconv.MessagingDestinationName(topic))
	}
	return t.Start(ctx, name, trace.WithSpanKind(trace.SpanKindClient), trace.WithLinks(links...), trace.WithAttributes(attrs...))
}

// oneTopic is the topic that all messages go to.
func oneTopic(msgs []bus.Message) (string, bool) {
	for i := range msgs {
		if msgs[i].Topic != msgs[0].Topic {
			return "", false
		}
	}
	return msgs[0].Topic, true
}

// Process is the span of the handling of a message by a consumer, linked to the
// message's creation. End it with End.
func Process(ctx context.Context, t trace.Tracer, system, consumer string, d *bus.Delivery) (context.Context, trace.Span) {
	attrs := []attribute.KeyValue{
		semconv.MessagingSystemKey.String(system), semconv.MessagingOperationTypeProcess,
		semconv.MessagingOperationName("process"), semconv.MessagingDestinationName(d.Topic),
		semconv.MessagingConsumerGroupName(consumer), semconv.MessagingMessageID(d.ID),
	}
	if p := d.Position; p != nil {
		attrs = append(attrs, semconv.MessagingDestinationPartitionID(strconv.Itoa(int(p.Partition))), semconv.MessagingKafkaOffset(int(p.Offset)))
	}
	var links []trace.Link
	if c := created(&d.Message); c.IsValid() {
		links = append(links, trace.Link{SpanContext: c})
	}
	return t.Start(ctx, "process "+d.Topic, trace.WithSpanKind(trace.SpanKindConsumer), trace.WithLinks(links...), trace.WithAttributes(attrs...))
}

// End ends a span, saying whether it failed.
func End(span trace.Span, err error) {
	if err != nil {
		span.SetAttributes(semconv.ErrorType(err))
		span.SetStatus(codes.Error, err.Error())
		span.RecordError(err)
	}
	span.End()
}
