"""RPC: asks for Fibonacci numbers, and gets the answers by direct reply-to.

    python rpc_client.py N...
"""

import sys
import uuid

import pika

from common import connect, say

# The broker replaces this name in a request by one that leads back here. No
# queue is made for the answers.
REPLY_TO = "amq.rabbitmq.reply-to"


class Client:
    """Calls the server and waits for its answers."""

    def __init__(self, connection):
        self.connection = connection
        self.channel = connection.channel()
        self.channel.queue_declare("fibonacci")
        self.channel.basic_consume(REPLY_TO, self._answered, auto_ack=True)
        self.answers = {}

    def _answered(self, channel, method, properties, body):
        self.answers[properties.correlation_id] = int(body)

    def call(self, n, seconds=10):
        request = str(uuid.uuid4())
        properties = pika.BasicProperties(reply_to=REPLY_TO, correlation_id=request)
        self.channel.basic_publish("", "fibonacci", str(n).encode(), properties)
        self.connection.process_data_events(time_limit=0)
        waited = 0
        while request not in self.answers:
            if waited >= seconds:
                raise TimeoutError(f"no answer within {seconds} s")
            self.connection.process_data_events(time_limit=0.1)
            waited += 0.1
        return self.answers.pop(request)


connection = connect()
client = Client(connection)
for n in map(int, sys.argv[1:]):
    say(f"fibonacci({n}) = {client.call(n)}")
connection.close()
