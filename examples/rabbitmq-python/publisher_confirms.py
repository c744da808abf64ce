"""Publisher confirms: what the broker says about each message that is published.

    python publisher_confirms.py [MESSAGES]
"""

import sys
from collections import deque

import pika

from common import PERSISTENT, URL, connect, say

OUTSTANDING_MAX = 500  # messages that may wait for their confirm


def one_by_one(count):
    """Waits for each confirm: simple, and as slow as the disk."""
    connection = connect()
    channel = connection.channel()
    queue = channel.queue_declare("", exclusive=True).method.queue
    channel.confirm_delivery()
    for i in range(count):
        channel.basic_publish("", queue, str(i).encode(), PERSISTENT, mandatory=True)
    say(f"one by one: {count} confirmed")

    try:
        channel.basic_publish("", "nowhere", b"lost?", mandatory=True)
    except pika.exceptions.UnroutableError as error:
        say(f"came back: {error.messages[0].body.decode()!r}, {error.messages[0].method.reply_text}")

    full = channel.queue_declare("", exclusive=True, arguments={"x-max-length": 1, "x-overflow": "reject-publish"})
    channel.basic_publish("", full.method.queue, b"fits")
    try:
        channel.basic_publish("", full.method.queue, b"does not")
    except pika.exceptions.NackError:
        say("refused: the queue is full")
    connection.close()


class Streaming:
    """Publishes on while confirms come: quick."""

    def __init__(self, count):
        self.count = count
        self.next = 1  # the delivery tag of the message to be published next
        self.waiting = deque()  # tags of what is not confirmed, ascending
        self.confirmed = 0
        self.connection = pika.SelectConnection(
            pika.URLParameters(URL), on_open_callback=self.opened, on_close_callback=self.closed
        )

    def closed(self, connection, reason):
        connection.ioloop.stop()

    def opened(self, connection):
        connection.channel(on_open_callback=self.channel_opened)

    def channel_opened(self, channel):
        self.channel = channel
        channel.confirm_delivery(self.answered)
        channel.queue_declare("", exclusive=True, callback=self.queue_declared)

    def queue_declared(self, frame):
        self.queue = frame.method.queue
        self.publish()

    def publish(self):
        while self.next <= self.count and len(self.waiting) < OUTSTANDING_MAX:
            self.channel.basic_publish("", self.queue, b"message", PERSISTENT)
            self.waiting.append(self.next)
            self.next += 1

    def answered(self, frame):
        method = frame.method
        if isinstance(method, pika.spec.Basic.Nack):
            raise RuntimeError(f"refused: {method}")
        while self.waiting and (self.waiting[0] <= method.delivery_tag if method.multiple else self.waiting[0] == method.delivery_tag):
            self.waiting.popleft()
            self.confirmed += 1
        if self.confirmed == self.count:
            self.connection.close()
        else:
            self.publish()

    def run(self):
        self.connection.ioloop.start()
        say(f"streaming: {self.confirmed} confirmed")


count = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
one_by_one(count // 10)
Streaming(count).run()
