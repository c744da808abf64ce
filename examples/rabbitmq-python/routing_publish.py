"""Routing: a message goes to the queues that are bound with its routing key.

    python routing_publish.py SEVERITY MESSAGE...
"""

import sys

from common import connect, say

severity, messages = sys.argv[1], sys.argv[2:]
connection = connect()
channel = connection.channel()
channel.exchange_declare("logs", "direct")
channel.confirm_delivery()

for message in messages:
    channel.basic_publish("logs", severity, message.encode())
    say("published", severity, message)
connection.close()
