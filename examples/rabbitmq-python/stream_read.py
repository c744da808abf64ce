"""Streams: reads from any place, as often as one likes.

    python stream_read.py first|last|next|OFFSET|INTERVAL     an interval is 5m or 2h, say
"""

import sys

from common import connect, consume, say

start = sys.argv[1] if len(sys.argv) > 1 else "next"


def show(channel, method, properties, body):
    say(f"{properties.headers['x-stream-offset']}: {body.decode()}")
    channel.basic_ack(method.delivery_tag)  # lets the next message come


channel = connect().channel()
channel.queue_declare("readings", durable=True, arguments={"x-queue-type": "stream", "x-max-age": "7D"})
channel.basic_qos(prefetch_count=100)  # a stream's consumer must have a limit
channel.basic_consume("readings", show, arguments={"x-stream-offset": int(start) if start.isdigit() else start})
consume(channel)
