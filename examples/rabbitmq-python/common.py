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

    def end(*_):
        channel.connection.add_callback_threadsafe(channel.stop_consuming)

    signal.signal(signal.SIGINT, end)
    signal.signal(signal.SIGTERM, end)
    say("waiting for messages; Ctrl-C ends")
    channel.start_consuming()
    channel.connection.close()
