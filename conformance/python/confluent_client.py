"""What the confluent-kafka cases share."""

import threading
import time

from confluent_kafka import Consumer, KafkaException, Producer
from confluent_kafka.admin import AdminClient, NewTopic

from runner import BOOTSTRAP, fresh, until

_admin = None
_admin_lock = threading.Lock()


def admin():
    """The admin client that all cases share."""
    global _admin
    with _admin_lock:
        if _admin is None:
            _admin = AdminClient({"bootstrap.servers": BOOTSTRAP})
        return _admin


def done(futures):
    """Waits for the future, or the dict of futures, of an admin call."""
    if isinstance(futures, dict):
        return {key: f.result(timeout=20) for key, f in futures.items()}
    return futures.result(timeout=20)


def new_topic(partitions=1, config=None, prefix="py"):
    """Creates a topic, waits until its partitions have leaders, and returns its name."""
    name = fresh(prefix)
    done(admin().create_topics([NewTopic(name, partitions, 1, config=config or {})]))
    wait_topic(name, partitions)
    return name


def wait_topic(name, partitions):
    def there():
        topic = admin().list_topics(timeout=10).topics.get(name)
        return topic and len(topic.partitions) == partitions and all(p.leader >= 0 for p in topic.partitions.values())

    until(f"{name} with {partitions} partitions", there)


def producer(**config):
    """A producer; underscores in the names stand for dots."""
    return Producer({"bootstrap.servers": BOOTSTRAP, "linger.ms": 1, **_dots(config)})


def send(topic, messages, **config):
    """Produces messages, dicts of produce()'s arguments, and returns the reports in order of delivery."""
    config.setdefault("enable_idempotence", True)
    p = producer(**config)
    reports = []
    failures = []

    def report(error, message):
        (failures if error else reports).append(error or message)

    for m in messages:
        p.produce(topic, on_delivery=report, **m)
    left = p.flush(30)
    if failures:
        raise KafkaException(failures[0])
    assert left == 0, f"{left} messages were not delivered"
    return reports


def numbered(count, first=0, **more):
    return [{"value": str(first + i), **more} for i in range(count)]


def consumer(**config):
    """A consumer of a fresh group that starts at the beginning and rebalances quickly."""
    defaults = {
        "bootstrap.servers": BOOTSTRAP,
        "group.id": fresh("py-group"),
        "auto.offset.reset": "earliest",
        "session.timeout.ms": 10000,
        "heartbeat.interval.ms": 250,
        "fetch.wait.max.ms": 100,
        "check.crcs": True,
        "topic.metadata.refresh.interval.ms": 1000,
    }
    return Consumer({**defaults, **_dots(config)})


def take(c, count, seconds=25.0):
    """Polls count messages; a record that is delivered again counts once."""
    got = {}
    end = time.monotonic() + seconds
    while len(got) < count:
        if time.monotonic() > end:
            raise AssertionError(f"{len(got)} of {count} messages within {seconds} s")
        m = c.poll(0.2)
        if m is None:
            continue
        if m.error():
            raise KafkaException(m.error())
        got.setdefault((m.topic(), m.partition(), m.offset()), m)
    return list(got.values())


def read_all(topic, count, **config):
    c = consumer(**config)
    try:
        c.subscribe([topic])
        return take(c, count)
    finally:
        c.close()


def values(messages):
    return [m.value() and m.value().decode() for m in messages]


def _dots(config):
    return {key if key.endswith("_cb") else key.replace("_", "."): value for key, value in config.items()}
