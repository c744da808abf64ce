"""Runs cases a few at a time and prints the lines that the Go harness reads."""

import os
import queue
import re
import sys
import threading
import time
import traceback

FULL = os.environ.get("WAXWING_FULL") == "1"
BOOTSTRAP = os.environ["BOOTSTRAP"]

_cases = []
_print_lock = threading.Lock()


def case(name):
    """Adds the decorated function, which fails by raising, as a case."""

    def add(fn):
        _cases.append((name, fn))
        return fn

    return add


def fresh(prefix):
    """A name that no other case uses."""
    return f"{prefix}-{os.urandom(5).hex()}"


def until(what, check, seconds=20.0):
    """Polls until check() gives something true, and returns it."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        result = check()
        if result:
            return result
        time.sleep(0.02)
    raise AssertionError(f"{what}: not within {seconds} s")


def equal(got, want):
    """Fails unless both are equal, and shows them."""
    if got != want:
        raise AssertionError(f"got {_short(got)}, want {_short(want)}")


def _short(value):
    text = repr(value)
    return text if len(text) < 250 else text[:250] + "…"


def _say(line):
    with _print_lock:
        print(line, flush=True)


def _run_one(name, fn):
    start = time.monotonic()
    try:
        fn()
    except BaseException as error:  # a case must never end the program
        traceback.print_exc()
        why = re.sub(r"\s+", " ", f"{type(error).__name__} {error}")[:600]
        _say(f"not ok {name}: {why}")
    else:
        _say(f"ok {name} {int((time.monotonic() - start) * 1000)}")


def run(width, case_seconds):
    """Runs all cases that WAXWING_CASES selects, then ends the process.

    A case that takes longer than case_seconds fails; its thread is abandoned.
    """
    wanted = re.compile(os.environ.get("WAXWING_CASES", ""))
    todo = queue.SimpleQueue()
    count = 0
    for name, fn in _cases:
        if wanted.search(name):
            todo.put((name, fn))
            count += 1
    _say(f"plan {count}")

    def worker():
        while True:
            try:
                name, fn = todo.get_nowait()
            except queue.Empty:
                return
            thread = threading.Thread(target=_run_one, args=(name, fn), daemon=True)
            thread.start()
            thread.join(case_seconds)
            if thread.is_alive():
                stack = "".join(traceback.format_stack(sys._current_frames()[thread.ident]))
                print(name, "hangs at", stack, file=sys.stderr)
                _say(f"not ok {name}: not within {case_seconds} s")

    workers = [threading.Thread(target=worker) for _ in range(width)]
    for w in workers:
        w.start()
    for w in workers:
        w.join()
    sys.stderr.flush()
    os._exit(0)
