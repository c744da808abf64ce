import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.UUID;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/** What the cases share. */
final class Kit {
    static final String BOOTSTRAP = System.getenv("BOOTSTRAP");
    static final boolean FULL = "1".equals(System.getenv("WAXWING_FULL"));
    static final Admin ADMIN = Admin.create(Map.of("bootstrap.servers", BOOTSTRAP));

    private Kit() {}

    /** A name that no other case uses. */
    static String fresh(String prefix) {
        return prefix + "-" + UUID.randomUUID().toString().substring(0, 13);
    }

    static <T> T get(Future<T> future) throws Exception {
        try {
            return future.get(20, TimeUnit.SECONDS);
        } catch (ExecutionException e) {
            throw e.getCause() instanceof Exception cause ? cause : e;
        }
    }

    static String newTopic(int partitions) throws Exception {
        return newTopic(partitions, Map.of());
    }

    static String newTopic(int partitions, Map<String, String> configs) throws Exception {
        return newTopic("java", partitions, configs);
    }

    /** Creates a topic, waits until its partitions have leaders, and returns its name. */
    static String newTopic(String prefix, int partitions, Map<String, String> configs) throws Exception {
        String name = fresh(prefix);
        get(ADMIN.createTopics(List.of(new NewTopic(name, partitions, (short) 1).configs(configs))).all());
        awaitTopic(name, partitions);
        return name;
    }

    /** Waits until all partitions have leaders, and these answer for them. */
    static void awaitTopic(String name, int partitions) throws Exception {
        until(name + " with " + partitions + " partitions", () -> {
            try {
                var found = get(ADMIN.describeTopics(List.of(name)).allTopicNames()).get(name).partitions();
                return found.size() == partitions && found.stream().allMatch(p -> p.leader() != null && !p.leader().isEmpty());
            } catch (org.apache.kafka.common.errors.UnknownTopicOrPartitionException e) {
                return false;
            }
        });
        var all = IntStream.range(0, partitions).boxed().collect(Collectors.toMap(i -> new TopicPartition(name, i), i -> OffsetSpec.latest()));
        get(ADMIN.listOffsets(all).all());
    }

    /** A producer; config holds names and values in turn. */
    static KafkaProducer<String, String> producer(Object... config) {
        var all = pairs(config);
        all.putIfAbsent("bootstrap.servers", BOOTSTRAP);
        return new KafkaProducer<>(all, new StringSerializer(), new StringSerializer());
    }

    /** Sends the records with an idempotent producer, waits for all, and returns what was acknowledged. */
    static List<RecordMetadata> send(List<ProducerRecord<String, String>> records, Object... config) throws Exception {
        try (var producer = producer(config)) {
            var futures = records.stream().map(producer::send).toList();
            producer.flush();
            var acknowledged = new ArrayList<RecordMetadata>();
            for (var future : futures) {
                acknowledged.add(get(future));
            }
            return acknowledged;
        }
    }

    /** {@code count} records of partition 0 whose values are their numbers. */
    static List<ProducerRecord<String, String>> numbered(String topic, int count) {
        return IntStream.range(0, count).mapToObj(i -> new ProducerRecord<>(topic, 0, (String) null, "" + i)).toList();
    }

    /** A consumer of a fresh group that starts at the beginning and rebalances quickly. */
    static KafkaConsumer<String, String> consumer(Object... config) {
        var all = pairs(config);
        all.putIfAbsent("bootstrap.servers", BOOTSTRAP);
        all.putIfAbsent("group.id", fresh("java-group"));
        all.putIfAbsent("auto.offset.reset", "earliest");
        all.putIfAbsent("session.timeout.ms", "10000");
        all.putIfAbsent("heartbeat.interval.ms", "250");
        all.putIfAbsent("fetch.max.wait.ms", "100");
        all.putIfAbsent("metadata.max.age.ms", "1000");
        return new KafkaConsumer<>(all, new StringDeserializer(), new StringDeserializer());
    }

    private static Map<String, Object> pairs(Object... config) {
        var all = new java.util.HashMap<String, Object>();
        for (int i = 0; i < config.length; i += 2) {
            all.put((String) config[i], config[i + 1]);
        }
        return all;
    }

    /** Polls {@code count} records; one that is delivered again counts once. */
    static List<ConsumerRecord<String, String>> take(KafkaConsumer<String, String> consumer, int count) {
        var got = new ArrayList<ConsumerRecord<String, String>>();
        var seen = new HashSet<String>();
        long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(25);
        while (got.size() < count) {
            check(System.nanoTime() < end, got.size() + " of " + count + " records within 25 s");
            for (var record : consumer.poll(Duration.ofMillis(200))) {
                if (seen.add(record.topic() + "/" + record.partition() + "/" + record.offset())) {
                    got.add(record);
                }
            }
        }
        return got;
    }

    static List<ConsumerRecord<String, String>> readAll(String topic, int count, Object... config) {
        try (var consumer = consumer(config)) {
            consumer.subscribe(List.of(topic));
            return take(consumer, count);
        }
    }

    static List<String> values(Collection<ConsumerRecord<String, String>> records) {
        return records.stream().map(ConsumerRecord::value).toList();
    }

    static List<String> numbers(int from, int to) {
        return IntStream.range(from, to).mapToObj(Integer::toString).toList();
    }

    static void check(boolean holds, String otherwise) {
        if (!holds) {
            throw new AssertionError(otherwise);
        }
    }

    static void equal(Object got, Object want) {
        check(Objects.deepEquals(got, want), "got " + shown(got) + ", want " + shown(want));
    }

    private static String shown(Object value) {
        String text = value instanceof Object[] array ? Arrays.deepToString(array) : String.valueOf(value);
        return text.length() < 250 ? text : text.substring(0, 250) + "…";
    }

    /** Polls until check gives true. */
    static void until(String what, Callable<Boolean> check) throws Exception {
        long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(25);
        while (!check.call()) {
            check(System.nanoTime() < end, what + ": not within 25 s");
            Thread.sleep(20);
        }
    }

    /** body must throw a {@code kind}, perhaps as the cause of something. */
    static void fails(Class<? extends Exception> kind, Callable<?> body) {
        Object result;
        try {
            result = body.call();
        } catch (Exception e) {
            for (Throwable at = e; at != null; at = at.getCause()) {
                if (kind.isInstance(at)) {
                    return;
                }
            }
            throw new AssertionError("expected " + kind.getSimpleName() + ", got " + e, e);
        }
        throw new AssertionError("expected " + kind.getSimpleName() + ", got " + result);
    }
}
