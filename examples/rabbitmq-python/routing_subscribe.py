"""Routing: prints the messages of some severities.

    python routing_subscribe.py SEVERITY...
"""

import sys

from common import connect, consume, say


def show(channel, method, properties, body):
    say(f"{method.routing_key}: {body.decode()}")


channel = connect().channel()
channel.exchange_declare("logs", "direct")
queue = channel.queue_declare("", exclusive=True).method.queue
for severity in sys.argv[1:]:
    channel.queue_bind(queue, "logs", severity)
channel.basic_consume(queue, show, auto_ack=True)
consume(channel)
