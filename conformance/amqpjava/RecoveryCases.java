import com.rabbitmq.client.MessageProperties;
import com.rabbitmq.client.Recoverable;
import com.rabbitmq.client.RecoveryListener;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import java.util.stream.IntStream;

/** The client's recovery of connections and topology when the broker is killed. */
final class RecoveryCases {
    private RecoveryCases() {}

    static void add(Runner runner) {
        runner.add("recovery/queues, exchanges, bindings and consumers come back", RecoveryCases::topology);
        runner.add("recovery/what was confirmed is there", RecoveryCases::confirmed);
    }

    private static void control(String what) throws Exception {
        var request = HttpRequest.newBuilder(URI.create(System.getenv("CONTROL_URL") + "/" + what)).POST(HttpRequest.BodyPublishers.noBody()).build();
        Kit.equal(HttpClient.newHttpClient().send(request, HttpResponse.BodyHandlers.discarding()).statusCode(), 200);
    }

    private static void topology() throws Exception {
        var factory = Kit.factory();
        factory.setAutomaticRecoveryEnabled(true);
        factory.setNetworkRecoveryInterval(200);
        var recovered = new Semaphore(0);
        try (var connection = factory.newConnection()) {
            ((Recoverable) connection).addRecoveryListener(new RecoveryListener() {
                @Override
                public void handleRecovery(Recoverable recoverable) {
                    recovered.release();
                }

                @Override
                public void handleRecoveryStarted(Recoverable recoverable) {}
            });
            var channel = connection.createChannel();
            channel.confirmSelect();
            channel.basicQos(10);
            String topic = Kit.fresh("java");
            String fanout = Kit.fresh("java");
            channel.exchangeDeclare(topic, "topic"); // transient: gone with the broker
            channel.exchangeDeclare(fanout, "fanout");
            channel.exchangeBind(fanout, topic, "a.#");
            String durable = Kit.fresh("java");
            channel.queueDeclare(durable, true, false, false, null);
            channel.queueBind(durable, topic, "*.b");
            String named = channel.queueDeclare().getQueue(); // by the broker, which will name it anew
            channel.queueBind(named, fanout, "");
            var got = Collections.synchronizedList(new ArrayList<String>());
            for (String queue : List.of(durable, named)) {
                channel.basicConsume(queue, false, (tag, delivery) -> {
                    got.add(new String(delivery.getBody()));
                    channel.basicAck(delivery.getEnvelope().getDeliveryTag(), false);
                }, (String tag) -> {});
            }
            for (int round = 1; round <= 3; round++) {
                String body = "round " + round;
                channel.basicPublish(topic, "a.b", MessageProperties.PERSISTENT_BASIC, Kit.bytes(body));
                channel.waitForConfirmsOrDie(10000);
                Kit.until("both got it", () -> Collections.frequency(got, body) == 2);
                if (round < 3) {
                    control("kill");
                    control("start");
                    Kit.check(recovered.tryAcquire(30, TimeUnit.SECONDS), "it did not recover");
                }
            }
            Kit.check(!channel.queueDeclarePassive(durable).getQueue().isEmpty(), "no queue");
            Kit.equal(channel.consumerCount(durable), 1L);
            channel.queueDelete(durable);
            channel.exchangeDelete(topic);
            channel.exchangeDelete(fanout);
        }
    }

    private static void confirmed() throws Exception {
        String queue = Kit.fresh("java");
        var confirmed = new ArrayList<String>();
        var connection = Kit.factory().newConnection();
        var channel = connection.createChannel();
        channel.queueDeclare(queue, true, false, false, Map.of());
        channel.confirmSelect();
        var killer = new Thread(() -> {
            try {
                Thread.sleep(500);
                control("kill");
            } catch (Exception e) {
                throw new IllegalStateException(e);
            }
        });
        killer.start();
        try {
            for (int i = 0; ; i++) {
                channel.basicPublish("", queue, MessageProperties.PERSISTENT_BASIC, Kit.bytes("" + i));
                channel.waitForConfirmsOrDie(10000);
                confirmed.add("" + i);
            }
        } catch (java.io.IOException | com.rabbitmq.client.ShutdownSignalException e) {
            // killed
        }
        killer.join();
        control("start");
        Kit.withChannel(again -> {
            var there = Kit.bodies(again, queue);
            Kit.check(there.size() - confirmed.size() <= 1, there.size() + " are there, " + confirmed.size() + " were confirmed");
            Kit.equal(there, IntStream.range(0, Math.max(there.size(), confirmed.size())).mapToObj(i -> "" + i).toList());
            again.queueDelete(queue);
        });
    }
}
