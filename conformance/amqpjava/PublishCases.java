import com.rabbitmq.client.AMQP;
import com.rabbitmq.client.Channel;
import com.rabbitmq.client.MessageProperties;
import com.rabbitmq.client.Return;
import com.rabbitmq.client.RpcClient;
import com.rabbitmq.client.RpcClientParams;
import com.rabbitmq.client.RpcServer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.Date;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentSkipListSet;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.IntStream;

/** Publishing: confirms, returns, transactions, properties, RPC. */
final class PublishCases {
    private PublishCases() {}

    static void add(Runner runner) {
        runner.add("publish/confirms, one by one and all together", () -> Kit.withChannel(PublishCases::confirms));
        runner.add("publish/confirms come to a listener, each once", () -> Kit.withChannel(PublishCases::listener));
        runner.add("publish/returns come before their confirms", () -> Kit.withChannel(PublishCases::returns));
        runner.add("publish/a refused message", () -> Kit.withChannel(PublishCases::refused));
        runner.add("publish/transactions", () -> Kit.withChannel(PublishCases::transactions));
        runner.add("publish/all properties", () -> Kit.withChannel(PublishCases::properties));
        runner.add("publish/bodies of all sizes", () -> Kit.withChannel(PublishCases::sizes));
        runner.add("publish/from many threads, a channel each", PublishCases::threads);
        runner.add("publish/RPC with the client's classes", PublishCases::rpc);
        runner.add("publish/refusals", PublishCases::refusals);
    }

    private static void confirms(Channel channel) throws Exception {
        String queue = Kit.queue(channel);
        channel.confirmSelect();
        for (int i = 0; i < 50; i++) {
            channel.basicPublish("", queue, MessageProperties.PERSISTENT_BASIC, Kit.bytes("" + i));
            Kit.check(channel.waitForConfirms(10000), "refused");
        }
        for (int i = 50; i < 2000; i++) {
            channel.basicPublish("", queue, MessageProperties.PERSISTENT_BASIC, Kit.bytes("" + i));
        }
        channel.waitForConfirmsOrDie(20000);
        Kit.equal(channel.getNextPublishSeqNo(), 2001L);
        Kit.equal(Kit.bodies(channel, queue), IntStream.range(0, 2000).mapToObj(i -> "" + i).toList());
    }

    private static void listener(Channel channel) throws Exception {
        String queue = Kit.queue(channel);
        var open = new ConcurrentSkipListSet<Long>();
        var strange = new AtomicInteger();
        channel.confirmSelect();
        channel.addConfirmListener((tag, multiple) -> {
            boolean known = multiple ? !open.headSet(tag, true).isEmpty() : open.remove(tag);
            open.headSet(tag, multiple).removeIf(t -> multiple);
            if (!known) {
                strange.incrementAndGet();
            }
        }, (tag, multiple) -> strange.incrementAndGet());
        for (int i = 0; i < 3000; i++) {
            open.add(channel.getNextPublishSeqNo());
            channel.basicPublish("", queue, null, Kit.bytes("x"));
        }
        Kit.until("all are confirmed", open::isEmpty);
        Kit.equal(strange.get(), 0);
    }

    private static void returns(Channel channel) throws Exception {
        var events = Collections.synchronizedList(new ArrayList<String>());
        var returned = Collections.synchronizedList(new ArrayList<Return>());
        channel.confirmSelect();
        channel.addReturnListener(r -> {
            returned.add(r);
            events.add("return");
        });
        channel.addConfirmListener((tag, multiple) -> events.add("ack"), (tag, multiple) -> events.add("nack"));
        channel.basicPublish("amq.direct", "nowhere", true, new AMQP.BasicProperties.Builder().messageId("m").build(), Kit.bytes("body"));
        channel.waitForConfirmsOrDie(10000);
        Kit.until("both", () -> events.size() == 2);
        Kit.equal(events, List.of("return", "ack"));
        var r = returned.get(0);
        Kit.equal(List.of(r.getReplyCode(), r.getReplyText(), r.getExchange(), r.getRoutingKey(), r.getProperties().getMessageId(), new String(r.getBody())),
            List.of(312, "NO_ROUTE", "amq.direct", "nowhere", "m", "body"));
    }

    private static void refused(Channel channel) throws Exception {
        String queue = Kit.queue(channel, Map.of("x-max-length", 1, "x-overflow", "reject-publish"));
        channel.confirmSelect();
        Kit.put(channel, queue, "fits");
        Kit.check(channel.waitForConfirms(10000), "the first was refused");
        Kit.put(channel, queue, "does not");
        Kit.check(!channel.waitForConfirms(10000), "the second was taken");
    }

    private static void transactions(Channel channel) throws Exception {
        String queue = Kit.queue(channel);
        channel.txSelect();
        Kit.put(channel, queue, "a", "b");
        Kit.equal(Kit.ready(channel, queue), 0L);
        channel.txCommit();
        Kit.equal(Kit.ready(channel, queue), 2L);
        Kit.put(channel, queue, "c");
        channel.basicAck(channel.basicGet(queue, false).getEnvelope().getDeliveryTag(), false);
        channel.txRollback();
        Kit.equal(Kit.ready(channel, queue), 1L);
        channel.basicRecover(true);
        Kit.equal(Kit.ready(channel, queue), 2L);
    }

    private static void properties(Channel channel) throws Exception {
        String queue = Kit.queue(channel);
        var sent = new AMQP.BasicProperties("text/plain", "utf-8", Map.of("k", "v"), 2, 5, "correlation", "reply", "60000", "id",
            new Date(1700000000000L), "type", "guest", "app", "cluster");
        channel.basicPublish("", queue, sent, new byte[0]);
        channel.basicPublish("", queue, new AMQP.BasicProperties(), new byte[0]);
        var got = channel.basicGet(queue, true).getProps();
        Kit.equal(got.toString().replaceAll("#\\S+", ""), sent.toString().replaceAll("#\\S+", ""));
        Kit.equal(channel.basicGet(queue, true).getProps(), new AMQP.BasicProperties());
    }

    private static void sizes(Channel channel) throws Exception {
        String queue = Kit.queue(channel);
        for (int size : new int[] {0, 1, 131064, 131065, 131072, 300000, 5 << 20}) {
            byte[] body = new byte[size];
            Arrays.fill(body, (byte) size);
            channel.basicPublish("", queue, null, body);
            Kit.until("it is there", () -> Kit.ready(channel, queue) == 1);
            Kit.check(Arrays.equals(channel.basicGet(queue, true).getBody(), body), size + " bytes came back differently");
        }
    }

    private static void threads() throws Exception {
        Kit.withConnection(connection -> {
            var control = connection.createChannel();
            String queue = Kit.queue(control);
            var failures = Collections.synchronizedList(new ArrayList<Exception>());
            var threads = IntStream.range(0, 8).mapToObj(number -> new Thread(() -> {
                try (var channel = connection.createChannel()) {
                    channel.confirmSelect();
                    for (int i = 0; i < 200; i++) {
                        channel.basicPublish("", queue, null, Kit.bytes(number + " " + i));
                    }
                    channel.waitForConfirmsOrDie(20000);
                } catch (Exception e) {
                    failures.add(e);
                }
            })).toList();
            threads.forEach(Thread::start);
            for (var thread : threads) {
                thread.join();
            }
            Kit.equal(failures, List.of());
            var got = Kit.bodies(control, queue);
            Kit.equal(got.size(), 1600);
            for (int number = 0; number < 8; number++) { // the order of each publisher
                String prefix = number + " ";
                Kit.equal(got.stream().filter(b -> b.startsWith(prefix)).toList(), IntStream.range(0, 200).mapToObj(i -> prefix + i).toList());
            }
        });
    }

    private static void rpc() throws Exception {
        Kit.withChannel(serving -> Kit.withChannel(asking -> {
            String queue = Kit.fresh("java");
            serving.queueDeclare(queue, false, false, true, null);
            var server = new RpcServer(serving, queue) {
                @Override
                public byte[] handleCall(byte[] request, AMQP.BasicProperties reply) {
                    return Kit.bytes(new String(request) + "!");
                }
            };
            var loop = new Thread(() -> {
                try {
                    server.mainloop();
                } catch (Exception e) {
                    // it was closed
                }
            });
            loop.setDaemon(true);
            loop.start();
            for (String replyTo : new String[] {"amq.rabbitmq.reply-to", asking.queueDeclare().getQueue()}) {
                var client = new RpcClient(new RpcClientParams().channel(asking).exchange("").routingKey(queue).replyTo(replyTo).timeout(10000));
                for (int i = 0; i < 20; i++) {
                    Kit.equal(client.stringCall("call " + i), "call " + i + "!");
                }
                client.close();
            }
            server.terminateMainloop();
            server.close();
        }));
    }

    private static void refusals() throws Exception {
        Kit.withConnection(connection -> {
            var lost = connection.createChannel();
            lost.basicPublish(Kit.fresh("none"), "", null, Kit.bytes("x"));
            Kit.closes(404, () -> lost.queueDeclare());
            var large = connection.createChannel();
            large.basicPublish("", "any", null, new byte[(16 << 20) + 1]);
            Kit.closes(406, () -> large.queueDeclare());
            var mixed = connection.createChannel();
            mixed.txSelect();
            Kit.closes(406, mixed::confirmSelect);
        });
        Kit.withConnection(connection -> {
            var channel = connection.createChannel();
            channel.basicPublish("", "any", false, true, null, Kit.bytes("x")); // immediate
            Kit.closes(540, () -> channel.queueDeclare());
        });
    }
}
