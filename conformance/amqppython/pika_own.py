"""pika: what Waxwing brings along and RabbitMQ needs plugins for."""

import time

import pika
from kit import Taken, bodies, case, channel, equal, new_exchange, new_queue, put, ready


@case("own/x-consistent-hash: each key to one queue, all queues in use")
def consistent_hash():
    with channel() as ch:
        exchange = new_exchange(ch, "x-consistent-hash")
        queues = [new_queue(ch) for _ in range(3)]
        for q in queues:
            ch.queue_bind(q, exchange, "10")
        for _ in range(2):
            for i in range(60):
                ch.basic_publish(exchange, f"key {i}", b"%d" % i, mandatory=True)
        shares = [bodies(ch, q) for q in queues]
        equal(sum(map(len, shares)), 120)
        for share in shares:
            equal(len(share) > 0, True)
            equal(share[: len(share) // 2], share[len(share) // 2 :])


@case("own/x-delayed-message: when it is due, in order of time")
def delayed():
    with channel() as ch:
        exchange = new_exchange(ch, "x-delayed-message", arguments={"x-delayed-type": "direct"})
        q = new_queue(ch)
        ch.queue_bind(q, exchange, "k")
        start = time.monotonic()
        for delay in (600, 300, 0):
            ch.basic_publish(exchange, "k", b"%d" % delay, pika.BasicProperties(headers={"x-delay": delay}))
        equal(ready(ch, q), 1)
        taken = Taken(ch, q, auto_ack=True)
        for count, late in ((1, 0), (2, 0.3), (3, 0.6)):
            taken.await_count(count)
            equal(late <= time.monotonic() - start < late + 0.25, True)
        equal(taken.bodies(), [b"0", b"300", b"600"])


@case("own/x-message-deduplication")
def deduplication():
    with channel() as ch:
        q = new_queue(ch, exclusive=True, arguments={"x-message-deduplication": True})
        for body, key in [(b"1", "a"), (b"2", "b"), (b"3", "a")]:
            put(ch, q, body, headers={"x-deduplication-header": key})
        put(ch, q, b"4")
        equal(bodies(ch, q), [b"1", b"2", b"4"])
