"""The kafka-python suite. BOOTSTRAP=HOST:PORT python kafka_python_main.py"""

import os
import threading
import time

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka import errors
from kafka.admin import ConfigResource, ConfigResourceType, OffsetSpec
from kafka.structs import OffsetAndMetadata

import runner
from runner import BOOTSTRAP, case, equal, fresh, until


def admin():
    return KafkaAdminClient(bootstrap_servers=BOOTSTRAP)


def new_topic(partitions=1, configs=None, prefix="kpy"):
    name = fresh(prefix)
    client = admin()
    client.create_topics({name: {"num_partitions": partitions, "replication_factor": 1, "configs": configs or {}}})
    client.wait_for_topics([name])
    client.close()
    return name


def send(topic, messages, **config):
    """Produces the messages, dicts of send()'s arguments, and returns their metadata."""
    producer = KafkaProducer(bootstrap_servers=BOOTSTRAP, **config)
    try:
        futures = [producer.send(topic, **m) for m in messages]
        producer.flush(30)
        return [f.get(10) for f in futures]
    finally:
        producer.close(10)


def numbered(count, first=0, **more):
    return [{"value": b"%d" % (first + i), **more} for i in range(count)]


def consumer(*topics, **config):
    config.setdefault("group_id", fresh("kpy-group"))
    quick = {"session_timeout_ms": 10000, "heartbeat_interval_ms": 250, "fetch_max_wait_ms": 100, "metadata_max_age_ms": 1000}
    return KafkaConsumer(*topics, bootstrap_servers=BOOTSTRAP, auto_offset_reset="earliest", **{**quick, **config})


def take(c, count, seconds=25):
    # The polls are long because kafka-python 3.0.12 can lose an assignment
    # that arrives while no poll is waiting, on Apache Kafka too.
    got = {}
    end = time.monotonic() + seconds
    while len(got) < count:
        if time.monotonic() > end:
            raise AssertionError(f"{len(got)} of {count} messages within {seconds} s")
        for records in c.poll(5000).values():
            for r in records:
                got.setdefault((r.topic, r.partition, r.offset), r)
    return list(got.values())


def read_all(topic, count, **config):
    c = consumer(topic, **config)
    try:
        return take(c, count)
    finally:
        c.close()


def values(records):
    return [r.value for r in records]


def fails_with(kind, fn):
    try:
        result = fn()
    except kind:
        return
    raise AssertionError(f"it was accepted: {result}")


def compression(codec):
    topic = new_topic(prefix=f"kpy-codec-{codec or 'none'}")
    messages = [{"key": b"%d" % i, "value": b"%d " % i + b"the waxwing passes the berry on " * 20} for i in range(400)]
    send(topic, messages, compression_type=codec, linger_ms=20)
    got = read_all(topic, 400)
    equal([(r.key, r.value) for r in got], [(m["key"], m["value"]) for m in messages])


for codec in (None, "gzip", "snappy", "lz4", "zstd"):
    case(f"produce/idempotent, compression {codec}")(lambda codec=codec: compression(codec))


def acknowledged(acks):
    topic = new_topic()
    sent = send(topic, numbered(100), acks=acks, enable_idempotence=False)
    if acks != 0:
        equal([m.offset for m in sent], list(range(100)))
    equal(values(read_all(topic, 100)), [b"%d" % i for i in range(100)])


for acks in (0, 1, "all"):
    case(f"produce/acks {acks}")(lambda acks=acks: acknowledged(acks))


@case("produce/keys, headers, nulls and timestamps")
def shapes():
    topic = new_topic()
    raw = os.urandom(50)
    sent = [
        {"key": b"k", "value": b"v", "headers": [("a", b"1"), ("a", raw)]},
        {"key": b"gone", "value": None},
        {"value": b""},
        {"key": b"t", "value": raw, "timestamp_ms": 1600000000123},
    ]
    send(topic, sent)
    got = read_all(topic, 4)
    equal(list(got[0].headers), [("a", b"1"), ("a", raw)])
    equal([(r.key, r.value) for r in got], [(m.get("key"), m["value"]) for m in sent])
    equal(got[3].timestamp, 1600000000123)


@case("produce/too large a message is refused")
def too_large():
    topic = new_topic(configs={"max.message.bytes": "5000"})
    fails_with(errors.MessageSizeTooLargeError, lambda: send(topic, [{"value": os.urandom(6000)}]))
    send(topic, [{"value": os.urandom(4000)}])


@case("produce/topic created on first use")
def auto_created():
    topic = fresh("kpy-auto")
    send(topic, numbered(1))
    equal(values(read_all(topic, 1)), [b"0"])


@case("consume/positions, beginning, end and times")
def offsets():
    topic = new_topic()
    base = int(time.time() * 1000) - 100000
    for i in range(5):
        send(topic, [{"value": b"%d" % i, "timestamp_ms": base + 1000 * i}])
    c = consumer(group_id=None)
    tp = TopicPartition(topic, 0)
    c.assign([tp])
    equal(c.beginning_offsets([tp]), {tp: 0})
    equal(c.end_offsets([tp]), {tp: 5})
    found = c.offsets_for_times({tp: base + 2500})[tp]
    equal((found.offset, found.timestamp), (3, base + 3000))
    equal(c.offsets_for_times({tp: base + 99999999})[tp], None)
    c.seek(tp, 3)
    equal(values(take(c, 2)), [b"3", b"4"])
    equal(c.position(tp), 5)
    equal(c.highwater(tp), 5)
    c.seek_to_beginning(tp)
    equal(values(take(c, 5)), [b"%d" % i for i in range(5)])
    c.close()


@case("consume/pause and resume")
def pause():
    topic = new_topic(2)
    c = consumer(group_id=None)
    held, free = TopicPartition(topic, 0), TopicPartition(topic, 1)
    c.assign([held, free])
    c.pause(held)
    send(topic, [{"value": b"held", "partition": 0}, {"value": b"b", "partition": 1}])
    equal(values(take(c, 1)), [b"b"])
    equal(c.poll(400), {})
    c.resume(held)
    equal(values(take(c, 1)), [b"held"])
    c.close()


@case("consume/commit and committed")
def commit():
    topic, group = new_topic(), fresh("kpy-group")
    tp = TopicPartition(topic, 0)
    send(topic, numbered(10))
    c = consumer(topic, group_id=group, enable_auto_commit=False)
    take(c, 10)
    equal(c.committed(tp), None)
    c.commit({tp: OffsetAndMetadata(6, "six, ü", -1)})
    back = c.committed(tp, metadata=True)
    equal((back.offset, back.metadata), (6, "six, ü"))
    c.close()
    equal(values(read_all(topic, 4, group_id=group)), [b"6", b"7", b"8", b"9"])


@case("consume/pattern subscription")
def pattern():
    prefix = fresh("kpy-re")
    client = admin()
    names = [f"{prefix}-a", f"{prefix}-b"]
    client.create_topics({n: {"num_partitions": 1, "replication_factor": 1} for n in names})
    client.wait_for_topics(names)
    client.close()
    for n in names:
        send(n, [{"value": n.encode()}])
    c = consumer()
    c.subscribe(pattern=f"^{prefix}-.*")
    equal(sorted(values(take(c, 2))), [n.encode() for n in names])
    c.close()


class Member:
    """A member of a group that consumes in a thread."""

    def __init__(self, topic, group):
        self.seen = set()
        self.owns = set()
        self.stopping = threading.Event()
        self.consumer = consumer(topic, group_id=group, auto_commit_interval_ms=200)
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        while not self.stopping.is_set():
            for records in self.consumer.poll(1000).values():
                self.seen |= {(r.partition, r.offset) for r in records}
            self.owns = {p.partition for p in self.consumer.assignment()}
        self.consumer.close()
        self.owns = set()

    def leave(self):
        self.stopping.set()
        self.thread.join(15)


@case("groups/members join and leave")
def groups():
    topic, group = new_topic(4), fresh("kpy-group")
    first = Member(topic, group)
    until("one owns all", lambda: len(first.owns) == 4)
    send(topic, [{"value": b"x", "partition": i % 4} for i in range(40)])
    second = Member(topic, group)
    until("two share", lambda: len(first.owns) == 2 and len(second.owns) == 2 and not first.owns & second.owns)
    send(topic, [{"value": b"x", "partition": i % 4} for i in range(40)])
    until("all was seen", lambda: len(first.seen | second.seen) == 80)
    first.leave()
    until("the other owns all", lambda: len(second.owns) == 4)
    send(topic, [{"value": b"x", "partition": i % 4} for i in range(40)])
    until("all was seen", lambda: len(first.seen | second.seen) == 120)
    second.leave()


@case("admin/topics and partitions")
def topics():
    client, name = admin(), fresh("kpy-t")
    spec = {name: {"num_partitions": 2, "replication_factor": 1}}
    client.create_topics(spec)
    client.wait_for_topics([name])
    fails_with(errors.TopicAlreadyExistsError, lambda: client.create_topics(spec))
    assert name in client.list_topics()
    equal(len(client.describe_topics([name])[0]["partitions"]), 2)
    client.create_partitions({name: 4})
    until("4 partitions", lambda: len(client.describe_topics([name])[0]["partitions"]) == 4)
    page = client.describe_topic_partitions([name], response_partition_limit=3)
    equal([p["partition_index"] for p in page["topics"][0]["partitions"]], [0, 1, 2])
    page = client.describe_topic_partitions([name], cursor=page["next_cursor"])
    equal([p["partition_index"] for p in page["topics"][0]["partitions"]], [3])
    client.delete_topics([name])
    until("it is gone", lambda: name not in client.list_topics())
    fails_with(errors.UnknownTopicOrPartitionError, lambda: client.delete_topics([name]))
    client.close()


@case("admin/configs")
def configs():
    client, name = admin(), new_topic(configs={"retention.ms": "123456"})

    def value(key):
        found = client.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name)], config_filter="all")
        return found["topic"][name][key]["value"]

    equal(value("retention.ms"), "123456")
    client.alter_configs([ConfigResource(ConfigResourceType.TOPIC, name, {"max.message.bytes": "5000"})])
    until("the new value", lambda: value("max.message.bytes") == "5000")
    equal(value("retention.ms"), "123456")
    client.reset_configs([ConfigResource(ConfigResourceType.TOPIC, name, {"retention.ms": None})])
    until("the default", lambda: value("retention.ms") == "604800000")
    client.close()


@case("admin/groups and their offsets")
def group_admin():
    client, topic, group = admin(), new_topic(), fresh("kpy-group")
    tp = TopicPartition(topic, 0)
    send(topic, numbered(5))
    c = consumer(topic, group_id=group)
    take(c, 5)
    described = client.describe_groups([group])[group]
    equal((described["group_state"], len(described["members"])), ("Stable", 1))
    assert group in [g["group_id"] for g in client.list_groups()]
    c.close()
    equal(client.list_group_offsets({group: [tp]})[group][tp].offset, 5)
    equal(client.alter_group_offsets(group, {tp: OffsetAndMetadata(2, "", -1)}), {tp: errors.NoError})
    equal(client.list_group_offsets(group)[group][tp].offset, 2)
    equal(client.delete_group_offsets(group, [tp]), {tp: errors.NoError})
    equal(client.list_group_offsets(group)[group], {})
    client.alter_group_offsets(group, {tp: OffsetAndMetadata(1, "", -1)})
    client.delete_groups([group])
    assert group not in [g["group_id"] for g in client.list_groups()]
    client.close()


@case("admin/records and offsets")
def records():
    client, topic = admin(), new_topic()
    tp = TopicPartition(topic, 0)
    base = int(time.time() * 1000) - 100000
    for i, late in enumerate((0, 9000, 1000)):
        send(topic, [{"value": b"%d" % i, "timestamp_ms": base + late}])
    at = lambda spec: client.list_partition_offsets({tp: spec})[tp].offset
    equal([at(OffsetSpec.EARLIEST), at(OffsetSpec.LATEST), at(OffsetSpec.MAX_TIMESTAMP)], [0, 3, 1])
    client.delete_records({tp: 2})
    equal(at(OffsetSpec.EARLIEST), 2)
    equal(values(read_all(topic, 1)), [b"2"])
    fails_with(errors.OffsetOutOfRangeError, lambda: client.delete_records({tp: 9}))
    client.close()


@case("admin/cluster, log directories, features and producers")
def cluster():
    client, topic = admin(), new_topic()
    send(topic, numbered(3))
    described = client.describe_cluster()
    equal([f"{b['host']}:{b['port']}" for b in described["brokers"]], [BOOTSTRAP])
    dirs = client.describe_log_dirs([topic])
    sizes = [p["partition_size"] for b in dirs for d in b["log_dirs"] for t in d["topics"] for p in t["partitions"]]
    equal(len(sizes), 1)
    assert sizes[0] > 0
    assert client.describe_features()["metadata.version"]["finalized"][1] > 0
    producers = client.describe_producers([TopicPartition(topic, 0)])[TopicPartition(topic, 0)]
    equal(len(producers), 1)
    client.close()


if __name__ == "__main__":
    # One at a time: several of its consumers in one process starve each other.
    runner.run(width=1, case_seconds=60)
