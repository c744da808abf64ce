"""The Celery application that the suite's workers run. CELERY_QUEUE names its queue, CELERY_QUEUE_TYPE its type."""

import os
import time

from celery import Celery

QUEUE = os.environ.get("CELERY_QUEUE", "celery")

app = Celery("conformance", broker=os.environ["AMQP_URL"], backend="rpc://")
app.conf.update(
    task_default_queue=QUEUE,
    task_default_queue_type=os.environ.get("CELERY_QUEUE_TYPE", "classic"),
    task_default_exchange_type="topic" if os.environ.get("CELERY_QUEUE_TYPE") == "quorum" else "direct",
    task_default_exchange=QUEUE,
    broker_native_delayed_delivery_queue_type="quorum",
    worker_prefetch_multiplier=1,
    worker_send_task_events=True,
    task_send_sent_event=True,
    broker_connection_retry_on_startup=True,
    broker_connection_timeout=2,
    result_expires=60,
    task_acks_late=True,
    task_reject_on_worker_lost=True,
)


@app.task
def add(x, y):
    return x + y


@app.task
def fail(what):
    raise ValueError(what)


@app.task(bind=True, max_retries=5)
def flaky(self, failures):
    """Fails that often, and says at which attempt it succeeded."""
    if self.request.retries < failures:
        raise self.retry(countdown=0.2)
    return self.request.retries + 1


@app.task
def now():
    """When it runs."""
    return time.time()


@app.task
def sleep(seconds):
    time.sleep(seconds)
    return seconds


@app.task(bind=True)
def note(self, path, seconds):
    """Writes down that it began and whether it was delivered before, and then takes its time."""
    with open(path, "a") as notes:
        notes.write(f"{self.request.delivery_info['redelivered']}\n")
    time.sleep(seconds)
