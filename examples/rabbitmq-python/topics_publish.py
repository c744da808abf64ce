"""Topics: a message has a routing key of words, such as eu.order.paid.

    python topics_publish.py KEY MESSAGE...
"""

import sys

from common import connect, say

key, messages = sys.argv[1], sys.argv[2:]
connection = connect()
channel = connection.channel()
channel.exchange_declare("events", "topic")
channel.confirm_delivery()

for message in messages:
    channel.basic_publish("events", key, message.encode())
    say("published", key, message)
connection.close()
