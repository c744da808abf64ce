"""Retry with delay and dead letters: does jobs, some of which fail.

    python retry_worker.py     jobs named flaky fail twice, jobs named broken always
"""

import pika

from common import connect, consume, say
from retry_topology import ATTEMPTS, DELAY_MS, declare


def failures(properties):
    """How often the job was rejected before; the broker counts in x-death."""
    for death in (properties.headers or {}).get("x-death", []):
        if death["queue"] == "jobs" and death["reason"] == "rejected":
            return death["count"]
    return 0


def work(channel, method, properties, body):
    job, attempt = body.decode(), failures(properties) + 1
    if not (job == "broken" or job == "flaky" and attempt < 3):
        say(f"{job}: done at attempt {attempt}")
        channel.basic_ack(method.delivery_tag)
    elif attempt < ATTEMPTS:
        say(f"{job}: attempt {attempt} failed, again in {DELAY_MS} ms")
        channel.basic_reject(method.delivery_tag, requeue=False)  # to jobs.retry
    else:
        say(f"{job}: attempt {attempt} failed, given up")
        kept = pika.BasicProperties(delivery_mode=pika.DeliveryMode.Persistent, headers={"attempts": attempt})
        channel.basic_publish("", "jobs.failed", body, kept)  # confirmed, then
        channel.basic_ack(method.delivery_tag)


channel = connect().channel()
declare(channel)
channel.confirm_delivery()
channel.basic_qos(prefetch_count=1)
channel.basic_consume("jobs", work)
consume(channel)
