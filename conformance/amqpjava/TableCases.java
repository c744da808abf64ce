import com.rabbitmq.client.AMQP;
import com.rabbitmq.client.impl.LongStringHelper;
import java.math.BigDecimal;
import java.util.Arrays;
import java.util.Date;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** Tables with values of every type that the client knows. */
final class TableCases {
    private TableCases() {}

    static void add(Runner runner) {
        runner.add("tables/values of every type come back as they were", () -> Kit.withChannel(channel -> {
            String queue = Kit.queue(channel);
            var sent = values();
            channel.basicPublish("", queue, new AMQP.BasicProperties.Builder().headers(sent).build(), new byte[0]);
            var got = channel.basicGet(queue, true).getProps().getHeaders();
            Kit.equal(got.keySet(), sent.keySet());
            for (var name : sent.keySet()) {
                Kit.check(same(got.get(name), sent.get(name)), name + ": got " + got.get(name) + ", want " + sent.get(name));
            }
        }));
        runner.add("tables/values of every type select messages", () -> Kit.withChannel(channel -> {
            for (var entry : values().entrySet()) {
                if (entry.getValue() == null || entry.getValue() instanceof Date) {
                    continue; // nothing matches anything; times match nothing in RabbitMQ 4
                }
                String queue = Kit.queue(channel);
                var header = new HashMap<String, Object>(Map.of(entry.getKey(), entry.getValue()));
                var arguments = new HashMap<>(header);
                arguments.put("x-match", "all");
                channel.queueBind(queue, "amq.headers", "", arguments);
                channel.basicPublish("amq.headers", "", new AMQP.BasicProperties.Builder().headers(header).build(), Kit.bytes("x"));
                channel.basicPublish("amq.headers", "", new AMQP.BasicProperties.Builder().headers(Map.of(entry.getKey(), "other")).build(), Kit.bytes("y"));
                Kit.check(Kit.bodies(channel, queue).equals(List.of("x")), entry.getKey() + " does not select");
                channel.queueDelete(queue);
            }
        }));
        runner.add("tables/arguments of every type are taken", () -> Kit.withChannel(channel -> {
            Kit.queue(channel, values());
            channel.exchangeDeclare(Kit.fresh("java"), "direct", false, true, values());
        }));
    }

    private static Map<String, Object> values() {
        var table = new HashMap<String, Object>();
        table.put("boolean", true);
        table.put("byte", (byte) -3);
        table.put("short", (short) 300);
        table.put("int", Integer.MIN_VALUE);
        table.put("long", Long.MAX_VALUE);
        table.put("float", 1.25f);
        table.put("double", Math.PI);
        table.put("decimal", new BigDecimal("12.345"));
        table.put("text", LongStringHelper.asLongString("ü and " + "x".repeat(1000)));
        table.put("date", new Date(1700000000000L));
        table.put("bytes", new byte[] {0, -1, 5});
        table.put("nothing", null);
        table.put("list", List.of(1, LongStringHelper.asLongString("two"), List.of(3L)));
        table.put("table", Map.of("deeper", Map.of("deepest", false)));
        return table;
    }

    private static boolean same(Object got, Object want) {
        return want instanceof byte[] bytes ? Arrays.equals((byte[]) got, bytes) : java.util.Objects.equals(got, want);
    }
}
