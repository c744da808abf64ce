"""pika, as somebody who may read a queue and has no keys.

    python amqp.py QUEUE COUNT    prints messages, a line of JSON each; bytes are in base64

It acknowledges none, so that all are back in the queue when it has ended.
"""

import base64
import json
import os
import sys

import pika

queue, count = sys.argv[1], int(sys.argv[2])
connection = pika.BlockingConnection(pika.URLParameters(os.environ["AMQP_URL"]))
channel = connection.channel()


def b64(value):
    return base64.b64encode(value if isinstance(value, bytes) else str(value).encode()).decode()


for method, properties, body in channel.consume(queue):
    carried = {name: value for name, value in vars(properties).items() if value is not None and name != "headers"}
    headers = {**carried, **(properties.headers or {})}
    print(json.dumps({
        "key": b64(method.routing_key), "body": b64(body),
        "headers": {name: [b64(v) for v in (value if isinstance(value, list) else [value])] for name, value in headers.items()},
    }), flush=True)  # fmt: skip
    count -= 1
    if count == 0:
        break
connection.close()
