"""Order flow: places orders and prints what becomes of them, until each has ended.

    python order_flow_place.py ITEM=AMOUNT...     payment and shipping must run, or come later
"""

import json
import sys

import order_flow
from common import connect, say

ENDS = {"payment.declined": "cancelled", "payment.refunded": "cancelled", "shipping.done": "complete"}

orders = {}
for number, argument in enumerate(sys.argv[1:], start=1):
    item, amount = argument.split("=")
    orders[number] = {"id": number, "item": item, "amount": int(amount)}

connection = connect()
watch = connection.channel()
watch.exchange_declare(order_flow.EXCHANGE, "topic", durable=True)
queue = watch.queue_declare("", exclusive=True).method.queue
watch.queue_bind(queue, order_flow.EXCHANGE, "#")

# The queues of the others, so that orders wait for them.
channel = order_flow.open_queue(connection, "payment", "order.placed", "shipping.failed")
order_flow.open_queue(connection, "shipping", "payment.taken")
for order in orders.values():
    order_flow.publish(channel, "order.placed", order)
channel.tx_commit()  # all of them, or none

ended = 0
for method, _, body in watch.consume(queue, auto_ack=True):
    key, number = method.routing_key, json.loads(body)["id"]
    say(f"order {number}: {key}")
    if key in ENDS:
        say(f"order {number}: {ENDS[key]}")
        ended += 1
    if ended == len(orders):
        break
watch.cancel()
connection.close()
