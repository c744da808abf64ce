"""pika: a broker whose disk is full blocks who publishes, and no others."""

import contextlib
import threading

import pika
from kit import PERSISTENT, Taken, case, channel, connection, control, equal, fresh, parameters, ready, run, until

BODY = bytes(256 << 10)


class Publisher(threading.Thread):
    """Publishes until it is blocked, and ends when it may go on and all is confirmed or refused."""

    def __init__(self, queue):
        super().__init__(daemon=True)
        self.queue, self.heard = queue, []
        self.published = self.confirmed = self.refused = 0
        self.start()

    def run(self):
        self.connection = pika.SelectConnection(
            parameters(), on_open_callback=self.opened, on_close_callback=lambda c, reason: c.ioloop.stop()
        )
        self.connection.add_on_connection_blocked_callback(lambda _, frame: self.heard.append(frame.method.reason))
        self.connection.add_on_connection_unblocked_callback(lambda *_: self.heard.append("go on"))
        self.connection.ioloop.start()

    def opened(self, connection):
        connection.channel(on_open_callback=lambda ch: ch.confirm_delivery(self.answered, callback=lambda _: self.publish(ch)))

    def answered(self, frame):
        """Counts; what is published when there is no room any more is refused."""
        tag = frame.method.delivery_tag
        count = tag - self.confirmed - self.refused
        if isinstance(frame.method, pika.spec.Basic.Ack):
            self.confirmed += count
        else:
            self.refused += count

    def publish(self, ch):
        if not self.heard:
            self.published += 1
            ch.basic_publish("", self.queue, BODY, PERSISTENT)
        elif "go on" in self.heard and self.confirmed + self.refused == self.published:
            self.connection.close()
            return
        self.connection.ioloop.call_later(0.01, lambda: self.publish(ch))


@case("blocked/told, held up, let go; consumers go on")
def blocked():
    q = fresh("blocked")
    with channel() as ch:
        ch.queue_declare(q, durable=True)
        control("fill")
        publisher = Publisher(q)
        until("it is told", lambda: publisher.heard)
        let_in = ready(ch, q)
        equal(let_in < publisher.published, True)
        taken = Taken(ch, q)
        taken.await_count(let_in, settle=0.3)
        taken.ack_all()
        equal((publisher.heard, publisher.confirmed), (["low on disk"], let_in))
        control("free")
        publisher.join(20)
        equal(publisher.heard, ["low on disk", "go on"])
        equal(publisher.confirmed > let_in, True)  # what was held up
        taken.await_count(publisher.confirmed, settle=0.1)
        taken.ack_all()
        ch.queue_delete(q)


@case("blocked/a client that waits no longer")
def timeout():
    q = fresh("blocked")
    with channel() as ch:
        ch.queue_declare(q, durable=True)
        control("fill")
        try:
            with channel(blocked_connection_timeout=0.5) as publisher:
                while True:
                    with contextlib.suppress(pika.exceptions.NackError):
                        publisher.basic_publish("", q, BODY, PERSISTENT)
        except pika.exceptions.ConnectionBlockedTimeout:
            pass
        control("free")
        until("room", lambda: ch.basic_publish("", q, b"goes on", PERSISTENT) or True)
        ch.queue_delete(q)


@case("blocked/who only consumes or declares is not")
def others():
    q = fresh("blocked")
    with channel() as ch, connection() as idle:
        ch.queue_declare(q, durable=True)
        control("fill")
        publisher = Publisher(q)
        until("it is told", lambda: publisher.heard)
        heard = []
        idle.add_on_connection_blocked_callback(lambda *_: heard.append("blocked"))
        equal(ready(idle.channel(), q) > 0, True)
        idle.process_data_events(0.3)
        equal(heard, [])
        control("free")
        publisher.join(20)
        ch.queue_delete(q)


if __name__ == "__main__":
    run(width=1, case_seconds=40)
