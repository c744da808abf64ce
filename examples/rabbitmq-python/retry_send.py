"""Retry with delay and dead letters: sends jobs.

    python retry_send.py JOB...
"""

import sys

import retry_topology
from common import PERSISTENT, connect, say

connection = connect()
channel = connection.channel()
retry_topology.declare(channel)
channel.confirm_delivery()

for job in sys.argv[1:]:
    channel.basic_publish("", "jobs", job.encode(), PERSISTENT)
    say("sent", job)
connection.close()
