"""RPC: answers requests for Fibonacci numbers.

    python rpc_server.py
"""

import pika

from common import connect, consume, say


def fibonacci(n):
    a, b = 0, 1
    for _ in range(n):
        a, b = b, a + b
    return a


def answer(channel, method, properties, body):
    n = int(body)
    say(f"fibonacci({n})")
    channel.basic_publish(
        "", properties.reply_to, str(fibonacci(n)).encode(), pika.BasicProperties(correlation_id=properties.correlation_id)
    )
    channel.basic_ack(method.delivery_tag)


channel = connect().channel()
channel.queue_declare("fibonacci")
channel.basic_qos(prefetch_count=1)
channel.basic_consume("fibonacci", answer)
consume(channel)
