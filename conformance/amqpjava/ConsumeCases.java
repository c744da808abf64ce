import com.rabbitmq.client.Channel;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;

/** Consuming: prefetch, acknowledgements, priorities, cancellation, streams. */
final class ConsumeCases {
    private ConsumeCases() {}

    static void add(Runner runner) {
        runner.add("consume/in order, acknowledged", () -> Kit.withChannel(ConsumeCases::inOrder));
        runner.add("consume/nack and reject", () -> Kit.withChannel(ConsumeCases::nack));
        runner.add("consume/a closed channel gives back", ConsumeCases::givesBack);
        runner.add("consume/settling twice", () -> Kit.withChannel(ConsumeCases::twice));
        runner.add("consume/prefetch of each consumer, and of the channel", ConsumeCases::prefetch);
        runner.add("consume/priorities, exclusive and single active consumers", ConsumeCases::kinds);
        runner.add("consume/cancelled by the client, cancelled by the broker", ConsumeCases::cancelled);
        runner.add("consume/streams", ConsumeCases::streams);
    }

    private static void inOrder(Channel channel) throws Exception {
        String queue = Kit.queue(channel);
        var want = IntStream.range(0, 1000).mapToObj(i -> "" + i).toList();
        Kit.put(channel, queue, want.toArray(String[]::new));
        var taken = new Kit.Taken(channel, queue, false, Map.of());
        taken.await(1000);
        Kit.equal(taken.bodies(), want);
        Kit.check(taken.got.stream().noneMatch(d -> d.getEnvelope().isRedeliver()), "some are redelivered");
        channel.basicAck(0, true);
        channel.basicCancel(taken.tag);
        Kit.equal(Kit.ready(channel, queue), 0L);
    }

    private static void nack(Channel channel) throws Exception {
        String queue = Kit.queue(channel);
        Kit.put(channel, queue, "0", "1", "2", "3", "4");
        for (int i = 0; i < 5; i++) {
            Kit.until("a message", () -> channel.basicGet(queue, false) != null);
        }
        channel.basicNack(2, true, true);
        channel.basicReject(3, true);
        channel.basicReject(4, false);
        channel.basicNack(5, false, false);
        Kit.equal(Kit.bodies(channel, queue), List.of("0", "1", "2"));
    }

    private static void givesBack() throws Exception {
        Kit.withConnection(connection -> {
            var keeper = connection.createChannel();
            String queue = Kit.queue(keeper);
            Kit.put(keeper, queue, "a", "b");
            var channel = connection.createChannel();
            new Kit.Taken(channel, queue, false, Map.of()).await(2);
            channel.close();
            Kit.until("they are back", () -> Kit.ready(keeper, queue) == 2);
            var first = keeper.basicGet(queue, true);
            Kit.equal(List.of(new String(first.getBody()), first.getEnvelope().isRedeliver()), List.of("a", true));
        });
    }

    private static void twice(Channel channel) throws Exception {
        String queue = Kit.queue(channel);
        Kit.put(channel, queue, "x");
        Kit.until("it is there", () -> channel.basicGet(queue, false) != null);
        channel.basicAck(1, false);
        channel.basicAck(1, false);
        Kit.closes(406, () -> channel.queueDeclarePassive(queue));
    }

    private static void prefetch() throws Exception {
        Kit.withConnection(connection -> {
            for (boolean global : new boolean[] {false, true}) {
                var channel = connection.createChannel();
                String queue = Kit.queue(channel);
                Kit.put(channel, queue, IntStream.range(0, 20).mapToObj(i -> "" + i).toArray(String[]::new));
                channel.basicQos(4, global);
                var first = new Kit.Taken(channel, queue, false, Map.of());
                var second = new Kit.Taken(channel, queue, false, Map.of());
                int want = global ? 4 : 8;
                Kit.until(want + " messages", () -> first.got.size() + second.got.size() >= want);
                Thread.sleep(80);
                Kit.equal(first.got.size() + second.got.size(), want);
                channel.basicAck(2, true);
                Kit.until("two more", () -> first.got.size() + second.got.size() == want + 2);
                channel.close();
            }
        });
    }

    private static void kinds() throws Exception {
        Kit.withConnection(connection -> {
            var channel = connection.createChannel();
            String queue = Kit.queue(channel);
            var low = new Kit.Taken(channel, queue, true, Map.of());
            var high = new Kit.Taken(channel, queue, true, Map.of("x-priority", 3));
            Kit.put(channel, queue, "a", "b", "c");
            high.await(3);
            Kit.equal(low.got.size(), 0);
            Kit.closes(403, () -> connection.createChannel().basicConsume(queue, true, "", false, true, Map.of(), (t, d) -> {}, (String t) -> {}));

            String single = Kit.queue(channel, Map.of("x-single-active-consumer", true));
            var first = new Kit.Taken(channel, single, true, Map.of());
            var next = new Kit.Taken(channel, single, true, Map.of());
            Kit.put(channel, single, "1", "2");
            first.await(2);
            channel.basicCancel(first.tag);
            Kit.put(channel, single, "3");
            next.await(1);
        });
    }

    private static void cancelled() throws Exception {
        Kit.withConnection(connection -> {
            var channel = connection.createChannel();
            var other = connection.createChannel();
            String queue = Kit.fresh("java");
            other.queueDeclare(queue, false, false, false, null);
            var taken = new Kit.Taken(channel, queue, true, Map.of());
            channel.basicCancel(taken.tag);
            var again = new Kit.Taken(channel, queue, true, Map.of());
            other.queueDelete(queue);
            Kit.until("the broker cancels", () -> again.cancelled.equals(List.of(again.tag)));
            Kit.equal(taken.cancelled, List.of());
            channel.queueDeclare(); // the channel lives on
        });
    }

    private static void streams() throws Exception {
        Kit.withConnection(connection -> {
            var channel = connection.createChannel();
            String queue = Kit.fresh("java");
            channel.queueDeclare(queue, true, false, false, Map.of("x-queue-type", "stream", "x-max-age", "1h"));
            channel.confirmSelect();
            Kit.put(channel, queue, "0", "1", "2", "3");
            channel.waitForConfirmsOrDie(10000);
            for (var start : List.<Map.Entry<Object, Integer>>of(Map.entry("first", 0), Map.entry(2, 2), Map.entry(new java.util.Date(0), 0), Map.entry("next", 4))) {
                var reader = connection.createChannel();
                reader.basicQos(10);
                var taken = new Kit.Taken(reader, queue, false, Map.of("x-stream-offset", start.getKey()));
                taken.await(4 - start.getValue());
                Kit.equal(taken.got.stream().map(d -> ((Long) d.getProperties().getHeaders().get("x-stream-offset")).intValue()).toList(),
                    IntStream.range(start.getValue(), 4).boxed().toList());
                reader.close();
            }
            channel.queueDelete(queue);
        });
    }
}
