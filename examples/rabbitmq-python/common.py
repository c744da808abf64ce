"""What the examples share: a connection, and consuming until Ctrl-C."""

import os
import signal

import pika

URL = os.environ.get("AMQP_URL", "amqp://guest:guest@127.0.0.1:5672/")

PERSISTENT = pika.BasicProperties(delivery_mode=pika.DeliveryMode.Persistent)


def connect():
    """A connection to the broker that AMQP_URL names."""
    return pika.BlockingConnection(pika.URLParameters(URL))


def say(*words):
    """Prints a line at once, also into a pipe."""
    print(*words, flush=True)


def consume(channel):
    """Delivers to the channel's consumers until Ctrl-C or SIGTERM, then closes the connection.

    A message that is being handled is finished first.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    say("waiting for messages; Ctrl-C ends")
    try:
        channel.start_consuming()
    except KeyboardInterrupt:
        channel.stop_consuming()
    channel.connection.close()
