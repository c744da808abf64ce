"""An event-driven order flow: what its three programs share.

    order.placed ──► payment ──► payment.taken ──► shipping ──► shipping.done
                        │                             │
                        └► payment.declined           └► shipping.failed
                                                            │
                     payment.refunded ◄── payment ◄─────────┘

No program calls another: each takes events from a queue of its own and
publishes what it did. What fails late is undone by an event of its own.
"""

import json

import pika

EXCHANGE = "orders"


def open_queue(connection, queue, *keys):
    """A channel in transaction mode, with a durable queue for the events of some keys."""
    channel = connection.channel()
    channel.exchange_declare(EXCHANGE, "topic", durable=True)
    channel.queue_declare(queue, durable=True)
    for key in keys:
        channel.queue_bind(queue, EXCHANGE, key)
    channel.basic_qos(prefetch_count=20)
    channel.tx_select()
    return channel


def publish(channel, key, order):
    """Publishes an event; it counts once the transaction is committed."""
    properties = pika.BasicProperties(content_type="application/json", delivery_mode=pika.DeliveryMode.Persistent)
    channel.basic_publish(EXCHANGE, key, json.dumps(order).encode(), properties)


def handle(channel, queue, handler):
    """Calls handler(key, order) for each event. It returns the key of the event that follows.

    The acknowledgement and the event that follows are one transaction: neither
    happens without the other.
    """

    def on_message(channel, method, properties, body):
        order = json.loads(body)
        publish(channel, handler(method.routing_key, order), order)
        channel.basic_ack(method.delivery_tag)
        channel.tx_commit()

    channel.basic_consume(queue, on_message)
