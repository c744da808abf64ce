"""pika: what is left after a kill -9 of the broker, and how clients go on."""

import contextlib
import threading
import time

import pika
from kit import (
    FULL,
    PERSISTENT,
    Taken,
    bodies,
    case,
    channel,
    closes,
    connection,
    control,
    equal,
    fresh,
    get,
    parameters,
    put,
    run,
)


@contextlib.contextmanager
def doomed_channel():
    """A channel whose broker is killed before it ends."""
    opened = pika.BlockingConnection(parameters())
    ch = opened.channel()
    ch.confirm_delivery()
    yield ch
    try:
        opened.process_data_events(5)
    except pika.exceptions.AMQPError:
        return
    raise AssertionError("the broker lives")


def persistent(ch, queue, *bodies):
    for body in bodies:
        ch.basic_publish("", queue, body, PERSISTENT, mandatory=True)


@case("restart/what was confirmed is there, what was acknowledged is not")
def confirmed():
    q, passing, exchange = fresh("durable"), fresh("passing"), fresh("exchange")
    with doomed_channel() as ch:
        ch.queue_declare(q, durable=True)
        ch.queue_declare(passing, durable=True)
        ch.exchange_declare(exchange, "topic", durable=True)
        ch.queue_bind(q, exchange, "a.#")
        persistent(ch, q, *(b"%d" % i for i in range(100)))
        put(ch, passing, b"transient")
        persistent(ch, passing, b"persistent")
        for _ in range(10):
            method, _, _ = get(ch, q, ack=False)
        ch.basic_ack(method.delivery_tag, multiple=True)
        ch.queue_declare(passing, passive=True)  # answered: the acknowledgements are on disk
        get(ch, q, ack=False)
        control("kill")
    control("start")
    with channel() as ch:
        first, _, body = get(ch, q)
        equal((body, first.redelivered), (b"10", True))
        equal(bodies(ch, q), [b"%d" % i for i in range(11, 100)])
        equal(bodies(ch, passing), [b"persistent"])
        ch.basic_publish(exchange, "a.b", b"bound", mandatory=True)
        equal(bodies(ch, q), [b"bound"])
        ch.queue_delete(q)


@case("restart/killed while publishing: nothing confirmed is lost, and the order holds")
def killed_while_publishing():
    for _ in range(4 if FULL else 2):
        q = fresh("killed")
        with channel() as ch:
            ch.queue_declare(q, durable=True)
        confirmed, sent = [], 0
        killer = threading.Timer(0.4, control, ["kill"])
        try:
            with channel() as ch:
                killer.start()
                while True:
                    sent += 1
                    persistent(ch, q, b"%d" % (sent - 1))
                    confirmed.append(sent - 1)
        except pika.exceptions.AMQPError:
            pass
        killer.join()
        control("start")
        with channel() as ch:
            there = [int(body) for body in bodies(ch, q)]
            ch.queue_delete(q)
        equal(there[: len(confirmed)], confirmed)
        equal(there[len(confirmed) :] in ([], [sent - 1]), True)  # one was under way


@case("restart/a client that connects again")
def reconnects():
    q = fresh("again")
    with channel() as ch:
        ch.queue_declare(q, durable=True)
    got, ready, stop = [], threading.Event(), threading.Event()

    def consume_for_ever():
        while not stop.is_set():
            try:
                with connection(retry_delay=0.1, connection_attempts=100) as c:
                    ch = c.channel()
                    ch.basic_qos(prefetch_count=10)
                    taken = Taken(ch, q)
                    ready.set()
                    while not stop.is_set():
                        c.process_data_events(0.05)
                        for method, _, body in taken.got:
                            ch.basic_ack(method.delivery_tag)
                            got.append(int(body))
                        taken.got.clear()
            except pika.exceptions.AMQPError:
                ready.clear()

    consumer = threading.Thread(target=consume_for_ever, daemon=True)
    consumer.start()
    for round in range(3):
        with channel(retry_delay=0.1, connection_attempts=100) as ch:
            ready.wait(20)
            persistent(ch, q, *(b"%d" % (round * 50 + i) for i in range(50)))
        if round < 2:
            control("kill")
            control("start")
    end = time.monotonic() + 20
    while set(got) != set(range(150)) and time.monotonic() < end:
        time.sleep(0.05)
    stop.set()
    consumer.join(10)
    equal(sorted(set(got)), list(range(150)))
    once = list(dict.fromkeys(got))  # first deliveries
    equal(once, sorted(once))


@case("restart/exclusive queues and transient exchanges are gone")
def gone():
    q, exchange = fresh("mine"), fresh("transient")
    with doomed_channel() as ch:
        ch.queue_declare(q, exclusive=True, durable=True)
        ch.exchange_declare(exchange, "fanout")
        control("kill")
    control("start")
    with connection() as c:
        closes(404, lambda: c.channel().queue_declare(q, passive=True))
        closes(404, lambda: c.channel().exchange_declare(exchange, passive=True))


@case("restart/a transaction is whole or not there")
def transactions():
    q, other = fresh("tx"), fresh("tx")
    with channel() as ch:
        ch.queue_declare(q, durable=True)
        ch.queue_declare(other, durable=True)
    committed = 0
    killer = threading.Timer(0.3, control, ["kill"])
    try:
        with channel(confirm=False) as ch:
            ch.tx_select()
            killer.start()
            while True:
                for target in (q, other, q):
                    ch.basic_publish("", target, b"%d" % committed, PERSISTENT)
                ch.tx_commit()
                committed += 1
    except pika.exceptions.AMQPError:
        pass
    killer.join()
    control("start")
    with channel() as ch:
        in_q, in_other = bodies(ch, q), bodies(ch, other)
        equal(in_q, [body for body in in_other for _ in range(2)])
        equal(committed <= len(in_other) <= committed + 1, True)
        ch.queue_delete(q)
        ch.queue_delete(other)


if __name__ == "__main__":
    run(width=1, case_seconds=60)
