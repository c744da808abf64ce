"""pika: consumers, prefetch, priorities, cancellation."""

import time

import pika
from kit import (
    Taken,
    bodies,
    case,
    channel,
    closes,
    closes_connection,
    connection,
    durable,
    equal,
    get,
    new_queue,
    put,
    ready,
    until,
)


@case("consume/in order, across many")
def in_order():
    with channel() as ch:
        q = new_queue(ch)
        want = [b"%d" % i for i in range(500)]
        sender = ch.connection.channel()  # without confirms
        put(sender, q, *want)
        taken = Taken(ch, q, auto_ack=True)
        taken.await_count(500)
        equal(taken.bodies(), want)
        equal([m.delivery_tag for m, _, _ in taken.got], list(range(1, 501)))


@case("consume/prefetch of each consumer")
def prefetch_each():
    with channel() as ch:
        q = new_queue(ch)
        put(ch, q, *(b"%d" % i for i in range(20)))
        ch.basic_qos(prefetch_count=3)
        first = Taken(ch, q)
        first.await_count(3, settle=0.1)
        second = Taken(ch, q)
        second.await_count(3, settle=0.1)
        equal(first.bodies() + second.bodies(), [b"0", b"1", b"2", b"3", b"4", b"5"])
        ch.basic_ack(1)
        first.await_count(4, settle=0.1)
        equal(len(second.got), 3)


@case("consume/prefetch of the channel")
def prefetch_channel():
    with channel() as ch:
        q = new_queue(ch)
        put(ch, q, *(b"%d" % i for i in range(20)))
        ch.basic_qos(prefetch_count=3, global_qos=True)
        first, second = Taken(ch, q), Taken(ch, q)
        until("three came", lambda: ch.connection.process_data_events(0.02) or len(first.got + second.got) == 3)
        ch.connection.process_data_events(0.1)
        equal(len(first.got + second.got), 3)
        ch.basic_ack(2, multiple=True)
        until("two more", lambda: ch.connection.process_data_events(0.02) or len(first.got + second.got) == 5)
        ch.connection.process_data_events(0.1)
        equal(len(first.got + second.got), 5)


@case("consume/a limit in bytes is not served")
def prefetch_size():
    with connection() as c:
        closes_connection(540, lambda: c.channel().basic_qos(prefetch_size=1000))


@case("consume/round robin")
def round_robin():
    with channel() as ch:
        q = new_queue(ch)
        ch.basic_qos(prefetch_count=50)
        consumers = [Taken(ch, q, auto_ack=False) for _ in range(3)]
        put(ch, q, *(b"%d" % i for i in range(30)))
        until("all came", lambda: ch.connection.process_data_events(0.02) or sum(len(c.got) for c in consumers) == 30)
        equal([len(c.got) for c in consumers], [10, 10, 10])


@case("consume/priorities of consumers")
def consumer_priorities():
    with channel() as ch:
        q = new_queue(ch)
        ch.basic_qos(prefetch_count=2)
        low = Taken(ch, q)
        high = Taken(ch, q, arguments={"x-priority": 10})
        put(ch, q, *(b"%d" % i for i in range(5)))
        high.await_count(2)
        low.await_count(2, settle=0.1)
        equal((high.bodies(), low.bodies()), ([b"0", b"1"], [b"2", b"3"]))
        high.ack_all()
        high.await_count(3, settle=0.1)


@case("consume/single active consumer")
def single_active():
    with channel() as ch:
        q = new_queue(ch, exclusive=True, arguments={"x-single-active-consumer": True})
        ch.basic_qos(prefetch_count=1)
        first, second = Taken(ch, q), Taken(ch, q)
        put(ch, q, b"0", b"1", b"2")
        first.await_count(1, settle=0.1)
        equal(second.got, [])
        ch.basic_cancel(first.tag)
        second.await_count(1, settle=0.1)
        equal(second.bodies(), [b"1"])
        second.ack_all()  # channel-wide: the first consumer's too
        second.await_count(2)


@case("consume/exclusive")
def exclusive_consumer():
    with channel() as ch, channel() as other:
        q = durable(ch)
        Taken(ch, q, exclusive=True)
        closes(403, lambda: Taken(other, q))
        ch.queue_delete(q)


@case("consume/cancelling keeps what was delivered")
def cancel():
    with channel() as ch:
        q = new_queue(ch)
        ch.basic_qos(prefetch_count=2)
        put(ch, q, b"a", b"b", b"c")
        taken = Taken(ch, q)
        taken.await_count(2)
        equal(ch.basic_cancel(taken.tag), [])
        equal(ready(ch, q), 1)
        taken.ack_all()
        equal(bodies(ch, q), [b"c"])


@case("consume/the broker cancels when a queue goes")
def cancelled():
    with channel() as ch:
        q = durable(ch)
        heard = []
        ch.add_on_cancel_callback(lambda frame: heard.append(frame.method.consumer_tag))
        taken = Taken(ch, q, consumer_tag="mine")
        put(ch, q, b"x")
        taken.await_count(1)
        with channel() as other:
            other.queue_delete(q)
        until("the cancellation", lambda: ch.connection.process_data_events(0.02) or heard == ["mine"])
        new_queue(ch)  # the channel lives on


@case("consume/tags: given, chosen, used twice")
def tags():
    with channel() as ch:
        q = new_queue(ch)
        equal(Taken(ch, q, consumer_tag="t").tag, "t")
        reply = ch._impl  # pika makes up tags; the broker does if none is sent
        named = []
        reply._rpc(pika.spec.Basic.Consume(queue=q, consumer_tag=""), lambda f: named.append(f.method.consumer_tag), [pika.spec.Basic.ConsumeOk])
        until("a name", lambda: ch.connection.process_data_events(0.02) or named)
        equal(named[0].startswith("amq.ctag-"), True)
    with connection() as c:
        ch = c.channel()
        q = new_queue(ch)
        ch.basic_consume(q, print, consumer_tag="twice")
        ch._impl._consumers.clear()  # or pika would refuse itself
        ch._consumer_infos.clear()
        closes_connection(530, lambda: ch.basic_consume(q, print, consumer_tag="twice"))


@case("consume/a generator, with what was not taken given back")
def generator():
    with channel() as ch:
        q = new_queue(ch)
        put(ch, q, *(b"%d" % i for i in range(10)))
        got = []
        for method, _, body in ch.consume(q):
            got.append(body)
            ch.basic_ack(method.delivery_tag)
            if len(got) == 4:
                break
        equal(got, [b"0", b"1", b"2", b"3"])
        ch.cancel()
        until("the rest came back", lambda: ready(ch, q) == 6)


@case("consume/a client that does not read holds up nobody")
def slow_reader():
    with channel() as ch, channel() as other:
        q, quick = durable(ch), new_queue(other)
        body = bytes(100_000)
        sender = other.connection.channel()
        put(sender, q, *([body] * 200))
        slow = Taken(ch, q, auto_ack=False)
        time.sleep(0.2)  # it reads nothing now
        put(other, quick, b"x")
        equal(get(other, quick)[2], b"x")
        slow.await_count(200)
        slow.ack_all()
        ch.queue_delete(q)
