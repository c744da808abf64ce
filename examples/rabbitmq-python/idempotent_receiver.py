"""Idempotent receiver: applies each payment once, however often it is delivered.

    python idempotent_receiver.py DATABASE [--crash-before-ack]

What a message does and the note that it was done are one transaction of the
database. A crash before the acknowledgement brings the message again; the note
says that nothing is left to do.
"""

import os
import sqlite3
import sys

from common import connect, consume, say

database = sqlite3.connect(sys.argv[1])
database.execute("CREATE TABLE IF NOT EXISTS inbox (message_id TEXT PRIMARY KEY)")
database.execute("CREATE TABLE IF NOT EXISTS account (balance INTEGER)")
crash = "--crash-before-ack" in sys.argv


def apply(message_id, amount):
    """Returns False if the message was applied before."""
    with database:  # one transaction
        try:
            database.execute("INSERT INTO inbox VALUES (?)", (message_id,))
        except sqlite3.IntegrityError:
            return False
        database.execute("INSERT INTO account VALUES (?)", (amount,))
        return True


def receive(channel, method, properties, body):
    applied = apply(properties.message_id, int(body))
    (balance,) = database.execute("SELECT SUM(balance) FROM account").fetchone()
    say(f"{properties.message_id}: {'applied' if applied else 'was applied before'}, balance {balance}")
    if crash:
        os._exit(1)
    channel.basic_ack(method.delivery_tag)


channel = connect().channel()
channel.queue_declare("payments", durable=True)
channel.basic_qos(prefetch_count=10)
channel.basic_consume("payments", receive)
consume(channel)
