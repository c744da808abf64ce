import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicBoolean;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.CooperativeStickyAssignor;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.RangeAssignor;
import org.apache.kafka.clients.consumer.StickyAssignor;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.FencedInstanceIdException;

/** Consumer groups. */
final class GroupCases {
    private GroupCases() {}

    static void add(Runner runner) {
        for (var assignor : List.of(RangeAssignor.class, StickyAssignor.class, CooperativeStickyAssignor.class)) {
            runner.add("groups/" + assignor.getSimpleName() + ", members join and leave while records flow", () -> churn(assignor));
        }
        runner.add("groups/static member comes back without a rebalance", GroupCases::staticMember);
        runner.add("groups/second static member fences the first", GroupCases::fence);
        runner.add("groups/enforced rebalance", GroupCases::enforced);
    }

    /** A member of a group that consumes in a thread of its own and notes what it owns. */
    static final class Member implements ConsumerRebalanceListener {
        final Set<Integer> owns = ConcurrentHashMap.newKeySet();
        final Set<String> seen = ConcurrentHashMap.newKeySet();
        volatile int changes;
        volatile Throwable failure;
        private volatile boolean stopping;
        private final KafkaConsumer<String, String> consumer;
        private final Thread thread;

        Member(String topic, Object... config) {
            consumer = Kit.consumer(config);
            consumer.subscribe(List.of(topic), this);
            thread = new Thread(this::run);
            thread.setDaemon(true);
            thread.start();
        }

        private void run() {
            try (consumer) {
                while (!stopping) {
                    for (var record : consumer.poll(Duration.ofMillis(50))) {
                        Kit.check(owns.contains(record.partition()), "a record of a partition that it does not own");
                        seen.add(record.partition() + ":" + record.offset());
                    }
                }
            } catch (Throwable e) {
                failure = e;
            }
        }

        void leave() throws InterruptedException {
            stopping = true;
            thread.join(10000);
        }

        @Override
        public void onPartitionsAssigned(Collection<TopicPartition> partitions) {
            changes++;
            partitions.forEach(p -> owns.add(p.partition()));
        }

        @Override
        public void onPartitionsRevoked(Collection<TopicPartition> partitions) {
            changes++;
            partitions.forEach(p -> owns.remove(p.partition()));
        }
    }

    /** Whether the members own all partitions, each once, and evenly. */
    static boolean settled(List<Member> members, int partitions) {
        var all = new HashSet<Integer>();
        int sum = 0;
        int least = partitions;
        for (var member : members) {
            Kit.check(member.failure == null, "a member failed: " + member.failure);
            all.addAll(member.owns);
            sum += member.owns.size();
            least = Math.min(least, member.owns.size());
        }
        return all.size() == partitions && sum == partitions && least >= partitions / members.size();
    }

    static void churn(Class<?> assignor) throws Exception {
        String topic = Kit.newTopic(6);
        Object[] config = {"group.id", Kit.fresh("java-group"), "partition.assignment.strategy", assignor.getName()};
        var sent = ConcurrentHashMap.<String>newKeySet();
        var members = new ArrayList<Member>();
        var stop = new AtomicBoolean();
        var producing = new Thread(() -> {
            try (var producer = Kit.producer()) {
                for (int i = 0; !stop.get(); i++) {
                    producer.send(new ProducerRecord<>(topic, i % 6, "", "" + i), (metadata, error) -> {
                        if (error == null) {
                            sent.add(metadata.partition() + ":" + metadata.offset());
                        }
                    });
                    Thread.sleep(2);
                }
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            }
        });
        producing.start();
        try {
            for (int size = 1; size <= 3; size++) {
                members.add(new Member(topic, config));
                Kit.until(size + " share", () -> settled(members, 6));
            }
            members.get(0).leave();
            Kit.until("two share again", () -> settled(members.subList(1, 3), 6));
        } finally {
            stop.set(true);
            producing.join();
        }
        Kit.until("all was seen", () -> {
            var seen = new HashSet<String>();
            members.forEach(m -> seen.addAll(m.seen));
            return seen.containsAll(sent);
        });
        for (var member : members) {
            member.leave();
        }
    }

    static void staticMember() throws Exception {
        String topic = Kit.newTopic(4);
        String group = Kit.fresh("java-group");
        var one = new Member(topic, "group.id", group, "group.instance.id", "one", "session.timeout.ms", 20000);
        var two = new Member(topic, "group.id", group, "group.instance.id", "two", "session.timeout.ms", 20000);
        Kit.until("both share", () -> settled(List.of(one, two), 4));
        var owned = Set.copyOf(two.owns);
        int changes = one.changes;
        two.leave(); // a static member does not leave the group when it closes
        var back = new Member(topic, "group.id", group, "group.instance.id", "two", "session.timeout.ms", 20000);
        Kit.until("it is back", () -> back.owns.equals(owned));
        Kit.equal(one.changes, changes);
        one.leave();
        back.leave();
    }

    static void fence() throws Exception {
        String topic = Kit.newTopic(1);
        String group = Kit.fresh("java-group");
        var first = new Member(topic, "group.id", group, "group.instance.id", "same");
        Kit.until("the first owns it", () -> first.owns.size() == 1);
        var second = new Member(topic, "group.id", group, "group.instance.id", "same");
        Kit.until("the first is fenced", () -> first.failure != null);
        Kit.check(first.failure instanceof FencedInstanceIdException, "it failed otherwise: " + first.failure);
        Kit.until("the second owns it", () -> second.owns.size() == 1);
        second.leave();
    }

    static void enforced() throws Exception {
        String topic = Kit.newTopic(2);
        try (var consumer = Kit.consumer()) {
            consumer.subscribe(List.of(topic));
            Kit.until("it owns both", () -> {
                consumer.poll(Duration.ofMillis(50));
                return consumer.assignment().size() == 2;
            });
            int generation = consumer.groupMetadata().generationId();
            consumer.enforceRebalance("on purpose");
            Kit.until("a later generation", () -> {
                consumer.poll(Duration.ofMillis(50));
                return consumer.groupMetadata().generationId() > generation && consumer.assignment().size() == 2;
            });
        }
    }
}
