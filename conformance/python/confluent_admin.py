"""confluent-kafka: the admin client."""

import time

from confluent_kafka import (
    ConsumerGroupState,
    ConsumerGroupTopicPartitions,
    KafkaError,
    KafkaException,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import (
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    OffsetSpec,
    ResourceType,
)

import confluent_client as c
from runner import BOOTSTRAP, case, equal, fresh, until


def fails_with(code, futures):
    """The future, or the one future of the dict, must fail with this code."""
    try:
        result = c.done(futures)
    except KafkaException as error:
        equal(error.args[0].code(), code)
    else:
        raise AssertionError(f"it was accepted: {result}")


@case("admin/create and delete topics")
def topics():
    admin, name = c.admin(), fresh("py-t")
    c.done(admin.create_topics([NewTopic(name, 3, 1)]))
    c.wait_topic(name, 3)
    fails_with(KafkaError.TOPIC_ALREADY_EXISTS, admin.create_topics([NewTopic(name, 3, 1)]))
    c.done(admin.delete_topics([name], operation_timeout=10))
    until("it is gone", lambda: name not in admin.list_topics(timeout=10).topics)
    fails_with(KafkaError.UNKNOWN_TOPIC_OR_PART, admin.delete_topics([name], operation_timeout=10))


@case("admin/create topics, validated only")
def validate_only():
    admin, name = c.admin(), fresh("py-t")
    c.done(admin.create_topics([NewTopic(name, 3, 1)], validate_only=True))
    assert name not in admin.list_topics(timeout=10).topics
    bad = {
        KafkaError.INVALID_PARTITIONS: NewTopic(fresh("py-t"), 0, 1),
        KafkaError.INVALID_REPLICATION_FACTOR: NewTopic(fresh("py-t"), 1, 7),
        KafkaError.TOPIC_EXCEPTION: NewTopic("bad name", 1, 1),
        KafkaError.INVALID_CONFIG: NewTopic(fresh("py-t"), 1, 1, config={"retention.ms": "soon"}),
    }
    for code, topic in bad.items():
        fails_with(code, admin.create_topics([topic], validate_only=True))


@case("admin/create partitions")
def partitions():
    admin, name = c.admin(), c.new_topic(1)
    c.done(admin.create_partitions([NewPartitions(name, 3)]))
    c.wait_topic(name, 3)
    fails_with(KafkaError.INVALID_PARTITIONS, admin.create_partitions([NewPartitions(name, 2)]))
    fails_with(KafkaError.UNKNOWN_TOPIC_OR_PART, admin.create_partitions([NewPartitions(fresh("py-none"), 2)]))


def config_of(kind, name):
    return list(c.done(c.admin().describe_configs([ConfigResource(kind, name)])).values())[0]


@case("admin/describe, alter and incrementally alter configs")
def configs():
    admin, name = c.admin(), c.new_topic(config={"retention.ms": "123456"})
    before = config_of(ResourceType.TOPIC, name)
    equal(before["retention.ms"].value, "123456")
    equal(before["retention.ms"].is_default, False)
    equal(before["cleanup.policy"].value, "delete")
    equal(before["cleanup.policy"].is_default, True)

    def entry(key, value, operation):
        return ConfigEntry(key, value, incremental_operation=operation)

    changes = [entry("max.message.bytes", "5000", AlterConfigOpType.SET), entry("retention.ms", None, AlterConfigOpType.DELETE)]
    resource = ConfigResource(ResourceType.TOPIC, name, incremental_configs=changes)
    c.done(admin.incremental_alter_configs([resource], validate_only=True))
    equal(config_of(ResourceType.TOPIC, name)["retention.ms"].value, "123456")
    c.done(admin.incremental_alter_configs([resource]))
    until("the new value", lambda: config_of(ResourceType.TOPIC, name)["max.message.bytes"].value == "5000")
    equal(config_of(ResourceType.TOPIC, name)["retention.ms"].value, "604800000")

    lists = [entry("cleanup.policy", "delete", AlterConfigOpType.APPEND), entry("retention.bytes", "9", AlterConfigOpType.SET)]
    c.done(admin.incremental_alter_configs([ConfigResource(ResourceType.TOPIC, name, incremental_configs=lists)]))
    until("the new value", lambda: config_of(ResourceType.TOPIC, name)["retention.bytes"].value == "9")
    equal(config_of(ResourceType.TOPIC, name)["cleanup.policy"].value, "delete")  # a value is in a list once

    c.done(admin.alter_configs([ConfigResource(ResourceType.TOPIC, name, set_config={"retention.bytes": "99"})]))
    until("all replaced", lambda: config_of(ResourceType.TOPIC, name)["max.message.bytes"].is_default)
    equal(config_of(ResourceType.TOPIC, name)["retention.bytes"].value, "99")


@case("admin/bad configs are refused")
def bad_configs():
    admin, name = c.admin(), c.new_topic()
    for key, value in (("retention.ms", "soon"), ("no.such.setting", "1"), ("cleanup.policy", "shred")):
        change = ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET)
        resource = ConfigResource(ResourceType.TOPIC, name, incremental_configs=[change])
        fails_with(KafkaError.INVALID_CONFIG, admin.incremental_alter_configs([resource]))
    fails_with(KafkaError.UNKNOWN_TOPIC_OR_PART, admin.describe_configs([ConfigResource(ResourceType.TOPIC, fresh("py-none"))]))


@case("admin/configs of the broker")
def broker_configs():
    broker = str(c.admin().list_topics(timeout=10).controller_id)
    equal(config_of(ResourceType.BROKER, broker)["num.partitions"].value, "1")


@case("admin/delete records")
def delete_records():
    admin, name = c.admin(), c.new_topic()
    c.send(name, c.numbered(10))
    result = c.done(admin.delete_records([TopicPartition(name, 0, 6)]))
    equal(list(result.values())[0].low_watermark, 6)
    equal(c.values(c.read_all(name, 4)), ["6", "7", "8", "9"])
    fails_with(KafkaError.OFFSET_OUT_OF_RANGE, admin.delete_records([TopicPartition(name, 0, 11)]))
    result = c.done(admin.delete_records([TopicPartition(name, 0, -1)]))
    equal(list(result.values())[0].low_watermark, 10)


@case("admin/list offsets")
def list_offsets():
    admin, name = c.admin(), c.new_topic()
    base = int(time.time() * 1000) - 100000
    for i, late in enumerate((0, 5000, 2000, 9000, 1000)):
        c.send(name, [{"value": str(i), "timestamp": base + late}])
    for spec, offset, timestamp in (
        (OffsetSpec.earliest(), 0, -1),
        (OffsetSpec.latest(), 5, -1),
        (OffsetSpec.max_timestamp(), 3, base + 9000),
        (OffsetSpec.for_timestamp(base + 1), 1, base + 5000),
        (OffsetSpec.for_timestamp(base + 6000), 3, base + 9000),
        (OffsetSpec.for_timestamp(base + 60000), -1, -1),
    ):
        info = list(c.done(admin.list_offsets({TopicPartition(name, 0): spec})).values())[0]
        equal((info.offset, info.timestamp), (offset, timestamp))


@case("admin/describe the cluster and topics")
def describe():
    admin, name = c.admin(), c.new_topic(2)
    cluster = c.done(admin.describe_cluster())
    equal(len(cluster.nodes), 1)
    equal(f"{cluster.nodes[0].host}:{cluster.nodes[0].port}", BOOTSTRAP)
    assert cluster.cluster_id
    topic = c.done(admin.describe_topics(TopicCollection([name])))[name]
    equal(len(topic.partitions), 2)
    equal(topic.is_internal, False)
    assert str(topic.topic_id) not in ("", "AAAAAAAAAAAAAAAAAAAAAA")
    equal([p.leader.id for p in topic.partitions], [cluster.nodes[0].id] * 2)
    fails_with(KafkaError.UNKNOWN_TOPIC_OR_PART, admin.describe_topics(TopicCollection([fresh("py-none")])))


@case("admin/a topic made again has a new id and is empty")
def recreate():
    admin, name = c.admin(), c.new_topic()
    c.send(name, c.numbered(3))

    def topic_id():
        return str(c.done(admin.describe_topics(TopicCollection([name])))[name].topic_id)

    before = topic_id()
    c.done(admin.delete_topics([name], operation_timeout=10))
    until("it is gone", lambda: name not in admin.list_topics(timeout=10).topics)
    c.done(admin.create_topics([NewTopic(name, 1, 1)]))
    c.wait_topic(name, 1)
    assert topic_id() != before
    c.send(name, [{"value": "anew"}])
    got = c.read_all(name, 1)
    equal([(m.offset(), m.value()) for m in got], [(0, b"anew")])


def consumed_group(topic, count):
    group = fresh("py-group")
    c.send(topic, c.numbered(count))
    c.read_all(topic, count, group_id=group)
    return group


@case("admin/list, describe and delete groups")
def groups():
    admin, name, group = c.admin(), c.new_topic(2), fresh("py-group")
    consumer = c.consumer(group_id=group, client_id="me")
    consumer.subscribe([name])
    until("it has joined", lambda: consumer.poll(0.05) is None and len(consumer.assignment()) == 2)

    described = c.done(admin.describe_consumer_groups([group]))[group]
    equal(described.state, ConsumerGroupState.STABLE)
    equal(described.partition_assignor, "range")
    equal([m.client_id for m in described.members], ["me"])
    assigned = described.members[0].assignment.topic_partitions
    equal(sorted((p.topic, p.partition) for p in assigned), [(name, 0), (name, 1)])

    stable = c.done(admin.list_consumer_groups(states={ConsumerGroupState.STABLE}))
    equal(stable.errors, [])
    assert group in [g.group_id for g in stable.valid]
    empty = c.done(admin.list_consumer_groups(states={ConsumerGroupState.EMPTY}))
    assert group not in [g.group_id for g in empty.valid]

    fails_with(KafkaError.NON_EMPTY_GROUP, admin.delete_consumer_groups([group]))
    consumer.close()
    until("it is empty", lambda: c.done(admin.describe_consumer_groups([group]))[group].state == ConsumerGroupState.EMPTY)
    c.done(admin.delete_consumer_groups([group]))
    fails_with(KafkaError.GROUP_ID_NOT_FOUND, admin.delete_consumer_groups([group]))


@case("admin/list and alter the offsets of a group")
def group_offsets():
    admin, name = c.admin(), c.new_topic()
    group = consumed_group(name, 10)

    def offset():
        listed = c.done(admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group, [TopicPartition(name, 0)])]))
        return listed[group].topic_partitions[0].offset

    equal(offset(), 10)
    c.done(admin.alter_consumer_group_offsets([ConsumerGroupTopicPartitions(group, [TopicPartition(name, 0, 4)])]))
    equal(offset(), 4)
    equal(c.values(c.read_all(name, 6, group_id=group)), ["4", "5", "6", "7", "8", "9"])


@case("admin/offsets of an unknown group are none, not an error")
def unknown_group():
    name, group = c.new_topic(), fresh("nobody")
    listed = c.done(c.admin().list_consumer_group_offsets([ConsumerGroupTopicPartitions(group, [TopicPartition(name, 0)])]))
    partition = listed[group].topic_partitions[0]
    equal((partition.offset, partition.error), (-1001, None))


@case("admin/list everything")
def list_everything():
    name = c.new_topic(2)
    everything = c.admin().list_topics(timeout=10)
    assert everything.cluster_id
    equal(list(everything.brokers), [everything.controller_id])
    equal(len(everything.topics[name].partitions), 2)
