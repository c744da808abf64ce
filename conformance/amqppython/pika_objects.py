"""pika: queues, exchanges, bindings, and what they refuse."""

import time

import pika
from kit import (
    Taken,
    awaited,
    bodies,
    case,
    channel,
    closes,
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


@case("queues/declared, declared again, passively")
def declare():
    with channel() as ch:
        q = durable(ch, x_max_length=100)
        put(ch, q, b"a", b"b")
        consumer = Taken(ch, q)
        same = {"durable": True, "arguments": {"x-max-length": 100, "x-expires": 60000}}
        declared = ch.queue_declare(q, **same).method
        equal((declared.queue, declared.consumer_count), (q, 1))
        ch.queue_declare(q, passive=True)
        ch.basic_cancel(consumer.tag)
        closes(406, lambda: ch.connection.channel().queue_declare(q, durable=False, arguments=same["arguments"]))
        closes(406, lambda: ch.connection.channel().queue_declare(q, durable=True, arguments={"x-max-length": 99}))
        closes(404, lambda: ch.connection.channel().queue_declare(fresh("none"), passive=True))
        closes(403, lambda: ch.connection.channel().queue_declare("amq.mine"))
        ch.queue_delete(q)
        equal(ch.queue_delete(q).method.message_count, 0)  # what is gone can be deleted


@case("queues/a bad argument")
def bad_arguments():
    with connection() as c:
        for name, value in [("x-message-ttl", -1), ("x-expires", 0), ("x-max-length", "many"), ("x-overflow", "explode"), ("x-max-priority", 256)]:
            closes(406, lambda: c.channel().queue_declare(fresh("bad"), arguments={name: value}))


@case("queues/exclusive: not for others, gone with the connection")
def exclusive():
    with channel() as other:
        with channel() as ch:
            q = new_queue(ch, exclusive=True)
            for use in (
                lambda ch: ch.queue_declare(q, passive=True),
                lambda ch: ch.queue_declare(q, exclusive=True),
                lambda ch: ch.basic_consume(q, print),
                lambda ch: ch.queue_purge(q),
                lambda ch: ch.queue_delete(q),
                lambda ch: ch.queue_bind(q, "amq.direct", "x"),
            ):
                closes(405, lambda: use(other.connection.channel()))
            put(other, q, b"a letter")  # publishing is free to all
            equal(bodies(ch, q), [b"a letter"])
        closes(404, lambda: other.queue_declare(q, passive=True))


@case("queues/named by the broker")
def server_named():
    with channel() as ch:
        name = ch.queue_declare("", exclusive=True).method.queue
        equal(name.startswith("amq.gen-"), True)
        closes(404, lambda: ch.connection.channel().queue_declare("", passive=True))
        ch.queue_bind("", "amq.direct", name)  # empty: the last one
        ch.basic_publish("amq.direct", name, b"x", mandatory=True)
        equal(bodies(ch, ""), [b"x"])


@case("queues/auto-delete, after the last consumer")
def auto_delete():
    with channel() as ch:
        q = new_queue(ch, auto_delete=True)
        put(ch, q, b"x")
        equal(ready(ch, q), 1)
        first, second = Taken(ch, q), Taken(ch, q)
        ch.basic_cancel(first.tag)
        ch.queue_declare(q, passive=True)
        ch.basic_cancel(second.tag)
        closes(404, lambda: ch.queue_declare(q, passive=True))


@case("queues/expiry")
def expires():
    with channel() as ch:
        q = new_queue(ch, arguments={"x-expires": 150})
        consumer = Taken(ch, q)
        time.sleep(0.4)
        ch.queue_declare(q, passive=True)  # used
        ch.basic_cancel(consumer.tag)
        time.sleep(0.6)
        closes(404, lambda: ch.queue_declare(q, passive=True))


@case("queues/purge and conditional delete")
def purge():
    with channel() as ch:
        q = durable(ch)
        put(ch, q, b"a", b"b", b"c")
        get(ch, q, ack=False)
        equal(ch.queue_purge(q).method.message_count, 2)
        equal(ready(ch, q), 0)
        put(ch, q, b"d")
        closes(406, lambda: ch.connection.channel().queue_delete(q, if_empty=True))
        consumer = Taken(ch, q)
        closes(406, lambda: ch.connection.channel().queue_delete(q, if_unused=True))
        ch.basic_cancel(consumer.tag)
        ch.queue_delete(q, if_unused=True)


@case("queues/time to live")
def ttl():
    with channel() as ch:
        q = new_queue(ch, exclusive=True, arguments={"x-message-ttl": 100})
        put(ch, q, b"a", b"b")
        equal(ready(ch, q), 2)
        until("they expired", lambda: ready(ch, q) == 0)


@case("queues/length limits")
def lengths():
    with channel() as ch:
        dead = new_queue(ch)
        q = new_queue(ch, exclusive=True, arguments={"x-max-length": 2, "x-dead-letter-exchange": "", "x-dead-letter-routing-key": dead})
        put(ch, q, b"1", b"2", b"3", b"4")
        equal(bodies(ch, q), [b"3", b"4"])
        equal([awaited(ch, dead)[2], awaited(ch, dead)[2]], [b"1", b"2"])
        small = new_queue(ch, exclusive=True, arguments={"x-max-length-bytes": 10})
        put(ch, small, b"12345", b"67890", b"x")
        equal(bodies(ch, small), [b"67890", b"x"])


@case("queues/dead letters and their history")
def dead_letters():
    with channel() as ch:
        exchange = new_exchange(ch, "topic")
        dead = new_queue(ch)
        ch.queue_bind(dead, exchange, "#")
        q = new_queue(ch, exclusive=True, arguments={"x-dead-letter-exchange": exchange, "x-message-ttl": 60000})
        put(ch, q, b"rejected", headers={"mine": "too"})
        get(ch, q, ack=False)
        ch.basic_reject(1, requeue=False)
        method, properties, body = awaited(ch, dead)
        equal((body, method.exchange, method.routing_key), (b"rejected", exchange, q))
        (death,) = properties.headers["x-death"]
        equal({k: death[k] for k in ("count", "reason", "queue", "exchange", "routing-keys")},
              {"count": 1, "reason": "rejected", "queue": q, "exchange": "", "routing-keys": [q]})  # fmt: skip
        equal({k: v for k, v in properties.headers.items() if k != "x-death"},
              {"mine": "too", "x-first-death-exchange": "", "x-first-death-queue": q, "x-first-death-reason": "rejected",
               "x-last-death-exchange": "", "x-last-death-queue": q, "x-last-death-reason": "rejected"})  # fmt: skip
        put(ch, q, b"expired", expiration="50")
        _, properties, body = awaited(ch, dead)
        (death,) = properties.headers["x-death"]
        equal((body, death["reason"], death["original-expiration"], properties.expiration), (b"expired", "expired", "50", None))


@case("queues/priorities")
def priorities():
    with channel() as ch:
        q = new_queue(ch, exclusive=True, arguments={"x-max-priority": 5})
        for i, priority in enumerate([0, 3, 5, 3, None, 9]):
            put(ch, q, b"%d" % i, priority=priority)
        equal(bodies(ch, q), [b"2", b"5", b"1", b"3", b"0", b"4"])


@case("queues/quorum: in the order of return, with a limit")
def quorum():
    with channel() as ch:
        dead = new_queue(ch)
        q = new_queue(ch, durable=True, arguments={
            "x-queue-type": "quorum", "x-delivery-limit": 2, "x-dead-letter-exchange": "", "x-dead-letter-routing-key": dead,
        })  # fmt: skip
        put(ch, q, b"x")
        seen = []
        while True:
            method, properties, _ = get(ch, q, ack=False)
            if method is None:
                break
            seen.append((properties.headers or {}).get("x-delivery-count", 0))
            ch.basic_nack(method.delivery_tag, requeue=True)
            time.sleep(0.1)
        equal(seen, [0, 1, 2])
        _, properties, _ = awaited(ch, dead)
        equal(properties.headers["x-death"][0]["reason"], "delivery_limit")
        for options in ({}, {"durable": True, "exclusive": True}, {"durable": True, "auto_delete": True}):
            closes(406, lambda: ch.connection.channel().queue_declare(fresh("bad"), arguments={"x-queue-type": "quorum"}, **options))
        ch.queue_delete(q)


@case("streams/from every place, again and again")
def streams():
    with channel() as ch:
        q = durable(ch, x_queue_type="stream")
        put(ch, q, *(b"%d" % i for i in range(10)))
        for start, first in [("first", 0), (4, 4), ("last", None), ("1h", 0)]:
            reader = ch.connection.channel()
            reader.basic_qos(prefetch_count=3)
            taken = []

            def take(channel, method, properties, body):
                taken.append((properties.headers["x-stream-offset"], body))
                channel.basic_ack(method.delivery_tag)

            reader.basic_consume(q, take, arguments={"x-stream-offset": start})
            until("the end", lambda: ch.connection.process_data_events(0.02) or (taken and taken[-1][0] == 9))
            if first is not None:
                equal(taken, [(i, b"%d" % i) for i in range(first, 10)])
            reader.close()
        closes(406, lambda: ch.connection.channel().basic_consume(q, print))  # without a prefetch limit
        ch.queue_delete(q)


@case("exchanges/direct, fanout, topic")
def exchanges():
    with channel() as ch:
        q = new_queue(ch)
        for kind, key, reached, missed in [
            ("direct", "k", ["k"], ["K", "", "k.k"]),
            ("fanout", "ignored", ["", "anything"], []),
            ("topic", "a.*.#", ["a.b", "a.b.c.d", "a."], ["a", "b.a", ""]),
            ("topic", "#", ["", "a.b"], []),
            ("topic", "#.end", ["end", "a.end", "a.b.end"], ["end.a"]),
        ]:
            exchange = new_exchange(ch, kind)
            ch.queue_bind(q, exchange, key)
            for sent in reached + missed:
                ch.basic_publish(exchange, sent, sent.encode())
            equal((kind, key, bodies(ch, q)), (kind, key, [k.encode() for k in reached]))
            ch.queue_unbind(q, exchange, key)
            closes(404, lambda: ch.connection.channel().exchange_declare(exchange, passive=True))  # auto-delete


@case("exchanges/headers")
def headers():
    with channel() as ch:
        q, exchange = new_queue(ch), new_exchange(ch, "headers")
        ch.queue_bind(q, exchange, "", {"x-match": "all", "a": 1, "b": "two"})
        any_queue = new_queue(ch)
        ch.queue_bind(any_queue, exchange, "", {"x-match": "any", "a": 1, "c": None})
        for body, sent in [(b"both", {"a": 1, "b": "two", "z": 0}), (b"a", {"a": 1}), (b"c", {"c": "whatever"}), (b"none", {"a": 2, "b": "two"}), (b"", None)]:
            ch.basic_publish(exchange, "", body, pika.BasicProperties(headers=sent))
        equal((bodies(ch, q), bodies(ch, any_queue)), ([b"both"], [b"both", b"a", b"c"]))


@case("exchanges/bound to exchanges, and alternates")
def exchange_bindings():
    with channel() as ch:
        q, rest = new_queue(ch), new_queue(ch)
        alternate = new_exchange(ch, "fanout")
        source = new_exchange(ch, "topic", arguments={"alternate-exchange": alternate})
        target = new_exchange(ch, "direct")
        ch.queue_bind(rest, alternate)
        ch.queue_bind(q, target, "a.b")
        ch.exchange_bind(target, source, "a.*")
        ch.basic_publish(source, "a.b", b"through", mandatory=True)
        ch.basic_publish(source, "a.c", b"no further")  # the target has it, and no queue
        ch.basic_publish(source, "c", b"alternate", mandatory=True)
        equal((bodies(ch, q), bodies(ch, rest)), ([b"through"], [b"alternate"]))
        ch.exchange_unbind(target, source, "a.*")


@case("exchanges/refusals")
def exchange_refusals():
    with connection() as c:
        name = new_exchange(c.channel(), "direct")
        closes(406, lambda: c.channel().exchange_declare(name, "fanout", auto_delete=True))
        closes(404, lambda: c.channel().exchange_declare(fresh("none"), passive=True))
        closes(403, lambda: c.channel().exchange_declare("amq.mine"))
        closes(403, lambda: c.channel().exchange_delete("amq.direct"))
        closes(403, lambda: c.channel().exchange_delete(""))
        closes(404, lambda: c.channel().queue_bind(new_queue(c.channel()), fresh("none")))
        ch = c.channel()
        closes(404, lambda: ch.basic_publish(fresh("none"), "", b"") or ch.queue_declare("", exclusive=True))
        ch = c.channel()
        inner = fresh("internal")
        ch.exchange_declare(inner, "fanout", internal=True)
        closes(403, lambda: ch.basic_publish(inner, "", b"") or ch.queue_declare("", exclusive=True))
        ch = c.channel()
        ch.queue_bind(new_queue(ch), inner)
        closes(406, lambda: ch.exchange_delete(inner, if_unused=True))
        c.channel().exchange_delete(inner)
        c.channel().exchange_delete(inner)
        c.channel().exchange_delete(name)
