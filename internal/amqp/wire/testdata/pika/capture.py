"""Writes what pika's encoder makes of every method that it knows, of tables
and of properties: one JSON object a line. README.md says how to run it."""

import datetime
import decimal
import inspect
import json

from pika import data, frame, spec

TABLE = {
    "text": "t\u00e9xt",
    "bytes": b"\x00\xff",
    "true": True,
    "false": False,
    "small": -5,
    "int": 70000,
    "uint": 3000000000,
    "long": -5000000000,
    "decimal": decimal.Decimal("3.14"),
    "time": datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.timezone.utc),
    "void": None,
    "table": {"inner": {"deep": 1}},
    "array": ["a", 1, [True, {"k": "v"}], None],
}


NUMBERS = ("version_major", "version_minor", "channel_max", "frame_max", "heartbeat", "reply_code", "class_id",
           "method_id", "prefetch_size", "prefetch_count", "delivery_tag", "message_count", "consumer_count")
RESERVED = ("capabilities", "insist", "known_hosts", "out_of_band", "channel_id")


def is_bit(name, default):
    return isinstance(default, bool) or name in ("active", "requeue", "redelivered", "multiple")


def value(name, default, number):
    """A value that tells the argument from the others of its method."""
    if name == "ticket" or name in RESERVED:
        return default
    if name in ("server_properties", "client_properties", "arguments"):
        return {name: number}
    if name in NUMBERS:
        return 200 + number
    return name


def line(kind, name, octets, fields):
    fields = {k: v for k, v in fields.items() if k not in RESERVED}
    print(json.dumps({"kind": kind, "name": name, "bytes": octets.hex(), "fields": fields}))


def method(cls):
    """One line for each bit of the method, which that bit alone is set in, or
    one if it has none."""
    params = [(name, None if p.default is inspect.Parameter.empty else p.default)
              for name, p in list(inspect.signature(cls.__init__).parameters.items())[1:]]
    args = {name: value(name, default, i) for i, (name, default) in enumerate(params)}
    bits = [name for name, default in params if is_bit(name, default) and name not in RESERVED]
    group, _, member = cls.NAME.partition(".")
    spelled = "".join("-" + c.lower() if c.isupper() else c for c in member).lstrip("-")
    if cls is spec.Basic.GetEmpty:
        args["cluster_id"] = ""  # reserved
    for lit in bits or [None]:
        args.update((name, name == lit) for name in bits)
        line("method", group.lower() + "." + spelled, frame.Method(513, cls(**args)).marshal(), args)


def table():
    pieces = []
    data.encode_table(pieces, TABLE)
    line("table", "all", b"".join(pieces), {})


def properties():
    every = dict(content_type="ct", content_encoding="ce", headers={"h": 1}, delivery_mode=2, priority=9,
                 correlation_id="ci", reply_to="rt", expiration="60000", message_id="mi", timestamp=1700000000,
                 type="ty", user_id="ui", app_id="ai", cluster_id="cl")
    line("header", "all", frame.Header(513, 4711, spec.BasicProperties(**every)).marshal(), every)
    line("header", "none", frame.Header(513, 0, spec.BasicProperties()).marshal(), {})
    for name, v in every.items():
        line("header", name, frame.Header(513, 1, spec.BasicProperties(**{name: v})).marshal(), {name: v})


for number in sorted(spec.methods):
    method(spec.methods[number])
table()
properties()
line("body", "body", frame.Body(513, b"\x00\xce\xff").marshal(), {})
line("heartbeat", "heartbeat", frame.Heartbeat().marshal(), {})
line("protocol", "protocol", frame.ProtocolHeader().marshal(), {})
