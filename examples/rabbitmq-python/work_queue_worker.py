"""Work queue: does one task after the other, and acknowledges each when it is done.

    python work_queue_worker.py     start several; kill one, and another gets its task
"""

import time

from common import connect, consume, say


def work(channel, method, properties, body):
    task = body.decode()
    say("again" if method.redelivered else "received", task)
    time.sleep(0.1 * task.count("."))
    say("done", task)
    channel.basic_ack(method.delivery_tag)


channel = connect().channel()
channel.queue_declare("tasks", durable=True)
channel.basic_qos(prefetch_count=1)  # the next task only when this one is done
channel.basic_consume("tasks", work)
consume(channel)
