import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.stream.IntStream;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.errors.InvalidTopicException;
import org.apache.kafka.common.errors.RecordTooLargeException;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.record.TimestampType;

/** Producing. */
final class ProduceCases {
    private ProduceCases() {}

    static void add(Runner runner) {
        for (String codec : List.of("none", "gzip", "snappy", "lz4", "zstd")) {
            runner.add("produce/idempotent, compression " + codec, () -> compression(codec));
        }
        for (String acks : List.of("0", "1", "all")) {
            runner.add("produce/acks " + acks, () -> acknowledged(acks));
        }
        runner.add("produce/small batches in flight keep their order", ProduceCases::order);
        runner.add("produce/keys, headers, nulls and timestamps", ProduceCases::shapes);
        runner.add("produce/LogAppendTime", ProduceCases::logAppendTime);
        runner.add("produce/keys choose partitions", ProduceCases::partitioner);
        runner.add("produce/large record under a raised limit", ProduceCases::large);
        runner.add("produce/too large a record is refused", ProduceCases::tooLarge);
        runner.add("produce/invalid topic name is refused", ProduceCases::invalidTopic);
        runner.add("produce/topic created on first use", ProduceCases::autoCreated);
        runner.add("produce/to a topic that was made again", ProduceCases::madeAgain);
    }

    static void compression(String codec) throws Exception {
        String topic = Kit.newTopic("java-codec-" + codec, 1, Map.of());
        int count = Kit.FULL ? 20000 : 2000;
        String text = "the waxwing passes the berry on ".repeat(8);
        var records = IntStream.range(0, count).mapToObj(i -> new ProducerRecord<>(topic, "" + i, i + text)).toList();
        var sent = Kit.send(records, "compression.type", codec, "linger.ms", 5);
        for (int i = 0; i < count; i++) {
            Kit.equal(sent.get(i).offset(), (long) i);
        }
        Kit.equal(Kit.values(Kit.readAll(topic, count)), records.stream().map(ProducerRecord::value).toList());
    }

    static void acknowledged(String acks) throws Exception {
        String topic = Kit.newTopic(1);
        Kit.send(Kit.numbered(topic, 500), "acks", acks, "enable.idempotence", false, "max.in.flight.requests.per.connection", 1);
        Kit.equal(Kit.values(Kit.readAll(topic, 500)), Kit.numbers(0, 500));
    }

    static void order() throws Exception {
        String topic = Kit.newTopic(1);
        Kit.send(Kit.numbered(topic, 3000), "batch.size", 200, "linger.ms", 0, "max.in.flight.requests.per.connection", 5);
        Kit.equal(Kit.values(Kit.readAll(topic, 3000)), Kit.numbers(0, 3000));
    }

    static void shapes() throws Exception {
        String topic = Kit.newTopic(1);
        var headed = new ProducerRecord<>(topic, "k", "v");
        headed.headers().add(new RecordHeader("a", "1".getBytes(StandardCharsets.UTF_8)));
        headed.headers().add(new RecordHeader("a", null));
        Kit.send(List.of(
                headed,
                new ProducerRecord<>(topic, "gone", null),
                new ProducerRecord<>(topic, null, ""),
                new ProducerRecord<>(topic, 0, 1600000000123L, "", "timed")));
        var got = Kit.readAll(topic, 4);
        var headers = got.get(0).headers().toArray();
        Kit.equal(headers.length, 2);
        Kit.equal(new String(headers[0].value(), StandardCharsets.UTF_8), "1");
        Kit.equal(headers[1].value(), null);
        Kit.equal(got.get(1).key(), "gone");
        Kit.equal(got.get(1).value(), null);
        Kit.equal(got.get(2).key(), null);
        Kit.equal(got.get(2).value(), "");
        Kit.equal(got.get(3).key(), "");
        Kit.equal(got.get(3).timestamp(), 1600000000123L);
        Kit.equal(got.get(3).timestampType(), TimestampType.CREATE_TIME);
        Kit.check(got.get(0).leaderEpoch().isPresent(), "a record without leader epoch");
    }

    static void logAppendTime() throws Exception {
        String topic = Kit.newTopic(1, Map.of("message.timestamp.type", "LogAppendTime"));
        long before = System.currentTimeMillis();
        var sent = Kit.send(List.of(new ProducerRecord<>(topic, 0, 1600000000123L, "k", "v")));
        var got = Kit.readAll(topic, 1).get(0);
        Kit.equal(got.timestampType(), TimestampType.LOG_APPEND_TIME);
        Kit.check(Math.abs(got.timestamp() - before) < 60000, "stamped with " + got.timestamp());
        Kit.equal(sent.get(0).timestamp(), got.timestamp());
    }

    static void partitioner() throws Exception {
        String topic = Kit.newTopic(4);
        var records = new ArrayList<ProducerRecord<String, String>>();
        for (int i = 0; i < 80; i++) {
            records.add(new ProducerRecord<>(topic, "" + i % 20, "" + i));
        }
        Kit.send(records);
        var homes = new HashMap<String, Set<Integer>>();
        for (var record : Kit.readAll(topic, 80)) {
            homes.computeIfAbsent(record.key(), k -> new HashSet<>()).add(record.partition());
        }
        Kit.equal(homes.size(), 20);
        Kit.check(homes.values().stream().allMatch(home -> home.size() == 1), "a key in two partitions");
    }

    static String noise(int length) {
        var random = new Random(7);
        var text = new StringBuilder(length);
        for (int i = 0; i < length; i++) {
            text.append((char) ('a' + random.nextInt(26)));
        }
        return text.toString();
    }

    static void large() throws Exception {
        String topic = Kit.newTopic(1, Map.of("max.message.bytes", "9000000"));
        String value = noise(8 << 20);
        Kit.send(List.of(new ProducerRecord<>(topic, value), new ProducerRecord<>(topic, "small")), "max.request.size", 10000000);
        var got = Kit.readAll(topic, 2, "max.partition.fetch.bytes", 1000, "fetch.max.bytes", 1000);
        Kit.check(got.get(0).value().equals(value), "the large value came back changed");
        Kit.equal(got.get(1).value(), "small");
    }

    static void tooLarge() throws Exception {
        String topic = Kit.newTopic(1, Map.of("max.message.bytes", "5000"));
        Kit.fails(RecordTooLargeException.class, () -> Kit.send(List.of(new ProducerRecord<>(topic, noise(6000)))));
        Kit.send(List.of(new ProducerRecord<>(topic, noise(4000))));
    }

    static void invalidTopic() {
        Kit.fails(InvalidTopicException.class, () -> Kit.send(List.of(new ProducerRecord<>("no spaces", "x")), "max.block.ms", 5000));
    }

    static void autoCreated() throws Exception {
        String topic = Kit.fresh("java-auto");
        Kit.send(List.of(new ProducerRecord<>(topic, "first")));
        Kit.equal(Kit.values(Kit.readAll(topic, 1)), List.of("first"));
    }

    /** The producer knows the old topic's id and must notice that it is gone. */
    static void madeAgain() throws Exception {
        String topic = Kit.newTopic(1);
        try (var producer = Kit.producer("metadata.max.age.ms", 1000)) {
            Kit.equal(Kit.get(producer.send(new ProducerRecord<>(topic, "old"))).offset(), 0L);
            AdminCases.recreate(topic);
            Kit.equal(Kit.get(producer.send(new ProducerRecord<>(topic, "new"))).offset(), 0L);
        }
        Kit.equal(Kit.values(Kit.readAll(topic, 1)), List.of("new"));
    }
}
