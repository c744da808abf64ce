"""Streams: appends to a log that stays when it is read. Kafka clients see it as a topic.

    python stream_publish.py MESSAGE...
"""

import sys

from common import PERSISTENT, connect, say

connection = connect()
channel = connection.channel()
channel.queue_declare("readings", durable=True, arguments={"x-queue-type": "stream", "x-max-age": "7D"})
channel.confirm_delivery()

for message in sys.argv[1:]:
    channel.basic_publish("", "readings", message.encode(), PERSISTENT)
    say("appended", message)
connection.close()
