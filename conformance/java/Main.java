/** The suite of the Java client. BOOTSTRAP=HOST:PORT java -cp … Main */
final class Main {
    private Main() {}

    public static void main(String[] args) throws Exception {
        var runner = new Runner();
        ProduceCases.add(runner);
        ConsumeCases.add(runner);
        GroupCases.add(runner);
        AdminCases.add(runner);
        runner.run(6, 60);
    }
}
