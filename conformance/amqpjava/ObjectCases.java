import com.rabbitmq.client.Channel;
import com.rabbitmq.client.LongString;
import com.rabbitmq.client.ShutdownSignalException;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;

/** Connections, channels, queues, exchanges, bindings. */
final class ObjectCases {
    private ObjectCases() {}

    static void add(Runner runner) {
        runner.add("objects/what the broker says it is and can", () -> Kit.withConnection(connection -> {
            var said = connection.getServerProperties();
            @SuppressWarnings("unchecked")
            var can = (Map<String, Object>) said.get("capabilities");
            for (String name : List.of("publisher_confirms", "basic.nack", "consumer_cancel_notify", "per_consumer_qos", "direct_reply_to")) {
                Kit.equal(can.get(name), true);
            }
            if (System.getenv("PRODUCT") != null) {
                Kit.equal(said.get("product").toString(), System.getenv("PRODUCT"));
                Kit.check(said.get("version") instanceof LongString, "no version");
            }
        }));
        runner.add("objects/heartbeats, wrong credentials", ObjectCases::connections);
        runner.add("objects/queues and what they refuse", ObjectCases::queues);
        runner.add("objects/exclusive queues", ObjectCases::exclusive);
        runner.add("objects/exchanges and bindings", () -> Kit.withChannel(ObjectCases::exchanges));
        runner.add("objects/dead letters", () -> Kit.withChannel(ObjectCases::deadLetters));
        runner.add("objects/an error of a channel and of a connection", ObjectCases::errors);
        runner.add("objects/calls without an answer", () -> Kit.withChannel(ObjectCases::noWait));
    }

    private static void connections() throws Exception {
        var factory = Kit.factory();
        factory.setRequestedHeartbeat(1);
        factory.setRequestedFrameMax(8192);
        factory.setRequestedChannelMax(10);
        try (var connection = factory.newConnection("a name")) {
            Kit.equal(List.of(connection.getHeartbeat(), connection.getFrameMax(), connection.getChannelMax()), List.of(1, 8192, 10));
            Thread.sleep(3500);
            connection.createChannel();
        }
        var wrong = Kit.factory();
        wrong.setPassword("wrong");
        try {
            wrong.newConnection();
            throw new AssertionError("it was let in");
        } catch (com.rabbitmq.client.AuthenticationFailureException e) {
            Kit.check(e.getMessage().contains("ACCESS_REFUSED"), e.getMessage());
        }
    }

    private static void queues() throws Exception {
        Kit.withConnection(connection -> {
            var channel = connection.createChannel();
            String name = Kit.fresh("java");
            var arguments = Map.<String, Object>of("x-max-length", 5, "x-expires", 60000);
            channel.queueDeclare(name, true, false, false, arguments);
            channel.queueDeclare(name, true, false, false, Map.of("x-max-length", 5L, "x-expires", (short) 60000 & 0xffff)); // of other widths
            channel.confirmSelect();
            Kit.put(channel, name, "a", "b");
            channel.waitForConfirmsOrDie(10000);
            Kit.equal(channel.queueDeclarePassive(name).getMessageCount(), 2);
            Kit.equal(channel.queuePurge(name).getMessageCount(), 2);
            Kit.closes(406, () -> connection.createChannel().queueDeclare(name, true, false, false, Map.of("x-max-length", 6, "x-expires", 60000)));
            Kit.closes(404, () -> connection.createChannel().queueDeclarePassive(Kit.fresh("none")));
            Kit.closes(404, () -> connection.createChannel().basicGet(Kit.fresh("none"), true));
            Kit.closes(403, () -> connection.createChannel().queueDeclare("amq.mine", false, false, false, null));
            Kit.put(channel, name, "c");
            channel.waitForConfirmsOrDie(10000);
            Kit.closes(406, () -> connection.createChannel().queueDelete(name, false, true));
            Kit.equal(channel.queueDelete(name).getMessageCount(), 1);
            channel.queueDelete(name);
        });
    }

    private static void exclusive() throws Exception {
        Kit.withConnection(other -> {
            var name = new String[1];
            Kit.withChannel(channel -> {
                name[0] = channel.queueDeclare().getQueue();
                Kit.check(name[0].startsWith("amq.gen-"), name[0]);
                Kit.closes(405, () -> other.createChannel().queueDeclarePassive(name[0]));
                Kit.closes(405, () -> other.createChannel().basicGet(name[0], true));
            });
            Kit.closes(404, () -> other.createChannel().queueDeclarePassive(name[0]));
        });
    }

    private static void exchanges(Channel channel) throws Exception {
        String queue = Kit.queue(channel);
        String topic = Kit.fresh("java");
        String headers = Kit.fresh("java");
        channel.exchangeDeclare(topic, "topic", false, true, Map.of("alternate-exchange", "amq.fanout"));
        channel.exchangeDeclare(headers, "headers", false, true, null);
        channel.exchangeDeclarePassive(topic);
        channel.exchangeBind(headers, topic, "*.b.#");
        channel.queueBind(queue, headers, "", Map.of("x-match", "all", "n", 1, "s", "text"));
        var matching = new com.rabbitmq.client.AMQP.BasicProperties.Builder().headers(Map.of("n", 1L, "s", "text", "more", true)).build();
        channel.basicPublish(topic, "a.b.c", matching, Kit.bytes("1"));
        channel.basicPublish(topic, "a.b", null, Kit.bytes("2"));
        channel.basicPublish(topic, "b", matching, Kit.bytes("3"));
        Kit.equal(Kit.bodies(channel, queue), List.of("1"));
        channel.queueBind(queue, "amq.fanout", "");
        channel.basicPublish(topic, "b", matching, Kit.bytes("4"));
        Kit.equal(Kit.bodies(channel, queue), List.of("4"));
        channel.exchangeUnbind(headers, topic, "*.b.#");
        channel.queueUnbind(queue, headers, "", Map.of("x-match", "all", "n", 1, "s", "text"));
        Kit.closes(404, () -> channel.exchangeDeclarePassive(headers)); // auto-delete
    }

    private static void deadLetters(Channel channel) throws Exception {
        String dead = Kit.queue(channel);
        var arguments = new HashMap<String, Object>(Map.of("x-dead-letter-exchange", "", "x-dead-letter-routing-key", dead, "x-message-ttl", 50));
        String queue = Kit.queue(channel, arguments);
        Kit.put(channel, queue, "x");
        Kit.until("it is dead", () -> Kit.ready(channel, dead) == 1);
        var headers = channel.basicGet(dead, true).getProps().getHeaders();
        @SuppressWarnings("unchecked")
        var death = ((List<Map<String, Object>>) headers.get("x-death")).get(0);
        Kit.equal(List.of(death.get("reason").toString(), death.get("queue").toString(), death.get("count")), List.of("expired", queue, 1L));
        Kit.equal(((List<?>) death.get("routing-keys")).get(0).toString(), queue);
        Kit.check(death.get("time") instanceof java.util.Date, "no time");
    }

    private static void errors() throws Exception {
        Kit.withConnection(connection -> {
            var good = connection.createChannel();
            var bad = connection.createChannel();
            var signal = new CompletableFuture<ShutdownSignalException>();
            bad.addShutdownListener(signal::complete);
            Kit.closes(404, () -> bad.exchangeDeclarePassive(Kit.fresh("none")));
            Kit.check(!signal.get(10, TimeUnit.SECONDS).isHardError(), "a hard error");
            good.queueDeclare();
            var hard = new CompletableFuture<ShutdownSignalException>();
            connection.addShutdownListener(hard::complete);
            Kit.closes(540, () -> {
                good.basicQos(10, 10, false); // a limit in bytes
                return null;
            });
            Kit.check(hard.get(10, TimeUnit.SECONDS).isHardError(), "a soft error");
        });
    }

    private static void noWait(Channel channel) throws Exception {
        String queue = Kit.fresh("java");
        String exchange = Kit.fresh("java");
        channel.queueDeclareNoWait(queue, false, true, false, null);
        channel.exchangeDeclareNoWait(exchange, "direct", false, true, false, null);
        channel.queueBindNoWait(queue, exchange, "k", null);
        channel.basicPublish(exchange, "k", null, Kit.bytes("x"));
        Kit.equal(Kit.bodies(channel, queue), List.of("x"));
        channel.queueDeleteNoWait(queue, false, false);
        Kit.closes(404, () -> channel.queueDeclarePassive(queue));
    }
}
