"""Publish/subscribe: prints what is published from now on.

    python pubsub_subscribe.py     as many as you like
"""

from common import connect, consume, say


def show(channel, method, properties, body):
    say(body.decode())


channel = connect().channel()
channel.exchange_declare("news", "fanout")
# A queue of our own, which the broker names and deletes when we are gone.
queue = channel.queue_declare("", exclusive=True).method.queue
channel.queue_bind(queue, "news")
channel.basic_consume(queue, show, auto_ack=True)
consume(channel)
