"""Order flow: takes payments up to 1000, and gives back those of orders that cannot be shipped.

    python order_flow_payment.py
"""

import order_flow
from common import connect, consume, say


def pay(key, order):
    if key == "shipping.failed":
        say(f"order {order['id']}: refunded {order['amount']}")
        return "payment.refunded"
    if order["amount"] > 1000:
        say(f"order {order['id']}: declined {order['amount']}")
        return "payment.declined"
    say(f"order {order['id']}: took {order['amount']}")
    return "payment.taken"


channel = order_flow.open_queue(connect(), "payment", "order.placed", "shipping.failed")
order_flow.handle(channel, "payment", pay)
consume(channel)
