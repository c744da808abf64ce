import java.io.PrintWriter;
import java.io.StringWriter;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.regex.Pattern;

/** Runs cases a few at a time and prints the lines that the Go harness reads. */
final class Runner {
    /** A case; it fails by throwing. */
    interface Case {
        void run() throws Exception;
    }

    private record Named(String name, Case body) {}

    private final List<Named> cases = new ArrayList<>();

    void add(String name, Case body) {
        cases.add(new Named(name, body));
    }

    /** Runs all cases that WAXWING_CASES selects, {@code width} at a time, and ends the process. */
    void run(int width, int caseSeconds) throws InterruptedException {
        var wanted = Pattern.compile(System.getenv().getOrDefault("WAXWING_CASES", ""));
        var todo = cases.stream().filter(c -> wanted.matcher(c.name()).find()).toList();
        say("plan " + todo.size());
        var next = new AtomicInteger();
        var threads = new ArrayList<Thread>();
        for (int i = 0; i < width; i++) {
            var thread = new Thread(() -> {
                for (int at = next.getAndIncrement(); at < todo.size(); at = next.getAndIncrement()) {
                    runOne(todo.get(at), caseSeconds);
                }
            });
            thread.start();
            threads.add(thread);
        }
        for (var thread : threads) {
            thread.join();
        }
        Runtime.getRuntime().halt(0);
    }

    /** Runs one case in a thread of its own, which is abandoned if it takes too long. */
    private void runOne(Named named, int caseSeconds) {
        long start = System.nanoTime();
        var thread = new Thread[1];
        var executor = Executors.newSingleThreadExecutor(body -> {
            thread[0] = new Thread(body);
            thread[0].setDaemon(true);
            return thread[0];
        });
        Future<?> running = executor.submit(() -> {
            named.body().run();
            return null;
        });
        try {
            running.get(caseSeconds, TimeUnit.SECONDS);
            say("ok " + named.name() + " " + TimeUnit.NANOSECONDS.toMillis(System.nanoTime() - start));
        } catch (TimeoutException e) {
            System.err.println(named.name() + " hangs at " + Arrays.toString(thread[0].getStackTrace()).replace(", ", "\n  "));
            say("not ok " + named.name() + ": not within " + caseSeconds + " s");
        } catch (Exception e) {
            Throwable why = e.getCause() == null ? e : e.getCause();
            var trace = new StringWriter();
            why.printStackTrace(new PrintWriter(trace));
            System.err.println(named.name() + " " + trace);
            String line = why.toString().replaceAll("\\s+", " ");
            say("not ok " + named.name() + ": " + line.substring(0, Math.min(600, line.length())));
        } finally {
            executor.shutdownNow();
        }
    }

    private static synchronized void say(String line) {
        System.out.println(line);
        System.out.flush();
    }
}
