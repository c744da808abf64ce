"""Publish/subscribe: every subscriber that is there gets every message.

    python pubsub_publish.py MESSAGE...
"""

import sys

from common import connect, say

connection = connect()
channel = connection.channel()
channel.exchange_declare("news", "fanout")
channel.confirm_delivery()

for message in sys.argv[1:]:
    channel.basic_publish("news", "", message.encode())
    say("published", message)
connection.close()
