/** The suite of RabbitMQ's Java client. AMQP_URL=amqp://… java -cp … Main [restart] */
final class Main {
    private Main() {}

    public static void main(String[] args) throws Exception {
        var runner = new Runner();
        if (args.length > 0) {
            RecoveryCases.add(runner);
            runner.run(1, 90);
            return;
        }
        PublishCases.add(runner);
        ConsumeCases.add(runner);
        ObjectCases.add(runner);
        TableCases.add(runner);
        runner.run(6, 60);
    }
}
