"""Competing consumers: several workers share a queue, and each message is done once.

    python competing_consumers.py [WORKERS [TASKS]]
"""

import sys
import threading
import time
from collections import Counter

from common import PERSISTENT, connect, say

WORKERS = int(sys.argv[1]) if len(sys.argv) > 1 else 3
TASKS = int(sys.argv[2]) if len(sys.argv) > 2 else 30

done = Counter()  # task -> how often
share = Counter()  # worker -> tasks
lock = threading.Lock()
all_done = threading.Event()


def worker(number, ready):
    """A worker has a connection of its own: pika's must not be shared between threads."""
    connection = connect()
    channel = connection.channel()
    channel.basic_qos(prefetch_count=1)  # who is slow gets less
    ready.wait()
    for method, _, body in channel.consume("shared", inactivity_timeout=0.05):
        if all_done.is_set():
            break
        if method is None:
            continue
        time.sleep(0.002 * (1 + number))
        with lock:
            done[body.decode()] += 1
            share[number] += 1
            if len(done) == TASKS:
                all_done.set()
        channel.basic_ack(method.delivery_tag)
    channel.cancel()
    connection.close()


connection = connect()
channel = connection.channel()
channel.queue_declare("shared", durable=True)
channel.confirm_delivery()
for i in range(TASKS):
    channel.basic_publish("", "shared", f"task {i}".encode(), PERSISTENT)
say(f"sent {TASKS} tasks")

ready = threading.Barrier(WORKERS)
threads = [threading.Thread(target=worker, args=(n, ready)) for n in range(WORKERS)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()

say(f"{len(done)} tasks done by {len(share)} workers, {sum(done.values())} times in all")
left = channel.queue_declare("shared", passive=True).method.message_count
say(f"{left} left")
channel.queue_delete("shared")
connection.close()
