import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.Set;
import java.util.regex.Pattern;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.consumer.OffsetOutOfRangeException;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;

/** Consuming. */
final class ConsumeCases {
    private ConsumeCases() {}

    static void add(Runner runner) {
        runner.add("consume/seek and position", ConsumeCases::seek);
        runner.add("consume/out of range", ConsumeCases::outOfRange);
        runner.add("consume/beginning, end, times and lag", ConsumeCases::offsets);
        runner.add("consume/pause and resume", ConsumeCases::pause);
        runner.add("consume/commit and committed", ConsumeCases::commit);
        runner.add("consume/pattern subscription", ConsumeCases::pattern);
        runner.add("consume/many partitions in one session", ConsumeCases::session);
        runner.add("consume/a topic that was made again", ConsumeCases::madeAgain);
        runner.add("consume/read_committed without transactions", ConsumeCases::readCommitted);
    }

    static void seek() throws Exception {
        String topic = Kit.newTopic(1);
        var partition = new TopicPartition(topic, 0);
        Kit.send(Kit.numbered(topic, 50));
        try (var consumer = Kit.consumer("max.poll.records", 7)) {
            consumer.assign(List.of(partition));
            consumer.seek(partition, 40);
            var last = Kit.take(consumer, 10);
            Kit.equal(Kit.values(last), Kit.numbers(40, 50));
            Kit.equal(consumer.position(partition), 50L);
            consumer.seekToBeginning(List.of(partition));
            Kit.equal(Kit.values(Kit.take(consumer, 50)), Kit.numbers(0, 50));
            consumer.seekToEnd(List.of(partition));
            Kit.equal(consumer.position(partition), 50L);
            consumer.seek(partition, new OffsetAndMetadata(45, last.get(5).leaderEpoch(), ""));
            Kit.equal(Kit.values(Kit.take(consumer, 5)), Kit.numbers(45, 50));
        }
    }

    static void outOfRange() throws Exception {
        String topic = Kit.newTopic(1);
        var partition = new TopicPartition(topic, 0);
        Kit.send(Kit.numbered(topic, 5));
        try (var consumer = Kit.consumer("auto.offset.reset", "none")) {
            consumer.assign(List.of(partition));
            consumer.seek(partition, 1000);
            Kit.fails(OffsetOutOfRangeException.class, () -> {
                for (int i = 0; i < 50; i++) {
                    consumer.poll(Duration.ofMillis(100));
                }
                return "no error";
            });
        }
    }

    static void offsets() throws Exception {
        String topic = Kit.newTopic(1);
        var partition = new TopicPartition(topic, 0);
        long base = System.currentTimeMillis() - 100000;
        for (int i = 0; i < 5; i++) {
            Kit.send(List.of(new ProducerRecord<>(topic, 0, base + 1000L * i, "k", "" + i)));
        }
        try (var consumer = Kit.consumer()) {
            Kit.equal(consumer.beginningOffsets(List.of(partition)), Map.of(partition, 0L));
            Kit.equal(consumer.endOffsets(List.of(partition)), Map.of(partition, 5L));
            var found = consumer.offsetsForTimes(Map.of(partition, base + 2500)).get(partition);
            Kit.equal(found.offset(), 3L);
            Kit.equal(found.timestamp(), base + 3000);
            Kit.check(found.leaderEpoch().isPresent(), "no leader epoch");
            Kit.equal(consumer.offsetsForTimes(Map.of(partition, base + 999999)).get(partition), null);
            consumer.assign(List.of(partition));
            consumer.seek(partition, 2);
            Kit.take(consumer, 3);
            Kit.equal(consumer.currentLag(partition), OptionalLong.of(0));
            Kit.equal(consumer.partitionsFor(topic).size(), 1);
            Kit.check(consumer.listTopics().containsKey(topic), "the topic is not listed");
        }
    }

    static void pause() throws Exception {
        String topic = Kit.newTopic(2);
        var held = new TopicPartition(topic, 0);
        var free = new TopicPartition(topic, 1);
        try (var consumer = Kit.consumer()) {
            consumer.assign(List.of(held, free));
            consumer.pause(List.of(held));
            Kit.send(List.of(new ProducerRecord<>(topic, 0, "", "held"), new ProducerRecord<>(topic, 1, "", "b")));
            Kit.equal(Kit.values(Kit.take(consumer, 1)), List.of("b"));
            Kit.equal(consumer.poll(Duration.ofMillis(500)).count(), 0);
            Kit.equal(consumer.paused(), Set.of(held));
            consumer.resume(List.of(held));
            Kit.equal(Kit.values(Kit.take(consumer, 1)), List.of("held"));
        }
    }

    static void commit() throws Exception {
        String topic = Kit.newTopic(2);
        String group = Kit.fresh("java-group");
        var first = new TopicPartition(topic, 0);
        var second = new TopicPartition(topic, 1);
        Kit.send(Kit.numbered(topic, 10));
        try (var consumer = Kit.consumer("group.id", group, "enable.auto.commit", false)) {
            consumer.subscribe(List.of(topic));
            Kit.take(consumer, 10);
            Kit.equal(consumer.committed(Set.of(first)).get(first), null);
            consumer.commitSync(Map.of(
                    first, new OffsetAndMetadata(6, Optional.of(0), "six, ü"),
                    second, new OffsetAndMetadata(0)));
            var back = consumer.committed(Set.of(first, second));
            Kit.equal(back.get(first), new OffsetAndMetadata(6, Optional.of(0), "six, ü"));
            Kit.equal(back.get(second).offset(), 0L);
            var done = new ArrayList<Exception>();
            consumer.commitAsync(Map.of(first, new OffsetAndMetadata(7)), (offsets, error) -> done.add(error));
            Kit.until("the asynchronous commit", () -> {
                consumer.poll(Duration.ofMillis(50));
                return !done.isEmpty();
            });
            Kit.equal(done.get(0), null);
        }
        Kit.equal(Kit.values(Kit.readAll(topic, 3, "group.id", group)), Kit.numbers(7, 10));
    }

    static void pattern() throws Exception {
        String prefix = Kit.fresh("java-re");
        try (var consumer = Kit.consumer()) {
            consumer.subscribe(Pattern.compile(prefix + "-.*"));
            consumer.poll(Duration.ofMillis(100));
            for (String name : List.of(prefix + "-a", prefix + "-b")) {
                Kit.send(List.of(new ProducerRecord<>(name, name)));
            }
            var got = new ArrayList<>(Kit.values(Kit.take(consumer, 2)));
            got.sort(null);
            Kit.equal(got, List.of(prefix + "-a", prefix + "-b"));
        }
    }

    /** A fetch session over many partitions, of which few have something new. */
    static void session() throws Exception {
        int partitions = Kit.FULL ? 200 : 50;
        String topic = Kit.newTopic(partitions);
        try (var consumer = Kit.consumer()) {
            consumer.subscribe(List.of(topic));
            Kit.until("all partitions", () -> {
                consumer.poll(Duration.ofMillis(50));
                return consumer.assignment().size() == partitions;
            });
            for (int round = 0; round < 20; round++) {
                int at = round * 7 % partitions;
                Kit.send(List.of(new ProducerRecord<>(topic, at, "", "" + round)));
                var got = Kit.take(consumer, 1).get(0);
                Kit.equal(got.partition() + ":" + got.value(), at + ":" + round);
            }
        }
    }

    static void madeAgain() throws Exception {
        String topic = Kit.newTopic(1);
        Kit.send(Kit.numbered(topic, 3));
        try (var consumer = Kit.consumer()) {
            consumer.subscribe(List.of(topic));
            Kit.take(consumer, 3);
            AdminCases.recreate(topic);
            Kit.send(List.of(new ProducerRecord<>(topic, 0, "", "new")));
            Kit.until("the new record", () -> {
                for (var record : consumer.poll(Duration.ofMillis(100))) {
                    if (record.value().equals("new")) {
                        return true;
                    }
                }
                return false;
            });
        }
    }

    static void readCommitted() throws Exception {
        String topic = Kit.newTopic(1);
        Kit.send(Kit.numbered(topic, 100));
        Kit.equal(Kit.values(Kit.readAll(topic, 100, "isolation.level", "read_committed")), Kit.numbers(0, 100));
    }
}
