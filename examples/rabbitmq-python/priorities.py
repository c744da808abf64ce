"""Priorities: a message of a higher priority overtakes those that wait.

    python priorities.py
"""

import pika

from common import connect, say

connection = connect()
channel = connection.channel()
channel.queue_declare("letters", durable=True, arguments={"x-max-priority": 9})
channel.confirm_delivery()

for text, priority in [("newsletter", 0), ("invoice", 5), ("second newsletter", 0), ("alarm", 9), ("reminder", 5)]:
    properties = pika.BasicProperties(priority=priority, delivery_mode=pika.DeliveryMode.Persistent)
    channel.basic_publish("", "letters", text.encode(), properties)
    say(f"sent with priority {priority}: {text}")

for method, properties, body in channel.consume("letters", inactivity_timeout=1):
    if method is None:
        break
    say(f"received with priority {properties.priority}: {body.decode()}")
    channel.basic_ack(method.delivery_tag)
channel.cancel()
channel.queue_delete("letters")
connection.close()
