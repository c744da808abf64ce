"""confluent-kafka: consuming and groups."""

import threading
import time

from confluent_kafka import (
    OFFSET_BEGINNING,
    OFFSET_END,
    OFFSET_INVALID,
    ConsumerGroupTopicPartitions,
    KafkaError,
    KafkaException,
    TopicPartition,
)
from confluent_kafka.admin import NewPartitions

import confluent_client as c
from runner import case, equal, fresh, until


@case("consume/assign at the beginning, the end and an offset")
def assign():
    topic = c.new_topic(3)
    for partition in range(3):
        c.send(topic, c.numbered(10, partition=partition))
    consumer = c.consumer()
    consumer.assign(
        [TopicPartition(topic, 0, OFFSET_BEGINNING), TopicPartition(topic, 1, OFFSET_END), TopicPartition(topic, 2, 7)]
    )
    got = c.take(consumer, 13)
    c.send(topic, [{"value": "new", "partition": 1}])
    got += c.take(consumer, 1)
    equal(c.values([m for m in got if m.partition() == 0]), [str(i) for i in range(10)])
    equal(c.values([m for m in got if m.partition() == 1]), ["new"])
    equal(c.values([m for m in got if m.partition() == 2]), ["7", "8", "9"])
    consumer.close()


@case("consume/incremental assign and unassign")
def incremental():
    topic = c.new_topic(2)
    c.send(topic, c.numbered(5, partition=0))
    c.send(topic, c.numbered(5, partition=1))
    consumer = c.consumer()
    consumer.incremental_assign([TopicPartition(topic, 0, 0)])
    equal({m.partition() for m in c.take(consumer, 5)}, {0})
    consumer.incremental_assign([TopicPartition(topic, 1, 3)])
    equal(c.values(c.take(consumer, 2)), ["3", "4"])
    consumer.incremental_unassign([TopicPartition(topic, 0)])
    c.send(topic, [{"value": "0", "partition": 0}, {"value": "1", "partition": 1}])
    equal(c.values(c.take(consumer, 1)), ["1"])
    assert consumer.poll(0.4) is None
    consumer.close()


@case("consume/end of partition events")
def partition_eof():
    topic = c.new_topic()
    c.send(topic, c.numbered(3))
    consumer = c.consumer(enable_partition_eof=True)
    consumer.subscribe([topic])
    seen = []

    def at_end():
        m = consumer.poll(0.1)
        if m is None:
            return False
        if m.error():
            equal(m.error().code(), KafkaError._PARTITION_EOF)
            equal(m.offset(), 3)
            return True
        seen.append(m.value())
        return False

    until("the end", at_end)
    equal(seen, [b"0", b"1", b"2"])
    consumer.close()


@case("consume/seek")
def seek():
    topic = c.new_topic()
    c.send(topic, c.numbered(20))
    consumer = c.consumer()
    consumer.subscribe([topic])
    c.take(consumer, 20)
    consumer.seek(TopicPartition(topic, 0, 15))
    equal(c.values(c.take(consumer, 5)), ["15", "16", "17", "18", "19"])
    equal(consumer.position([TopicPartition(topic, 0)])[0].offset, 20)
    consumer.seek(TopicPartition(topic, 0, 100000))  # out of range: back to the earliest
    equal(c.values(c.take(consumer, 1)), ["0"])
    consumer.close()


@case("consume/pause and resume")
def pause():
    topic = c.new_topic(2)
    consumer = c.consumer()
    consumer.assign([TopicPartition(topic, 0, 0), TopicPartition(topic, 1, 0)])
    consumer.pause([TopicPartition(topic, 0)])
    c.send(topic, [{"value": "held", "partition": 0}, {"value": "b", "partition": 1}])
    equal(c.values(c.take(consumer, 1)), ["b"])
    assert consumer.poll(0.5) is None
    consumer.resume([TopicPartition(topic, 0)])
    equal(c.values(c.take(consumer, 1)), ["held"])
    consumer.close()


@case("consume/watermarks and offsets_for_times")
def offsets_for_times():
    topic = c.new_topic()
    base = int(time.time() * 1000) - 100000
    for i in range(5):
        c.send(topic, [{"value": str(i), "timestamp": base + 1000 * i}])
    consumer = c.consumer()
    equal(consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=10), (0, 5))
    for millis, offset in ((base, 0), (base + 1, 1), (base + 3000, 3), (base + 999999, -1)):
        equal(consumer.offsets_for_times([TopicPartition(topic, 0, millis)], timeout=10)[0].offset, offset)
    consumer.close()


@case("consume/commit and committed")
def commit():
    topic = c.new_topic(2)
    group = fresh("py-group")
    c.send(topic, c.numbered(10, partition=0))
    consumer = c.consumer(group_id=group, enable_auto_commit=False)
    consumer.subscribe([topic])
    got = c.take(consumer, 10)
    equal([p.offset for p in consumer.committed([TopicPartition(topic, 0)], timeout=10)], [OFFSET_INVALID])
    consumer.commit(message=got[-1], asynchronous=False)
    consumer.commit(offsets=[TopicPartition(topic, 1, 0, "note, ü")], asynchronous=False)
    back = consumer.committed([TopicPartition(topic, 0), TopicPartition(topic, 1)], timeout=10)
    equal([(p.partition, p.offset, p.metadata) for p in back], [(0, 10, None), (1, 0, "note, ü")])
    consumer.commit(offsets=[TopicPartition(topic, 0, 4)], asynchronous=False)
    consumer.close()
    equal(c.values(c.read_all(topic, 6, group_id=group)), ["4", "5", "6", "7", "8", "9"])


@case("consume/stored offsets are committed")
def stored_offsets():
    topic = c.new_topic()
    group = fresh("py-group")
    c.send(topic, c.numbered(10))
    consumer = c.consumer(group_id=group, enable_auto_offset_store=False, auto_commit_interval_ms=100)
    consumer.subscribe([topic])
    for m in c.take(consumer, 10):
        if m.offset() < 6:
            consumer.store_offsets(message=m)
    consumer.close()
    equal(c.values(c.read_all(topic, 4, group_id=group)), ["6", "7", "8", "9"])


@case("consume/batches")
def batches():
    topic = c.new_topic()
    c.send(topic, c.numbered(1000))
    consumer = c.consumer()
    consumer.subscribe([topic])
    got = []
    until("1000", lambda: got.extend(consumer.consume(300, 0.2)) or len(got) >= 1000)
    equal(c.values(got), [str(i) for i in range(1000)])
    consumer.close()


@case("consume/pattern subscription finds new topics")
def pattern():
    prefix = fresh("py-re")
    first, second = f"{prefix}-a", f"{prefix}-b"
    c.done(c.admin().create_topics([c.NewTopic(first, 1, 1)]))
    c.wait_topic(first, 1)
    c.send(first, [{"value": "a"}])
    consumer = c.consumer()
    consumer.subscribe([f"^{prefix}-.*"])
    equal(c.values(c.take(consumer, 1)), ["a"])
    c.done(c.admin().create_topics([c.NewTopic(second, 1, 1)]))
    c.wait_topic(second, 1)
    c.send(second, [{"value": "b"}])
    equal(c.values(c.take(consumer, 1)), ["b"])
    consumer.close()


@case("consume/unknown topic is reported")
def unknown_topic():
    consumer = c.consumer(allow_auto_create_topics=False)
    consumer.subscribe([fresh("py-none")])

    def reported():
        m = consumer.poll(0.2)
        return m is not None and m.error() and m.error().code() == KafkaError.UNKNOWN_TOPIC_OR_PART

    until("the error", reported)
    consumer.close()


class Member:
    """A member of a group that consumes in a thread and notes what it owns."""

    def __init__(self, topic, **config):
        self.consumer = c.consumer(auto_commit_interval_ms=200, **config)
        self.owns = set()
        self.seen = set()
        self.log = []
        self.failure = None
        self.stopping = threading.Event()
        self.consumer.subscribe([topic], on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._revoked)
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _assigned(self, _, partitions):
        self.log.append(("+", sorted(p.partition for p in partitions)))
        self.owns |= {p.partition for p in partitions}

    def _revoked(self, _, partitions):
        self.log.append(("-", sorted(p.partition for p in partitions)))
        self.owns -= {p.partition for p in partitions}

    def _run(self):
        try:
            while not self.stopping.is_set():
                m = self.consumer.poll(0.05)
                if m is None:
                    continue
                if m.error():
                    raise KafkaException(m.error())
                if m.partition() not in self.owns:
                    raise AssertionError(f"a message of partition {m.partition()}, which it does not own")
                self.seen.add((m.partition(), m.offset()))
        except BaseException as error:
            self.failure = error

    def leave(self):
        self.stopping.set()
        self.thread.join(10)
        self.consumer.close()
        self.owns = set()


def settled(members, partitions):
    """Whether the members own all partitions, each once, and evenly."""
    for m in members:
        if m.failure:
            raise m.failure
    counts = [len(m.owns) for m in members]
    return set().union(*(m.owns for m in members)) == set(range(partitions)) and sum(counts) == partitions and max(counts) - min(counts) <= 1


def churn(strategy):
    """Members join and leave while messages flow; none is missed."""
    topic = c.new_topic(6)
    config = {"group_id": fresh("py-group"), "partition_assignment_strategy": strategy}
    sent = set()
    stop = threading.Event()

    def report(error, m):
        if error is None:
            sent.add((m.partition(), m.offset()))

    def produce():
        p = c.producer(enable_idempotence=True)
        i = 0
        while not stop.is_set():
            p.produce(topic, str(i), partition=i % 6, on_delivery=report)
            p.poll(0.005)
            i += 1
        p.flush(20)

    producing = threading.Thread(target=produce)
    producing.start()
    members = []
    try:
        for size in (1, 2, 3):
            members.append(Member(topic, **config))
            until(f"{size} share", lambda: settled(members, 6))
        members[0].leave()
        until("two share again", lambda: settled(members[1:], 6))
    finally:
        stop.set()
        producing.join()
    until("all was seen", lambda: sent <= set().union(*(m.seen for m in members)))
    for m in members[1:]:
        m.leave()
    return members


@case("groups/range, members join and leave while messages flow")
def range_churn():
    churn("range")


@case("groups/roundrobin, members join and leave while messages flow")
def roundrobin_churn():
    churn("roundrobin")


@case("groups/cooperative-sticky, members join and leave while messages flow")
def cooperative_churn():
    first = churn("cooperative-sticky")[0]
    # The first member gave away only what it had to: 6 → 3 → 2.
    revoked = [p for sign, p in first.log if sign == "-" and p]
    equal([len(p) for p in revoked[:2]], [3, 1])


@case("groups/static member comes back without a rebalance")
def static_member():
    topic = c.new_topic(4)
    group = fresh("py-group")

    def join(i):
        return Member(topic, group_id=group, group_instance_id=f"instance-{i}", session_timeout_ms=20000)

    one, two = join(1), join(2)
    until("both share", lambda: settled([one, two], 4))
    owned, changes = set(two.owns), len(one.log)
    two.leave()  # a static member does not leave the group when it closes
    two = join(2)
    until("it is back", lambda: two.owns == owned)
    equal(len(one.log), changes)
    one.leave()
    two.leave()


@case("groups/second static member fences the first")
def static_fence():
    topic = c.new_topic()
    group = fresh("py-group")
    first = c.consumer(group_id=group, group_instance_id="same", session_timeout_ms=20000)
    first.subscribe([topic])
    until("the first owns it", lambda: first.poll(0.05) is None and first.assignment())
    second = c.consumer(group_id=group, group_instance_id="same", session_timeout_ms=20000)
    second.subscribe([topic])

    def fenced():
        second.poll(0.05)
        try:
            m = first.poll(0.05)
        except KafkaException as error:
            return error.args[0].code() in (KafkaError.FENCED_INSTANCE_ID, KafkaError._FATAL)
        return m is not None and m.error() and m.error().code() in (KafkaError.FENCED_INSTANCE_ID, KafkaError._FATAL)

    until("the first is fenced", fenced)
    first.close()
    second.close()


@case("groups/a member that stops polling is removed")
def stalled_member():
    topic = c.new_topic(2)
    group = fresh("py-group")
    stalled = c.consumer(group_id=group, session_timeout_ms=6000, max_poll_interval_ms=6000)
    stalled.subscribe([topic])
    until("it owns both", lambda: stalled.poll(0.05) is None and len(stalled.assignment()) == 2)
    other = Member(topic, group_id=group)
    until("the other owns both", lambda: other.owns == {0, 1}, 30)
    other.leave()
    # librdkafka may hang in close() if a rebalance still waits for a poll.
    stalled.poll(1)
    stalled.close()


@case("groups/new partitions are assigned")
def new_partitions():
    topic = c.new_topic(1)
    m = Member(topic, group_id=fresh("py-group"))
    until("it owns one", lambda: m.owns == {0})
    c.done(c.admin().create_partitions([NewPartitions(topic, 3)]))
    until("it owns three", lambda: m.owns == {0, 1, 2})
    c.send(topic, [{"value": "x", "partition": 2}])
    until("it consumes the new", lambda: (2, 0) in m.seen)
    m.leave()


@case("groups/metadata of the group is seen by others")
def consumer_group_metadata():
    topic = c.new_topic()
    group = fresh("py-group")
    c.send(topic, c.numbered(2))
    c.read_all(topic, 2, group_id=group)
    listed = c.done(c.admin().list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)]))
    equal([(p.topic, p.partition, p.offset) for p in listed[group].topic_partitions], [(topic, 0, 2)])
