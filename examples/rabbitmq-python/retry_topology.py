"""Retry with delay and dead letters: the queues.

    jobs ── rejected ──► jobs.retry ── after DELAY_MS ──► jobs
    jobs ── after ATTEMPTS ──► jobs.failed, for people to look at
"""

ATTEMPTS = 3
DELAY_MS = 300


def declare(channel):
    """Declares what sender and worker need."""
    channel.queue_declare(
        "jobs", durable=True, arguments={"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "jobs.retry"}
    )
    channel.queue_declare(
        "jobs.retry",
        durable=True,
        arguments={"x-message-ttl": DELAY_MS, "x-dead-letter-exchange": "", "x-dead-letter-routing-key": "jobs"},
    )
    channel.queue_declare("jobs.failed", durable=True)
