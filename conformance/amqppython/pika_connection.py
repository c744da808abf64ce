"""pika: connections, channels, and the asynchronous adapter."""

import contextlib
import os
import socket
import time

import pika
from kit import (
    PERSISTENT,
    Taken,
    bodies,
    case,
    channel,
    closes,
    closes_connection,
    connection,
    durable,
    equal,
    fresh,
    new_queue,
    parameters,
    put,
    until,
)

PRODUCT = os.environ.get("PRODUCT")


@case("connection/what the broker says it is and can")
def server():
    with connection() as c:
        said = c._impl.server_properties
        if PRODUCT:
            equal(said["product"], PRODUCT)
        for name in (
            "publisher_confirms", "exchange_exchange_bindings", "basic.nack", "consumer_cancel_notify", "connection.blocked",
            "consumer_priorities", "authentication_failure_close", "per_consumer_qos", "direct_reply_to",
        ):  # fmt: skip
            equal((name, said["capabilities"][name]), (name, True))


@case("connection/tuning")
def tuning():
    with connection() as c:
        equal((c._impl.params.channel_max, c._impl.params.frame_max), (2047, 131072))
    with connection(channel_max=5, frame_max=8192, heartbeat=17) as c:
        equal((c._impl.params.channel_max, c._impl.params.frame_max, c._impl.params.heartbeat), (5, 8192, 17))
        channels = [c.channel() for _ in range(5)]
        try:
            c.channel()
            raise AssertionError("a sixth channel")
        except pika.exceptions.ConnectionClosedByBroker as error:
            equal(error.reply_code, 530)
        except pika.exceptions.NoFreeChannels:
            pass
        del channels


@case("connection/a wrong password, user, vhost")
def login():
    for credentials in (("guest", "wrong"), ("nobody", "guest")):
        try:
            pika.BlockingConnection(parameters(credentials=pika.PlainCredentials(*credentials)))
            raise AssertionError("it was let in")
        except pika.exceptions.ProbableAuthenticationError as error:
            equal("ACCESS_REFUSED" in str(error), True)
    try:
        pika.BlockingConnection(parameters(virtual_host="nowhere"))
        raise AssertionError("it was let in")
    except pika.exceptions.ProbableAccessDeniedError as error:
        equal("(530) 'NOT_ALLOWED - vhost nowhere not found'" in str(error), True)


@case("connection/a new secret")
def secret():
    with connection() as c:
        c.update_secret("guest", "rotated")
        new_queue(c.channel())


@case("connection/channels, many, and numbers used again")
def channels():
    with connection() as c:
        many = [c.channel() for _ in range(200)]
        equal(sorted(ch.channel_number for ch in many), list(range(1, 201)))
        for ch in many[::2]:
            ch.close()
        for _ in range(50):
            ch = c.channel()
            q = new_queue(ch)
            put(ch, q, b"x")
            equal(bodies(ch, q), [b"x"])
            ch.close()


@case("connection/an error closes its channel and no other")
def channel_error():
    with connection() as c:
        good, bad = c.channel(), c.channel()
        q = new_queue(good)
        error = closes(404, lambda: bad.queue_declare(fresh("none"), passive=True))
        equal(error.reply_text.startswith("NOT_FOUND - no queue 'none-"), True)
        put(good, q, b"x")
        equal(bodies(good, q), [b"x"])


@case("connection/heartbeats keep a silent connection")
def heartbeats():
    with connection(heartbeat=1) as c:
        ch = c.channel()
        q = new_queue(ch)
        c.process_data_events(4)
        put(ch, q, b"x")
        equal(bodies(ch, q), [b"x"])


@case("connection/a client without heartbeats is let go")
def no_heartbeats():
    with channel() as watcher:
        silent = pika.BlockingConnection(parameters(heartbeat=1))
        ch = silent.channel()
        q = fresh("silent")
        ch.queue_declare(q, exclusive=True)
        # Its exclusive queue is gone when the broker has noticed.
        end = time.monotonic() + 15
        while time.monotonic() < end:
            again = watcher.connection.channel()
            try:
                again.queue_declare(q, passive=True)
            except pika.exceptions.ChannelClosedByBroker as error:
                if error.reply_code == 404:
                    break
            time.sleep(0.2)
        else:
            raise AssertionError("it is still there after 15 s")
        try:
            silent.process_data_events(0.1)
            silent.channel()
            raise AssertionError("the connection still works")
        except pika.exceptions.AMQPError:
            pass


@case("connection/garbage instead of a header")
def garbage():
    host, port = parameters().host, parameters().port
    for sent in (b"GET / HT", b"AMQP\x00\x00\x08\x00"):
        with socket.create_connection((host, port), timeout=10) as s:
            s.sendall(sent)
            answer = s.recv(100)  # which protocol is spoken here
            equal((len(answer), answer[:4]), (8, b"AMQP"))
            with contextlib.suppress(ConnectionResetError):
                equal(s.recv(100), b"")


class Script:
    """Runs steps on a SelectConnection, one after the other; a step calls next when it is done."""

    def __init__(self, *steps, **changes):
        self.steps, self.result, self.failure = list(steps), [], None
        self.connection = pika.SelectConnection(
            parameters(**changes), on_open_callback=self._opened, on_close_callback=self._closed, on_open_error_callback=self._closed
        )

    def _opened(self, connection):
        connection.channel(on_open_callback=self._channel)

    def _channel(self, channel):
        self.channel = channel
        channel.add_on_close_callback(self._channel_closed)
        self.next()

    def _channel_closed(self, channel, reason):
        self.result.append(("channel closed", getattr(reason, "reply_code", None)))
        if self.connection.is_open:
            self.next()

    def _closed(self, connection, reason):
        self.failure = reason
        self.connection.ioloop.stop()

    def next(self, *_):
        if self.steps:
            self.steps.pop(0)(self)
        elif self.connection.is_open:
            self.connection.close()

    def run(self):
        self.connection.ioloop.call_later(30, self.connection.ioloop.stop)
        self.connection.ioloop.start()
        if not isinstance(self.failure, pika.exceptions.ConnectionClosed) or self.failure.reply_code != 200:
            raise AssertionError(f"ended with {self.failure!r} after {self.result}")
        return self.result


@case("async/confirms: every tag once, also those that came back")
def async_confirms():
    count, returned = 3000, []
    open_tags = set(range(1, count + 1))
    q = fresh("async")

    def answered(script, frame):
        method = frame.method
        equal(type(method).__name__, "Ack")
        tags = {tag for tag in open_tags if tag <= method.delivery_tag} if method.multiple else {method.delivery_tag}
        equal(bool(tags) and tags <= open_tags, True)
        open_tags.difference_update(tags)
        if not open_tags:
            script.next()

    def came_back(ch, method, properties, body):
        returned.append(int(body))
        equal(int(body) + 1 in open_tags, True)  # before its confirm

    def publish(script):
        script.channel.add_on_return_callback(came_back)
        script.channel.confirm_delivery(lambda frame: answered(script, frame), callback=lambda _: send(script))

    def send(script):
        for i in range(count):
            key = q if i % 100 else "nowhere"
            script.channel.basic_publish("", key, b"%d" % i, PERSISTENT, mandatory=True)

    Script(lambda s: s.channel.queue_declare(q, exclusive=True, callback=s.next), publish).run()
    equal(returned, list(range(0, count, 100)))


@case("async/deliveries, nack, cancellation")
def async_consume():
    q, got = fresh("async"), []

    def consume(script):
        def on_message(ch, method, properties, body):
            got.append((body, method.redelivered))
            if body == b"1" and not method.redelivered:
                ch.basic_nack(method.delivery_tag, requeue=True)
            else:
                ch.basic_ack(method.delivery_tag)
            if len(got) == 4:
                script.channel.queue_delete(q)

        script.channel.add_on_cancel_callback(lambda frame: script.result.append(("cancelled", frame.method.consumer_tag)) or script.next())
        script.channel.basic_qos(prefetch_count=1)
        script.channel.basic_consume(q, on_message, consumer_tag="c")
        for i in range(3):
            script.channel.basic_publish("", q, b"%d" % i)

    result = Script(lambda s: s.channel.queue_declare(q, auto_delete=True, callback=s.next), consume).run()
    equal((got, result[0]), ([(b"0", False), (b"1", False), (b"1", True), (b"2", False)], ("cancelled", "c")))


@case("async/a channel error, and the connection goes on")
def async_error():
    def again(script):
        script.connection.channel(on_open_callback=lambda ch: ch.queue_declare("", exclusive=True, callback=script.next))

    result = Script(lambda s: s.channel.queue_declare(fresh("none"), passive=True), again).run()
    equal(result[0], ("channel closed", 404))


@case("async/many channels interleave")
def interleaved():
    q, got = fresh("async"), []

    def publish(script):
        channels = []

        def opened(ch):
            channels.append(ch)
            if len(channels) == 4:
                for i in range(40):
                    channels[i % 4].basic_publish("", q, b"%d " % i + bytes(200_000))
                script.channel.basic_consume(q, on_message, auto_ack=True)

        for _ in range(4):
            script.connection.channel(on_open_callback=opened)

        def on_message(ch, method, properties, body):
            got.append(int(body.split(b" ")[0]))
            if len(got) == 40:
                script.next()

    Script(lambda s: s.channel.queue_declare(q, exclusive=True, callback=s.next), publish).run()
    equal(sorted(got), list(range(40)))
    for number in range(4):  # the order of each channel
        equal([i for i in got if i % 4 == number], list(range(number, 40, 4)))
