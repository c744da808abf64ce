"""Order flow: ships what is paid, but no pianos.

    python order_flow_shipping.py
"""

import order_flow
from common import connect, consume, say


def ship(key, order):
    if order["item"] == "piano":
        say(f"order {order['id']}: cannot ship a piano")
        return "shipping.failed"
    say(f"order {order['id']}: shipped a {order['item']}")
    return "shipping.done"


channel = order_flow.open_queue(connect(), "shipping", "payment.taken")
order_flow.handle(channel, "shipping", ship)
consume(channel)
