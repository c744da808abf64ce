"""confluent-kafka: producing."""

import json
import os
import time

from confluent_kafka import KafkaError, KafkaException, TIMESTAMP_CREATE_TIME, TIMESTAMP_LOG_APPEND_TIME

import confluent_client as c
from runner import FULL, case, equal, fresh


def compression(codec):
    topic = c.new_topic(2, prefix=f"py-codec-{codec}")
    count = 20000 if FULL else 2000
    text = "the waxwing passes the berry on " * 8
    messages = [{"key": str(i), "value": f"{i} {text}", "partition": i % 2} for i in range(count)]
    c.send(topic, messages, compression_type=codec)
    got = c.read_all(topic, count)
    for partition in (0, 1):
        mine = [m for m in got if m.partition() == partition]
        equal(c.values(mine), [m["value"] for m in messages[partition::2]])
        equal([m.offset() for m in mine], list(range(count // 2)))


for codec in ("none", "gzip", "snappy", "lz4", "zstd"):
    case(f"produce/idempotent, compression {codec}")(lambda codec=codec: compression(codec))


def acknowledged(acks):
    topic = c.new_topic()
    reports = c.send(topic, c.numbered(500), acks=acks, enable_idempotence=False)
    if acks != "0":
        equal([m.offset() for m in reports], list(range(500)))
    equal(c.values(c.read_all(topic, 500)), [str(i) for i in range(500)])


for acks in ("0", "1", "all"):
    case(f"produce/acks {acks}")(lambda acks=acks: acknowledged(acks))


@case("produce/many small requests in flight keep their order")
def in_flight():
    topic = c.new_topic()
    count = 5000
    c.send(topic, c.numbered(count), batch_num_messages=3, linger_ms=0, max_in_flight=5)
    equal(c.values(c.read_all(topic, count)), [str(i) for i in range(count)])


@case("produce/keys, headers, nulls and timestamps")
def shapes():
    topic = c.new_topic()
    raw = os.urandom(60)
    c.send(
        topic,
        [
            {"key": "k", "value": "v", "headers": [("a", b"1"), ("a", b"2"), ("raw", raw), ("null", None)]},
            {"key": "gone", "value": None},
            {"key": None, "value": b""},
            {"key": b"", "value": raw, "timestamp": 1600000000123},
        ],
    )
    got = c.read_all(topic, 4)
    equal(got[0].headers(), [("a", b"1"), ("a", b"2"), ("raw", raw), ("null", None)])
    equal((got[1].key(), got[1].value()), (b"gone", None))
    equal((got[2].key(), got[2].value()), (None, b""))
    equal((got[3].key(), got[3].value()), (b"", raw))
    equal(got[3].timestamp(), (TIMESTAMP_CREATE_TIME, 1600000000123))
    assert abs(got[0].timestamp()[1] / 1000 - time.time()) < 60


@case("produce/LogAppendTime")
def log_append_time():
    topic = c.new_topic(config={"message.timestamp.type": "LogAppendTime"})
    before = time.time()
    reports = c.send(topic, [{"value": "x", "timestamp": 1600000000123}])
    kind, millis = c.read_all(topic, 1)[0].timestamp()
    equal(kind, TIMESTAMP_LOG_APPEND_TIME)
    assert before - 60 < millis / 1000 < time.time() + 60
    equal(reports[0].timestamp()[1], millis)


@case("produce/partitioners")
def partitioners():
    for partitioner in ("murmur2_random", "consistent_random", "fnv1a_random"):
        topic = c.new_topic(4)
        c.send(topic, [{"key": str(i % 20), "value": str(i)} for i in range(80)], partitioner=partitioner)
        homes = {}
        for m in c.read_all(topic, 80):
            homes.setdefault(m.key(), set()).add(m.partition())
        equal(len(homes), 20)
        assert all(len(home) == 1 for home in homes.values())


@case("produce/large messages under a raised limit")
def large():
    topic = c.new_topic(config={"max.message.bytes": "9000000"})
    value = os.urandom(8 << 20)
    c.send(topic, [{"value": value}, {"value": "small"}], message_max_bytes=10000000)
    got = c.read_all(topic, 2, fetch_message_max_bytes=1000)
    assert got[0].value() == value
    equal(got[1].value(), b"small")


def delivery_error(topic, *expected, **config):
    value = config.pop("value", b"x")
    try:
        c.send(topic, [{"value": value}], **config)
    except KafkaException as error:
        assert error.args[0].code() in expected, error
    else:
        raise AssertionError("it was accepted")


@case("produce/too large a message is refused")
def too_large():
    topic = c.new_topic(config={"max.message.bytes": "5000"})
    delivery_error(topic, KafkaError.MSG_SIZE_TOO_LARGE, value=os.urandom(6000))
    c.send(topic, [{"value": os.urandom(4000)}])


@case("produce/unknown topic is refused when it must not be created")
def unknown_topic():
    delivery_error(
        fresh("py-none"),
        KafkaError._UNKNOWN_TOPIC,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        allow_auto_create_topics=False,
        topic_metadata_propagation_max_ms=500,
        message_timeout_ms=5000,
    )


@case("produce/invalid topic name is refused")
def invalid_topic():
    try:
        c.send("no spaces please", [{"value": b"x"}], message_timeout_ms=5000)
    except KafkaException as error:
        assert error.args[0].code() in (KafkaError.TOPIC_EXCEPTION, KafkaError._UNKNOWN_TOPIC, KafkaError._MSG_TIMED_OUT)
    else:
        raise AssertionError("it was accepted")


@case("produce/topic created on first use")
def auto_created():
    topic = fresh("py-auto")
    c.send(topic, [{"value": "first"}])
    equal(c.values(c.read_all(topic, 1)), ["first"])


@case("produce/statistics")
def statistics():
    seen = []
    topic = c.new_topic()
    p = c.producer(statistics_interval_ms=100, stats_cb=lambda text: seen.append(json.loads(text)))
    p.produce(topic, "x")
    p.flush(10)
    for _ in range(20):
        p.poll(0.1)
    brokers = [b for s in seen for b in s["brokers"].values()]
    assert any(b["tx"] > 0 and b["rx"] > 0 and b["state"] == "UP" for b in brokers)
