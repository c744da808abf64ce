"""Idempotent receiver: sends payments, each with a message id, perhaps more than once.

    python idempotent_send.py ID=AMOUNT...
"""

import sys

import pika

from common import connect, say

connection = connect()
channel = connection.channel()
channel.queue_declare("payments", durable=True)
channel.confirm_delivery()

for payment in sys.argv[1:]:
    message_id, amount = payment.split("=")
    properties = pika.BasicProperties(message_id=message_id, delivery_mode=pika.DeliveryMode.Persistent)
    channel.basic_publish("", "payments", amount.encode(), properties)
    say(f"sent {message_id}: {amount}")
connection.close()
