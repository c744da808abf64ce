"""Topics: prints the messages whose key matches a pattern; * is a word, # any number of them.

    python topics_subscribe.py PATTERN...
"""

import sys

from common import connect, consume, say


def show(channel, method, properties, body):
    say(f"{method.routing_key}: {body.decode()}")


channel = connect().channel()
channel.exchange_declare("events", "topic")
queue = channel.queue_declare("", exclusive=True).method.queue
for pattern in sys.argv[1:]:
    channel.queue_bind(queue, "events", pattern)
# A message that several patterns match comes once.
channel.basic_consume(queue, show, auto_ack=True)
consume(channel)
