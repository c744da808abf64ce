import com.rabbitmq.client.AMQP;
import com.rabbitmq.client.Channel;
import com.rabbitmq.client.Connection;
import com.rabbitmq.client.ConnectionFactory;
import com.rabbitmq.client.Delivery;
import com.rabbitmq.client.ShutdownSignalException;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.UUID;
import java.util.concurrent.Callable;
import java.util.concurrent.TimeUnit;

/** What the cases share. */
final class Kit {
    static final boolean FULL = "1".equals(System.getenv("WAXWING_FULL"));

    private Kit() {}

    /** Something that may throw. */
    interface Body<T> {
        void run(T with) throws Exception;
    }

    static ConnectionFactory factory() throws Exception {
        var factory = new ConnectionFactory();
        factory.setUri(System.getenv("AMQP_URL"));
        factory.setVirtualHost("/"); // which a URL with a slash at its end is not, to this client
        factory.setAutomaticRecoveryEnabled(false);
        return factory;
    }

    static void withConnection(Body<Connection> body) throws Exception {
        var connection = factory().newConnection();
        try {
            body.run(connection);
        } finally {
            if (connection.isOpen()) {
                connection.close();
            }
        }
    }

    static void withChannel(Body<Channel> body) throws Exception {
        withConnection(connection -> body.run(connection.createChannel()));
    }

    /** A name that no other case uses. */
    static String fresh(String prefix) {
        return prefix + "-" + UUID.randomUUID().toString().substring(0, 13);
    }

    static String queue(Channel channel) throws IOException {
        return queue(channel, Map.of());
    }

    /** Declares an exclusive queue. */
    static String queue(Channel channel, Map<String, Object> arguments) throws IOException {
        String name = fresh("java");
        channel.queueDeclare(name, false, true, false, arguments);
        return name;
    }

    static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    static void put(Channel channel, String queue, String... bodies) throws IOException {
        for (String body : bodies) {
            channel.basicPublish("", queue, null, bytes(body));
        }
    }

    /** Takes all that is ready. */
    static List<String> bodies(Channel channel, String queue) throws IOException {
        var got = new ArrayList<String>();
        for (var message = channel.basicGet(queue, true); message != null; message = channel.basicGet(queue, true)) {
            got.add(new String(message.getBody(), StandardCharsets.UTF_8));
        }
        return got;
    }

    static long ready(Channel channel, String queue) throws IOException {
        return channel.messageCount(queue);
    }

    /** A consumer that keeps what it gets. */
    static final class Taken {
        final List<Delivery> got = Collections.synchronizedList(new ArrayList<>());
        final List<String> cancelled = Collections.synchronizedList(new ArrayList<>());
        final String tag;

        Taken(Channel channel, String queue, boolean autoAck, Map<String, Object> arguments) throws IOException {
            tag = channel.basicConsume(queue, autoAck, arguments, (t, delivery) -> got.add(delivery), (String t) -> cancelled.add(t));
        }

        /** Waits for that many messages, and then whether more come. */
        void await(int count) throws Exception {
            until(count + " messages", () -> got.size() >= count);
            Thread.sleep(60);
            equal(got.size(), count);
        }

        List<String> bodies() {
            return List.copyOf(got).stream().map(d -> new String(d.getBody(), StandardCharsets.UTF_8)).toList();
        }
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
        String text = String.valueOf(value);
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

    /** body must end with the broker closing the channel, or the connection, with that code. */
    static void closes(int code, Callable<?> body) throws Exception {
        Object result;
        try {
            result = body.call();
        } catch (IOException | ShutdownSignalException e) {
            Throwable cause = e instanceof ShutdownSignalException ? e : e.getCause();
            check(cause instanceof ShutdownSignalException, "expected " + code + ", got " + e);
            Object reason = ((ShutdownSignalException) cause).getReason();
            int got = reason instanceof AMQP.Channel.Close close ? close.getReplyCode() : ((AMQP.Connection.Close) reason).getReplyCode();
            equal(got, code);
            return;
        }
        throw new AssertionError("expected " + code + ", got " + result);
    }
}
