"""The suite of Celery and kombu. AMQP_URL=amqp://… python celery_main.py

Each case has a worker of its own, with a queue of its own. With QOS=global the
broker says that it is a RabbitMQ which has prefetch limits per channel, and
Celery uses them: tasks with an ETA then hold up no others.
"""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time

import celery.exceptions
import kombu
from kit import control
from runner import case, equal, fresh, run, until

QOS_GLOBAL = os.environ.get("QOS") == "global"


class Worker:
    """A worker process, and the application as its clients see it."""

    def __init__(self, kind="classic", concurrency=2):
        self.name = fresh("worker") + "@here"
        self.environment = {"CELERY_QUEUE": fresh("celery"), "CELERY_QUEUE_TYPE": kind}
        self.concurrency = concurrency
        self.app = self._application()
        self.tasks = self.app.tasks
        self.start()

    def _application(self):
        """The module anew: each case has its own settings."""
        import importlib.util

        with _importing:
            os.environ.update(self.environment)
            spec = importlib.util.spec_from_file_location("celery_app", os.path.join(os.path.dirname(__file__), "celery_app.py"))
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
        return module.app

    def __getattr__(self, task):
        return self.app.tasks[f"celery_app.{task}"]

    def start(self):
        self.log = tempfile.TemporaryFile()
        command = ["-m", "celery", "-A", "celery_app", "worker", "-n", self.name, "-c", str(self.concurrency), "-l", "info", "-P", "prefork"]
        self.process = subprocess.Popen(
            [sys.executable, "-B", *command], stdout=self.log, stderr=self.log, env=os.environ | self.environment, process_group=0
        )
        until("the worker", lambda: self.control("ping"), seconds=30)

    def control(self, command, **options):
        """What this worker alone answers, None if it does not."""
        replies = self.app.control.broadcast(command, reply=True, timeout=2, destination=[self.name], limit=1, **options)
        return replies[0][self.name] if replies else None

    def kill(self):
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def stop(self):
        self.process.terminate()
        try:
            equal(self.process.wait(60), 0)
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    def printed(self):
        self.log.seek(0)
        return self.log.read().decode(errors="replace")[-6000:]


_importing = threading.Lock()


@contextlib.contextmanager
def worker(**options):
    w = Worker(**options)
    try:
        yield w
        w.stop()
    except BaseException:
        print(w.printed(), file=sys.stderr)
        with contextlib.suppress(ProcessLookupError):
            w.kill()
        raise


def on_time(when, due, late=1.5):
    if not due - 0.05 <= when <= due + late:
        raise AssertionError(f"ran {when - due:+.2f} s from when it was due")


@case("celery/results, errors, many tasks")
def results():
    with worker() as w:
        equal(w.add.delay(2, 3).get(timeout=20), 5)
        try:
            w.fail.delay("broken").get(timeout=20)
            raise AssertionError("it succeeded")
        except ValueError as error:
            equal(str(error), "broken")
        many = [w.add.delay(i, i) for i in range(100)]
        equal([r.get(timeout=30) for r in many], [2 * i for i in range(100)])


@case("celery/groups and chains")
def groups():
    with worker() as w:
        equal(celery.group(w.add.s(i, 1) for i in range(20))().get(timeout=20), list(range(1, 21)))
        equal(celery.chain(w.add.s(1, 2), w.add.s(10), w.add.s(100))().get(timeout=20), 113)


@case("celery/retries")
def retries():
    with worker() as w:
        start = time.time()
        equal(w.flaky.delay(2).get(timeout=20), 3)
        equal(time.time() - start >= 0.4, True)
        try:
            w.flaky.delay(100).get(timeout=20)
            raise AssertionError("it succeeded")
        except celery.exceptions.MaxRetriesExceededError:
            pass


@case("celery/ETA and countdown")
def eta():
    with worker() as w:
        due = time.time() + 4
        later = [w.now.apply_async(countdown=4) for _ in range(6)]  # more than the worker's prefetch limit
        time.sleep(0.3)
        immediate = w.now.delay()
        for result in later:
            on_time(result.get(timeout=20), due)
        ran = immediate.get(timeout=20)
        if QOS_GLOBAL:
            equal(ran < due - 1, True)


@case("celery/quorum queues and native delayed delivery")
def quorum():
    with worker(kind="quorum") as w:
        equal(w.add.delay(2, 3).get(timeout=20), 5)
        due = time.time() + 3
        later = [w.now.apply_async(countdown=3) for _ in range(6)]
        time.sleep(0.3)
        ran = w.now.delay().get(timeout=20)
        equal(ran < due - 1, True)  # the broker holds the others
        for result in later:
            on_time(result.get(timeout=20), due, late=2.5)


@case("celery/control: ping, inspect, revoke, pool, consumers")
def controls():
    with worker() as w:
        equal(w.control("ping"), {"ok": "pong"})
        inspect = w.app.control.inspect(destination=[w.name], timeout=3, limit=1)
        equal("celery_app.add" in inspect.registered()[w.name], True)
        equal([q["name"] for q in inspect.active_queues()[w.name]], [w.environment["CELERY_QUEUE"]])
        running = w.sleep.delay(1)
        until("it is active", lambda: [t["id"] for t in inspect.active()[w.name]] == [running.id])
        doomed = w.now.apply_async(countdown=1.5)
        until("it is scheduled", lambda: [t["request"]["id"] for t in inspect.scheduled()[w.name]] == [doomed.id])
        doomed.revoke()
        until("it is revoked", lambda: doomed.id in inspect.revoked()[w.name])
        try:
            doomed.get(timeout=20)
            raise AssertionError("it ran")
        except celery.exceptions.TaskRevokedError:
            pass
        equal(running.get(timeout=20), 1)
        equal("ok" in w.control("pool_grow", arguments={"n": 1}), True)
        other = fresh("celery")
        equal("ok" in w.control("add_consumer", arguments={"queue": other, "exchange": other, "routing_key": other}), True)
        equal(w.add.apply_async((1, 1), queue=other).get(timeout=20), 2)
        equal("ok" in w.control("cancel_consumer", arguments={"queue": other}), True)
        endless = w.sleep.delay(600)
        until("it is active", lambda: inspect.active()[w.name])
        endless.revoke(terminate=True, signal="SIGKILL")
        until("it is killed", lambda: not inspect.active()[w.name])


@case("celery/events")
def events():
    seen, stop, listening = [], threading.Event(), threading.Event()
    with worker() as w:

        def listen():
            with w.app.connection_for_read() as connection:
                receiver = w.app.events.Receiver(connection, handlers={"*": seen.append})
                with receiver.consumer_context() as (cloned, _, _):
                    listening.set()
                    while not stop.is_set():
                        with contextlib.suppress(TimeoutError):
                            cloned.drain_events(timeout=0.2)

        thread = threading.Thread(target=listen, daemon=True)
        thread.start()
        listening.wait(10)
        task = w.add.delay(1, 2)
        task.get(timeout=20)

        def story():
            return [e["type"] for e in seen if e.get("uuid") == task.id and e["type"] != "task-sent"]

        until("the task's events", lambda: story()[-1:] == ["task-succeeded"])
        equal(story(), ["task-received", "task-started", "task-succeeded"])
        until("a heartbeat", lambda: any(e["type"] == "worker-heartbeat" and e["hostname"] == w.name for e in seen))
        stop.set()
        thread.join(5)


@case("celery/a worker that is killed: its task is done by the next")
def killed():
    with worker() as w, tempfile.NamedTemporaryFile("r") as notes:
        w.note.delay(notes.name, 3)
        until("it has begun", notes.read)
        w.kill()
        w.start()
        until("it has begun again", lambda: notes.seek(0) or notes.read() == "False\nTrue\n")


@case("kombu/SimpleQueue, broadcast, passive declarations, publishing with confirms and retries")
def kombu_cases():
    with kombu.Connection(os.environ["AMQP_URL"], transport_options={"confirm_publish": True}) as connection:
        simple = connection.SimpleQueue(fresh("kombu"))
        simple.put({"hello": ["wörld", 1, None]}, serializer="json", compression="zlib")
        message = simple.get(timeout=10)
        equal(message.payload, {"hello": ["wörld", 1, None]})
        message.ack()
        equal(simple.qsize(), 0)
        simple.close()
        simple.queue(connection.default_channel).delete()

        exchange = kombu.Exchange(fresh("kombu"), type="fanout", durable=False, auto_delete=True)
        got = []
        queues = [kombu.Queue(fresh("kombu"), exchange, exclusive=True, auto_delete=True) for _ in range(3)]
        with connection.Consumer(queues, callbacks=[lambda body, message: (got.append(body), message.ack())]):
            producer = connection.Producer(exchange=exchange)
            producer.publish("all", retry=True, declare=[exchange])
            until("all got it", lambda: drain(connection) or got == ["all"] * 3)
        bound = kombu.Queue(fresh("none"))(connection.channel())
        try:
            bound.queue_declare(passive=True)
            raise AssertionError("it is there")
        except connection.channel_errors as error:
            equal(error.code, 404)


def drain(connection):
    with contextlib.suppress(TimeoutError):
        connection.drain_events(timeout=0.1)


if os.environ.get("CONTROL_URL"):

    @case("celery/a broker that is killed: worker and client go on")
    def broker_killed():
        with worker() as w:
            equal(w.add.delay(1, 2).get(timeout=20), 3)
            control("kill")
            control("start")
            with tempfile.NamedTemporaryFile("r") as notes:
                policy = {"max_retries": 50, "interval_start": 0.1, "interval_max": 0.1}
                w.note.apply_async((notes.name, 0), retry=True, retry_policy=policy)
                until("the task was done", lambda: notes.seek(0) or notes.read() == "False\n", seconds=40)


if __name__ == "__main__":
    run(width=1 if os.environ.get("CONTROL_URL") else 4, case_seconds=90)
