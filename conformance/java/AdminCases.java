import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.Config;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.ConsumerGroupDescription;
import org.apache.kafka.clients.admin.CreateTopicsOptions;
import org.apache.kafka.clients.admin.DescribeClusterOptions;
import org.apache.kafka.clients.admin.DescribeConfigsOptions;
import org.apache.kafka.clients.admin.DescribeTopicsOptions;
import org.apache.kafka.clients.admin.ListGroupsOptions;
import org.apache.kafka.clients.admin.ListTopicsOptions;
import org.apache.kafka.clients.admin.MemberToRemove;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.admin.RemoveMembersFromConsumerGroupOptions;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.GroupState;
import org.apache.kafka.common.TopicCollection;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.GroupIdNotFoundException;
import org.apache.kafka.common.errors.GroupNotEmptyException;
import org.apache.kafka.common.errors.GroupSubscribedToTopicException;
import org.apache.kafka.common.errors.InvalidConfigurationException;
import org.apache.kafka.common.errors.InvalidPartitionsException;
import org.apache.kafka.common.errors.InvalidReplicationFactorException;
import org.apache.kafka.common.errors.InvalidTopicException;
import org.apache.kafka.common.errors.OffsetOutOfRangeException;
import org.apache.kafka.common.errors.TopicExistsException;
import org.apache.kafka.common.errors.UnknownTopicIdException;
import org.apache.kafka.common.errors.UnknownTopicOrPartitionException;

/** The admin client. */
final class AdminCases {
    private AdminCases() {}

    static void add(Runner runner) {
        runner.add("admin/create, list and delete topics", AdminCases::topics);
        runner.add("admin/what createTopics refuses", AdminCases::badTopics);
        runner.add("admin/topics by id, and a new id when made again", AdminCases::ids);
        runner.add("admin/describe topics page by page", AdminCases::pages);
        runner.add("admin/create partitions", AdminCases::partitions);
        runner.add("admin/describe and alter configs", AdminCases::configs);
        runner.add("admin/what configs are refused", AdminCases::badConfigs);
        runner.add("admin/configs of the broker", AdminCases::brokerConfigs);
        runner.add("admin/delete records", AdminCases::deleteRecords);
        runner.add("admin/list offsets", AdminCases::listOffsets);
        runner.add("admin/describe the cluster and its features", AdminCases::cluster);
        runner.add("admin/describe log directories", AdminCases::logDirs);
        runner.add("admin/describe producers", AdminCases::producers);
        runner.add("admin/list, describe and delete groups", AdminCases::groups);
        runner.add("admin/offsets of a group", AdminCases::groupOffsets);
        runner.add("admin/remove members from a group", AdminCases::removeMembers);
    }

    static boolean listed(String topic) throws Exception {
        return Kit.get(Kit.ADMIN.listTopics(new ListTopicsOptions().listInternal(true)).names()).contains(topic);
    }

    /** Deletes a topic and makes it again with one partition. */
    static void recreate(String topic) throws Exception {
        Kit.get(Kit.ADMIN.deleteTopics(List.of(topic)).all());
        Kit.until("it can be made again", () -> {
            try {
                Kit.get(Kit.ADMIN.createTopics(List.of(new NewTopic(topic, 1, (short) 1))).all());
                return true;
            } catch (TopicExistsException e) {
                return false;
            }
        });
        Kit.awaitTopic(topic, 1);
    }

    static void topics() throws Exception {
        String name = Kit.fresh("java-t");
        var topic = new NewTopic(name, Optional.of(3), Optional.empty()).configs(Map.of("retention.ms", "1234567"));
        var result = Kit.ADMIN.createTopics(List.of(topic));
        Kit.equal(Kit.get(result.numPartitions(name)), 3);
        Kit.equal(Kit.get(result.replicationFactor(name)), 1);
        Kit.equal(Kit.get(result.config(name)).get("retention.ms").value(), "1234567");
        Kit.awaitTopic(name, 3);
        Kit.fails(TopicExistsException.class, () -> Kit.get(Kit.ADMIN.createTopics(List.of(topic)).all()));
        Kit.check(listed(name), "it is not listed");
        Kit.get(Kit.ADMIN.deleteTopics(List.of(name)).all());
        Kit.until("it is gone", () -> !listed(name));
        Kit.fails(UnknownTopicOrPartitionException.class, () -> Kit.get(Kit.ADMIN.deleteTopics(List.of(name)).all()));
        Kit.fails(UnknownTopicOrPartitionException.class, () -> Kit.get(Kit.ADMIN.describeTopics(List.of(name)).allTopicNames()));
    }

    static void badTopics() throws Exception {
        var validate = new CreateTopicsOptions().validateOnly(true);
        String fine = Kit.fresh("java-t");
        Kit.get(Kit.ADMIN.createTopics(List.of(new NewTopic(fine, 1, (short) 1)), validate).all());
        Kit.check(!listed(fine), "a validated topic was created");
        var bad = Map.of(
                InvalidTopicException.class, new NewTopic("bad name", 1, (short) 1),
                InvalidPartitionsException.class, new NewTopic(fine, 0, (short) 1),
                InvalidReplicationFactorException.class, new NewTopic(fine, 1, (short) 5),
                InvalidConfigurationException.class, new NewTopic(fine, 1, (short) 1).configs(Map.of("cleanup.policy", "shred")));
        for (var each : bad.entrySet()) {
            Kit.fails(each.getKey(), () -> Kit.get(Kit.ADMIN.createTopics(List.of(each.getValue()), validate).all()));
        }
        Kit.fails(InvalidTopicException.class, () -> Kit.get(Kit.ADMIN.createTopics(List.of(new NewTopic("x".repeat(250), 1, (short) 1))).all()));
    }

    static void ids() throws Exception {
        String name = Kit.newTopic(1);
        Uuid id = Kit.get(Kit.ADMIN.describeTopics(List.of(name)).allTopicNames()).get(name).topicId();
        Kit.check(!id.equals(Uuid.ZERO_UUID), "the topic has no id");
        var byId = Kit.get(Kit.ADMIN.describeTopics(TopicCollection.ofTopicIds(List.of(id))).allTopicIds());
        Kit.equal(byId.get(id).name(), name);
        recreate(name);
        Uuid again = Kit.get(Kit.ADMIN.describeTopics(List.of(name)).allTopicNames()).get(name).topicId();
        Kit.check(!again.equals(id), "the new topic has the old id");
        Kit.fails(UnknownTopicIdException.class, () -> Kit.get(Kit.ADMIN.describeTopics(TopicCollection.ofTopicIds(List.of(id))).allTopicIds()));
        Kit.get(Kit.ADMIN.deleteTopics(TopicCollection.ofTopicIds(List.of(again))).all());
        Kit.until("it is gone", () -> !listed(name));
    }

    /** DescribeTopicPartitions answers in pages, here of three partitions. */
    static void pages() throws Exception {
        var names = List.of(Kit.newTopic(5), Kit.newTopic(2));
        var options = new DescribeTopicsOptions().partitionSizeLimitPerResponse(3);
        var described = Kit.get(Kit.ADMIN.describeTopics(names, options).allTopicNames());
        Kit.equal(described.get(names.get(0)).partitions().size(), 5);
        Kit.equal(described.get(names.get(1)).partitions().size(), 2);
    }

    static void partitions() throws Exception {
        String name = Kit.newTopic(1);
        Kit.get(Kit.ADMIN.createPartitions(Map.of(name, NewPartitions.increaseTo(3))).all());
        Kit.awaitTopic(name, 3);
        Kit.fails(InvalidPartitionsException.class, () -> Kit.get(Kit.ADMIN.createPartitions(Map.of(name, NewPartitions.increaseTo(2))).all()));
        Kit.fails(UnknownTopicOrPartitionException.class, () ->
                Kit.get(Kit.ADMIN.createPartitions(Map.of(Kit.fresh("none"), NewPartitions.increaseTo(2))).all()));
    }

    static Config configOf(ConfigResource resource) throws Exception {
        var options = new DescribeConfigsOptions().includeSynonyms(true).includeDocumentation(true);
        return Kit.get(Kit.ADMIN.describeConfigs(List.of(resource), options).all()).get(resource);
    }

    static void alter(ConfigResource resource, AlterConfigOp.OpType type, String key, String value) throws Exception {
        var change = new AlterConfigOp(new ConfigEntry(key, value), type);
        Kit.get(Kit.ADMIN.incrementalAlterConfigs(Map.of(resource, List.of(change))).all());
    }

    static void configs() throws Exception {
        var resource = new ConfigResource(ConfigResource.Type.TOPIC, Kit.newTopic(1, Map.of("retention.ms", "123456")));
        var before = configOf(resource).get("retention.ms");
        Kit.equal(before.value(), "123456");
        Kit.equal(before.source(), ConfigEntry.ConfigSource.DYNAMIC_TOPIC_CONFIG);
        Kit.equal(before.type(), ConfigEntry.ConfigType.LONG);
        Kit.equal(before.synonyms().get(0).value(), "123456");
        Kit.equal(configOf(resource).get("cleanup.policy").isDefault(), true);
        alter(resource, AlterConfigOp.OpType.SET, "max.message.bytes", "5000");
        Kit.until("the new value", () -> configOf(resource).get("max.message.bytes").value().equals("5000"));
        alter(resource, AlterConfigOp.OpType.APPEND, "cleanup.policy", "delete"); // a value is in a list once
        alter(resource, AlterConfigOp.OpType.SUBTRACT, "cleanup.policy", "compact");
        Kit.until("a policy of the topic's own", () -> !configOf(resource).get("cleanup.policy").isDefault());
        Kit.equal(configOf(resource).get("cleanup.policy").value(), "delete");
        alter(resource, AlterConfigOp.OpType.DELETE, "retention.ms", null);
        Kit.until("the default", () -> configOf(resource).get("retention.ms").value().equals("604800000"));
        Kit.equal(configOf(resource).get("max.message.bytes").value(), "5000");
    }

    static void badConfigs() throws Exception {
        var resource = new ConfigResource(ConfigResource.Type.TOPIC, Kit.newTopic(1));
        for (var bad : Map.of("retention.ms", "soon", "no.such.setting", "1", "max.message.bytes", "-5").entrySet()) {
            Kit.fails(InvalidConfigurationException.class, () -> {
                alter(resource, AlterConfigOp.OpType.SET, bad.getKey(), bad.getValue());
                return bad;
            });
        }
        var unknown = new ConfigResource(ConfigResource.Type.TOPIC, Kit.fresh("none"));
        Kit.fails(UnknownTopicOrPartitionException.class, () -> configOf(unknown));
    }

    static void brokerConfigs() throws Exception {
        int node = Kit.get(Kit.ADMIN.describeCluster().nodes()).iterator().next().id();
        var config = configOf(new ConfigResource(ConfigResource.Type.BROKER, "" + node));
        Kit.equal(config.get("num.partitions").value(), "1");
    }

    static void deleteRecords() throws Exception {
        String name = Kit.newTopic(1);
        var partition = new TopicPartition(name, 0);
        Kit.send(Kit.numbered(name, 10));
        var result = Kit.ADMIN.deleteRecords(Map.of(partition, RecordsToDelete.beforeOffset(6)));
        Kit.equal(Kit.get(result.lowWatermarks().get(partition)).lowWatermark(), 6L);
        Kit.equal(Kit.values(Kit.readAll(name, 4)), Kit.numbers(6, 10));
        Kit.fails(OffsetOutOfRangeException.class, () ->
                Kit.get(Kit.ADMIN.deleteRecords(Map.of(partition, RecordsToDelete.beforeOffset(11))).all()));
        Kit.get(Kit.ADMIN.deleteRecords(Map.of(partition, RecordsToDelete.beforeOffset(-1))).all());
        Kit.equal(offset(partition, OffsetSpec.earliest()), 10L);
    }

    static long offset(TopicPartition partition, OffsetSpec spec) throws Exception {
        return Kit.get(Kit.ADMIN.listOffsets(Map.of(partition, spec)).partitionResult(partition)).offset();
    }

    static void listOffsets() throws Exception {
        String name = Kit.newTopic(1);
        var partition = new TopicPartition(name, 0);
        long base = System.currentTimeMillis() - 100000;
        Kit.equal(offset(partition, OffsetSpec.maxTimestamp()), -1L);
        for (long late : List.of(0L, 5000L, 2000L, 9000L, 1000L)) {
            Kit.send(List.of(new ProducerRecord<>(name, 0, base + late, "", "" + late)));
        }
        Kit.equal(offset(partition, OffsetSpec.earliest()), 0L);
        Kit.equal(offset(partition, OffsetSpec.latest()), 5L);
        Kit.equal(offset(partition, OffsetSpec.maxTimestamp()), 3L);
        Kit.equal(offset(partition, OffsetSpec.forTimestamp(base + 1)), 1L);
        Kit.equal(offset(partition, OffsetSpec.forTimestamp(base + 6000)), 3L);
        Kit.equal(offset(partition, OffsetSpec.forTimestamp(base + 60000)), -1L);
        Kit.equal(offset(partition, OffsetSpec.earliestLocal()), 0L);
    }

    static void cluster() throws Exception {
        var cluster = Kit.ADMIN.describeCluster(new DescribeClusterOptions().includeAuthorizedOperations(true));
        var nodes = new ArrayList<>(Kit.get(cluster.nodes()));
        Kit.equal(nodes.size(), 1);
        Kit.equal(nodes.get(0).host() + ":" + nodes.get(0).port(), Kit.BOOTSTRAP);
        Kit.equal(Kit.get(cluster.controller()).id(), nodes.get(0).id());
        Kit.check(!Kit.get(cluster.clusterId()).isEmpty(), "no cluster id");
        var features = Kit.get(Kit.ADMIN.describeFeatures().featureMetadata()).finalizedFeatures();
        Kit.check(features.get("metadata.version").maxVersionLevel() > 0, "no metadata.version: " + features);
    }

    static void logDirs() throws Exception {
        String name = Kit.newTopic(2);
        Kit.send(List.of(new ProducerRecord<>(name, 0, "", "x".repeat(5000))));
        int node = Kit.get(Kit.ADMIN.describeCluster().nodes()).iterator().next().id();
        var sizes = new HashSet<String>();
        for (var dir : Kit.get(Kit.ADMIN.describeLogDirs(List.of(node)).allDescriptions()).get(node).values()) {
            Kit.equal(dir.error(), null);
            dir.replicaInfos().forEach((partition, info) -> {
                if (partition.topic().equals(name)) {
                    sizes.add(partition.partition() + (info.size() >= 5000 ? " full" : " empty"));
                }
            });
        }
        Kit.equal(sizes, Set.of("0 full", "1 empty"));
    }

    static void producers() throws Exception {
        String name = Kit.newTopic(1);
        var partition = new TopicPartition(name, 0);
        try (var producer = Kit.producer()) {
            for (int i = 0; i < 3; i++) {
                Kit.get(producer.send(new ProducerRecord<>(name, "" + i)));
            }
            var found = Kit.get(Kit.ADMIN.describeProducers(List.of(partition)).all()).get(partition).activeProducers();
            Kit.equal(found.size(), 1);
            Kit.equal(found.get(0).lastSequence(), 2);
            Kit.equal(found.get(0).producerEpoch(), 0);
            Kit.check(found.get(0).currentTransactionStartOffset().isEmpty(), "it has a transaction");
        }
    }

    static ConsumerGroupDescription describe(String group) throws Exception {
        return Kit.get(Kit.ADMIN.describeConsumerGroups(List.of(group)).all()).get(group);
    }

    static void groups() throws Exception {
        String topic = Kit.newTopic(2);
        String group = Kit.fresh("java-group");
        var member = new GroupCases.Member(topic, "group.id", group, "client.id", "me");
        Kit.until("it has joined", () -> member.owns.size() == 2);
        var described = describe(group);
        Kit.equal(described.groupState(), GroupState.STABLE);
        Kit.equal(described.partitionAssignor(), "range");
        var one = described.members().iterator().next();
        Kit.equal(one.clientId(), "me");
        Kit.equal(one.assignment().topicPartitions().size(), 2);
        var stable = Kit.get(Kit.ADMIN.listGroups(new ListGroupsOptions().inGroupStates(Set.of(GroupState.STABLE))).all());
        Kit.check(stable.stream().anyMatch(g -> g.groupId().equals(group)), "it is not listed as stable");
        Kit.fails(GroupNotEmptyException.class, () -> Kit.get(Kit.ADMIN.deleteConsumerGroups(List.of(group)).all()));
        member.leave();
        Kit.until("it is empty", () -> describe(group).groupState() == GroupState.EMPTY);
        Kit.get(Kit.ADMIN.deleteConsumerGroups(List.of(group)).all());
        Kit.fails(GroupIdNotFoundException.class, () -> Kit.get(Kit.ADMIN.deleteConsumerGroups(List.of(group)).all()));
        Kit.fails(GroupIdNotFoundException.class, () -> describe(group));
    }

    static Map<TopicPartition, OffsetAndMetadata> offsets(String group) throws Exception {
        return Kit.get(Kit.ADMIN.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata());
    }

    static void groupOffsets() throws Exception {
        String topic = Kit.newTopic(1);
        String group = Kit.fresh("java-group");
        var partition = new TopicPartition(topic, 0);
        Kit.send(Kit.numbered(topic, 10));
        try (var consumer = Kit.consumer("group.id", group)) {
            consumer.subscribe(List.of(topic));
            Kit.take(consumer, 10);
            consumer.commitSync();
            Kit.fails(GroupSubscribedToTopicException.class, () ->
                    Kit.get(Kit.ADMIN.deleteConsumerGroupOffsets(group, Set.of(partition)).all()));
        }
        Kit.equal(offsets(group).get(partition).offset(), 10L);
        Kit.get(Kit.ADMIN.alterConsumerGroupOffsets(group, Map.of(partition, new OffsetAndMetadata(4, "four"))).all());
        Kit.equal(offsets(group).get(partition).metadata(), "four");
        Kit.equal(Kit.values(Kit.readAll(topic, 6, "group.id", group)), Kit.numbers(4, 10));
        Kit.get(Kit.ADMIN.deleteConsumerGroupOffsets(group, Set.of(partition)).all());
        Kit.equal(offsets(group), Map.of());
        Kit.equal(offsets(Kit.fresh("nobody")), Map.of());
    }

    static void removeMembers() throws Exception {
        String topic = Kit.newTopic(1);
        String group = Kit.fresh("java-group");
        var member = new GroupCases.Member(topic, "group.id", group, "group.instance.id", "one", "session.timeout.ms", 60000);
        Kit.until("it has joined", () -> member.owns.size() == 1);
        member.leave(); // static: the group keeps it
        Kit.equal(describe(group).members().size(), 1);
        var options = new RemoveMembersFromConsumerGroupOptions(List.of(new MemberToRemove("one")));
        Kit.get(Kit.ADMIN.removeMembersFromConsumerGroup(group, options).all());
        Kit.until("nobody is left", () -> describe(group).members().isEmpty());
    }
}
