"""pika, for the tests of what both protocols do together.

    python amqp.py declare STREAM            a stream queue, which is a topic
    python amqp.py publish STREAM            what publish() says
    python amqp.py bind QUEUE PATTERN        binds a durable queue to waxwing.topics
    python amqp.py work QUEUE [N]            takes, prints and acknowledges (only the first N), until Ctrl-C
    python amqp.py read STREAM START         prints a stream from a place on, until Ctrl-C

Messages are printed as a line of JSON each.
"""

import json
import os
import sys

import pika

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "examples", "rabbitmq-python"))
from common import connect, consume, say  # noqa: E402

STREAM = {"x-queue-type": "stream"}


def declare(channel, stream):
    channel.queue_declare(stream, durable=True, arguments=STREAM)


def publish(channel, stream):
    """Four messages: bare; with everything; by an exchange; with a key of its own."""
    channel.queue_bind(stream, "amq.topic", "order.#")
    channel.basic_publish("", stream, b"bare", mandatory=True)
    everything = pika.BasicProperties(
        content_type="application/json", content_encoding="identity", delivery_mode=2, priority=7, correlation_id="c", reply_to="r",
        expiration="60000", message_id="m", timestamp=1700000000, type="t", user_id="guest", app_id="a",
        headers={"text": "wörter", "int": -7, "yes": True, "none": None, "list": [1, "two"], "table": {"deep": 1}},
    )  # fmt: skip
    channel.basic_publish("", stream, b"everything", everything, mandatory=True)
    channel.basic_publish("amq.topic", "order.paid", b"by an exchange", mandatory=True)
    channel.basic_publish("", stream, b"own key", pika.BasicProperties(headers={"kafka-key": "mine"}), mandatory=True)


def bind(channel, queue, pattern):
    channel.queue_declare(queue, durable=True)
    channel.queue_bind(queue, "waxwing.topics", pattern)


def show(channel, method, properties, body, acknowledge=True):
    carried = {name: value for name, value in vars(properties).items() if value is not None and name != "headers"}
    headers = {name: value if not isinstance(value, bytes) else value.hex() for name, value in (properties.headers or {}).items()}
    say(json.dumps({
        "body": body.decode(), "exchange": method.exchange, "routing_key": method.routing_key,
        "redelivered": method.redelivered, "properties": carried, "headers": headers,
    }))  # fmt: skip
    if acknowledge:
        channel.basic_ack(method.delivery_tag)


def work(channel, queue, acknowledged="inf"):
    def take(channel, method, properties, body):
        show(channel, method, properties, body, method.delivery_tag <= float(acknowledged))

    channel.basic_qos(prefetch_count=10)
    channel.basic_consume(queue, take)
    consume(channel)


def read(channel, stream, start):
    channel.basic_qos(prefetch_count=10)
    channel.basic_consume(stream, show, arguments={"x-stream-offset": int(start) if start.isdigit() else start})
    consume(channel)


channel = connect().channel()
channel.confirm_delivery()
{"declare": declare, "publish": publish, "bind": bind, "work": work, "read": read}[sys.argv[1]](channel, *sys.argv[2:])
