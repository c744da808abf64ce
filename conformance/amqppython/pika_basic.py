"""pika: publishing, getting, settling, what messages carry."""

import datetime
import decimal
import time

import pika
from kit import (
    FULL,
    Taken,
    awaited,
    bodies,
    case,
    channel,
    closes,
    closes_connection,
    connection,
    durable,
    equal,
    fresh,
    get,
    new_exchange,
    new_queue,
    put,
    ready,
    until,
)


@case("basic/get, ack, and what is left")
def get_ack():
    with channel() as ch:
        q = new_queue(ch)
        put(ch, q, b"a", b"b", b"c")
        first, properties, body = get(ch, q, ack=False)
        equal((first.delivery_tag, first.redelivered, first.exchange, first.routing_key, first.message_count), (1, False, "", q, 2))
        equal((properties.headers, body), (None, b"a"))
        ch.basic_ack(1)
        equal(bodies(ch, q), [b"b", b"c"])
        equal(get(ch, q), (None, None, None))


@case("basic/what is not settled comes back, in its place, redelivered")
def comes_back():
    with channel() as keeper:
        q = durable(keeper)
        put(keeper, q, b"0", b"1", b"2")
        with channel() as ch:
            for _ in range(3):
                get(ch, q, ack=False)
            ch.basic_ack(2)
        until("it came back", lambda: ready(keeper, q) == 2)
        again = [get(keeper, q), get(keeper, q)]
        equal([(m.redelivered, body) for m, _, body in again], [(True, b"0"), (True, b"2")])
        keeper.queue_delete(q)


@case("basic/nack and reject: requeued to its place, or gone")
def nack():
    with channel() as ch:
        q = new_queue(ch)
        put(ch, q, *(b"%d" % i for i in range(6)))
        for _ in range(6):
            get(ch, q, ack=False)
        ch.basic_nack(3, multiple=True, requeue=True)
        ch.basic_reject(4, requeue=True)
        ch.basic_nack(5, requeue=False)
        ch.basic_reject(6, requeue=False)
        equal(bodies(ch, q), [b"0", b"1", b"2", b"3"])
        ch.basic_ack(0, multiple=True)  # all that there is: nothing


@case("basic/ack of many, and of all")
def ack_many():
    with channel() as ch:
        q = durable(ch)
        put(ch, q, *(b"%d" % i for i in range(10)))
        other = ch.connection.channel()
        for _ in range(10):
            get(other, q, ack=False)
        other.basic_ack(4, multiple=True)
        other.basic_ack(7)
        other.close()
        until("the rest came back", lambda: ready(ch, q) == 5)
        third = ch.connection.channel()
        for _ in range(5):
            get(third, q, ack=False)
        third.basic_ack(0, multiple=True)
        third.close()
        equal(ready(ch, q), 0)
        ch.queue_delete(q)


@case("basic/settling twice closes the channel")
def settle_twice():
    with channel() as ch:
        q = new_queue(ch)
        put(ch, q, b"x")
        get(ch, q, ack=False)
        ch.basic_ack(1)
        ch.basic_ack(1)
        closes(406, lambda: ready(ch, q))
        again = ch.connection.channel()  # others live on
        again.queue_declare(q, passive=True)


@case("basic/recover")
def recover():
    with channel() as ch:
        q = new_queue(ch)
        put(ch, q, b"a", b"b")
        taken = Taken(ch, q)
        taken.await_count(2)
        ch.basic_recover(requeue=True)
        taken.await_count(4)
        equal([(m.redelivered, body) for m, _, body in taken.got[2:]], [(True, b"a"), (True, b"b")])
        taken.ack_all()


@case("basic/what comes back says why and whence")
def returned():
    with channel() as ch:
        exchange = new_exchange(ch, "direct")
        ch.queue_bind(new_queue(ch), exchange, "somewhere")
        try:
            ch.basic_publish(exchange, "nowhere", b"body", pika.BasicProperties(message_id="m", headers={"h": 1}), mandatory=True)
            raise AssertionError("it did not come back")
        except pika.exceptions.UnroutableError as error:
            (message,) = error.messages
        equal((message.method.reply_code, message.method.exchange, message.method.routing_key), (312, exchange, "nowhere"))
        equal((message.properties.message_id, message.properties.headers, message.body), ("m", {"h": 1}, b"body"))
        ch.basic_publish(exchange, "nowhere", b"who cares")  # confirmed all the same


@case("basic/a refused message")
def refused():
    with channel() as ch:
        q = new_queue(ch, exclusive=True, arguments={"x-max-length": 2, "x-overflow": "reject-publish"})
        put(ch, q, b"1", b"2")
        try:
            put(ch, q, b"3")
            raise AssertionError("it was taken")
        except pika.exceptions.NackError:
            pass
        equal(bodies(ch, q), [b"1", b"2"])
        put(ch, q, b"4")


@case("basic/bodies of all sizes, across frames")
def sizes():
    with channel() as ch:
        q = new_queue(ch)
        frame = 131072 - 8
        for size in [0, 1, frame - 1, frame, frame + 1, 2 * frame, 2 * frame + 1, 1 << 20, (16 if FULL else 5) << 20]:
            body = bytes(i * 7 % 251 for i in range(997)) * (size // 997 + 1)
            put(ch, q, body[:size])
            method, _, got = get(ch, q)
            equal(got == body[:size], True)
            equal(method.message_count, 0)


@case("basic/small frames")
def small_frames():
    with channel(frame_max=4096) as ch:
        q = new_queue(ch)
        body = bytes(range(256)) * 400
        put(ch, q, body, headers={"long": "x" * 3000})
        _, properties, got = get(ch, q)
        equal((len(properties.headers["long"]), got == body), (3000, True))


@case("basic/too large a message closes the channel")
def too_large():
    with channel() as ch:
        q = new_queue(ch)
        closes(406, lambda: put(ch, q, bytes((16 << 20) + 1)))


@case("basic/all properties")
def all_properties():
    sent = pika.BasicProperties(
        content_type="application/json", content_encoding="gzip", headers={"a": "b"}, delivery_mode=2, priority=7,
        correlation_id="c-ü", reply_to="somewhere", expiration="60000", message_id="m", timestamp=1700000000,
        type="kind", user_id="guest", app_id="app", cluster_id="cluster",
    )  # fmt: skip
    with channel() as ch:
        q = new_queue(ch)
        ch.basic_publish("", q, b"", sent)
        _, got, _ = get(ch, q)
        equal(vars(got), vars(sent))
        ch.basic_publish("", q, b"")
        _, got, _ = get(ch, q)
        equal({name: value for name, value in vars(got).items() if value is not None}, {})


@case("basic/headers of all types that pika knows")
def header_types():
    sent = {
        "true": True, "false": False, "zero": 0, "minus": -1, "int": 2**31 - 1, "long": 2**62, "negative": -(2**63),
        "decimal": decimal.Decimal("-12.345"), "text": "grüße 🐦", "empty": "", "none": None,
        "time": datetime.datetime(2026, 11, 26, 12, 0, 1, tzinfo=datetime.timezone.utc), "bytes": b"\x00\xff\xfe",
        "list": [1, "two", None, [b"3", {"deep": [True]}]], "table": {"a": {"b": {"c": [1, 2, 3]}}}, "no list": [], "no table": {},
        "ключ": "key", "x" * 128: "long key",
    }  # fmt: skip
    with channel() as ch:
        q = new_queue(ch)
        put(ch, q, b"", headers=sent)
        _, got, _ = get(ch, q)
        for name in sent | got.headers:
            equal((name, got.headers.get(name)), (name, sent.get(name)))


@case("basic/a message of which the type of a user is not its own")
def user_id():
    with channel() as ch:
        q = new_queue(ch)
        closes(406, lambda: put(ch, q, b"", user_id="somebody"))


@case("basic/expiration")
def expiration():
    with channel() as ch:
        q = new_queue(ch)
        put(ch, q, b"short", expiration="60")
        put(ch, q, b"long", expiration="60000")
        time.sleep(0.2)
        method, properties, body = get(ch, q)
        equal((body, properties.expiration), (b"long", "60000"))
        closes(406, lambda: put(ch, q, b"", expiration="soon"))


@case("basic/CC and BCC")
def copies():
    with channel() as ch:
        a, b, c = new_queue(ch), new_queue(ch), new_queue(ch)
        put(ch, a, b"x", headers={"CC": [b], "BCC": [c], "other": 1})
        for q in (a, b, c):
            _, properties, body = get(ch, q)
            equal((body, properties.headers), (b"x", {"CC": [b], "other": 1}))


@case("basic/immediate closes the connection")
def immediate():
    with connection() as c:
        ch = c.channel()
        q = new_queue(ch)
        # pika's blocking adapter cannot ask for it; its frames can.
        ch._impl._send_method(pika.spec.Basic.Publish(exchange="", routing_key=q, immediate=True), (pika.BasicProperties(), b"x"))
        closes_connection(540, lambda: c.process_data_events(5))


@case("tx/commit and rollback")
def tx():
    with channel(confirm=False) as ch:
        q, done = new_queue(ch), new_queue(ch)
        ch.tx_select()
        put(ch, q, b"1", b"2")
        equal(ready(ch, q), 0)
        ch.tx_commit()
        equal(ready(ch, q), 2)
        put(ch, q, b"never")
        get(ch, q, ack=False)
        ch.basic_ack(1)
        ch.tx_rollback()
        equal(ready(ch, q), 1)  # the acknowledgement was undone, and not the delivery
        ch.basic_ack(1)
        put(ch, done, b"did 1")
        ch.tx_commit()
        equal(bodies(ch, done), [b"did 1"])
        ch.tx_commit()
        equal(bodies(ch, q), [b"2"])
        ch.tx_commit()


@case("tx/not with confirms")
def tx_and_confirm():
    with connection() as c:
        ch = c.channel()
        ch.tx_select()
        closes(406, ch.confirm_delivery)
        ch = c.channel()
        ch.confirm_delivery()
        closes(406, ch.tx_select)
        closes(406, c.channel().tx_commit)


@case("basic/direct reply-to")
def reply_to():
    with channel(confirm=False) as client, channel() as server:
        q = new_queue(server, auto_delete=True)
        answers = Taken(client, "amq.rabbitmq.reply-to", auto_ack=True)
        put(client, q, b"question", reply_to="amq.rabbitmq.reply-to", correlation_id="7")
        _, properties, body = awaited(server, q)
        equal((body, properties.correlation_id, properties.reply_to.startswith("amq.rabbitmq.reply-to.")), (b"question", "7", True))
        server.queue_declare(properties.reply_to, passive=True)  # the asker is there
        server.basic_publish("", properties.reply_to, b"answer", pika.BasicProperties(correlation_id="7"))
        answers.await_count(1)
        method, properties, body = answers.got[0]
        equal((body, properties.correlation_id, method.exchange), (b"answer", "7", ""))
        server.queue_delete(q)
    with channel(confirm=False) as client:
        closes(406, lambda: put(client, fresh("q"), b"", reply_to="amq.rabbitmq.reply-to") or client.queue_declare("", exclusive=True))
        closes(406, lambda: client.connection.channel().basic_consume("amq.rabbitmq.reply-to", print, auto_ack=False))
