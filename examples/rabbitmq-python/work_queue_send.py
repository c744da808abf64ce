"""Work queue: gives tasks to whichever worker is free.

    python work_queue_send.py TASK...     each dot of a task is 0.1 s of work
"""

import sys

from common import PERSISTENT, connect, say

connection = connect()
channel = connection.channel()
channel.queue_declare("tasks", durable=True)
channel.confirm_delivery()  # basic_publish returns once the task is on disk

for task in sys.argv[1:]:
    channel.basic_publish("", "tasks", task.encode(), PERSISTENT, mandatory=True)
    say("sent", task)
connection.close()
