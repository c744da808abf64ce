"""What the cases with pika share."""

import contextlib
import os
import time
import urllib.request

import pika
from runner import FULL, case, equal, fresh, run, until  # noqa: F401, from ../python

URL = os.environ["AMQP_URL"]
PERSISTENT = pika.BasicProperties(delivery_mode=2)


def parameters(**changes):
    """Where the broker is, with changes to pika's parameters."""
    result = pika.URLParameters(URL)
    for name, value in changes.items():
        setattr(result, name, value)
    return result


@contextlib.contextmanager
def connection(**changes):
    """A connection that is closed at the end, if the broker has not done it."""
    opened = pika.BlockingConnection(parameters(**changes))
    try:
        yield opened
    finally:
        if opened.is_open:
            opened.close()


@contextlib.contextmanager
def channel(confirm=True, **changes):
    """A channel of a connection of its own, in confirm mode."""
    with connection(**changes) as opened:
        result = opened.channel()
        if confirm:
            result.confirm_delivery()
        yield result


def new_queue(ch, **options):
    """Declares a queue with a fresh name, exclusive unless options say otherwise, and returns the name."""
    name = fresh("pika")
    ch.queue_declare(name, **(options or {"exclusive": True}))
    return name


def durable(ch, **arguments):
    """Declares a durable queue that the broker drops after a minute without use."""
    options = {"x-expires": 60000} if arguments.get("x_queue_type") != "stream" else {}
    options |= {name.replace("_", "-"): value for name, value in arguments.items()}
    return new_queue(ch, durable=True, arguments=options)


def new_exchange(ch, kind, **options):
    """Declares an exchange that goes with its last binding."""
    name = fresh("pika")
    ch.exchange_declare(name, kind, auto_delete=True, **options)
    return name


def put(ch, queue, *bodies, **properties):
    for body in bodies:
        ch.basic_publish("", queue, body, pika.BasicProperties(**properties), mandatory=True)


def get(ch, queue, ack=True):
    """The next message: (method, properties, body), all None if there is none."""
    return ch.basic_get(queue, auto_ack=ack)


def awaited(ch, queue):
    """The next message, which may take a moment."""
    return until("a message", lambda: (lambda m: m[0] and m)(get(ch, queue)))


def bodies(ch, queue):
    """Takes and returns the bodies of all that is ready."""
    result = []
    while (message := get(ch, queue))[0]:
        result.append(message[2])
    return result


def ready(ch, queue):
    """How many messages are ready."""
    return ch.queue_declare(queue, passive=True).method.message_count


class Taken:
    """A consumer that keeps what it gets."""

    def __init__(self, ch, queue, **options):
        self.channel, self.got = ch, []
        self.tag = ch.basic_consume(queue, lambda ch, *message: self.got.append(message), **options)

    def await_count(self, count, settle=0.0):
        """Waits for that many messages, and then whether more come."""
        connection = self.channel.connection
        end = time.monotonic() + 20
        while len(self.got) < count and time.monotonic() < end:
            connection.process_data_events(0.05)
        if settle:
            connection.process_data_events(settle)
        equal(len(self.got), count)
        return self.got

    def bodies(self):
        return [body for _, _, body in self.got]

    def ack_all(self):
        self.channel.basic_ack(self.got[-1][0].delivery_tag, multiple=True)


def closes(code, body, kind=pika.exceptions.ChannelClosedByBroker):
    """body() must end with the broker closing the channel, or the connection, with that code."""
    try:
        result = body()
    except kind as error:
        equal(error.reply_code, code)
        return error
    raise AssertionError(f"expected {code}, got {result!r}")


def closes_connection(code, body):
    return closes(code, body, pika.exceptions.ConnectionClosedByBroker)


def control(what):
    """Asks the test for what a client cannot do: kill, start."""
    urllib.request.urlopen(urllib.request.Request(f"{os.environ['CONTROL_URL']}/{what}", method="POST"), timeout=60).close()
