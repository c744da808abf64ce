"""The suite of aio-pika. AMQP_URL=amqp://… python aio_main.py"""

import asyncio
import contextlib
import os

import aio_pika
import aiormq
from aio_pika.patterns import RPC, Master
from runner import case as threaded
from runner import equal, fresh, run

URL = os.environ["AMQP_URL"]


def case(name):
    """Adds the decorated coroutine function as a case with an event loop of its own."""

    def add(fn):
        threaded(name)(lambda: asyncio.run(asyncio.wait_for(fn(), 40)))
        return fn

    return add


@contextlib.asynccontextmanager
async def channel(robust=True, **options):
    connection = await (aio_pika.connect_robust if robust else aio_pika.connect)(URL)
    async with connection:
        yield await connection.channel(**options)


async def until(what, check, seconds=20):
    end = asyncio.get_running_loop().time() + seconds
    while asyncio.get_running_loop().time() < end:
        if await check():
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"{what}: not within {seconds} s")


async def fails(kind, awaitable):
    try:
        result = await awaitable
    except kind:
        return
    raise AssertionError(f"expected {kind.__name__}, got {result!r}")


async def put(channel, queue, *bodies, **options):
    for body in bodies:
        await channel.default_exchange.publish(aio_pika.Message(body, **options), routing_key=queue.name)


async def ready(channel, queue):
    return (await channel.declare_queue(queue.name, passive=True)).declaration_result.message_count


async def take(queue, count):
    """Takes and acknowledges that many messages."""
    got = []
    async with queue.iterator(timeout=20) as messages:
        async for message in messages:
            async with message.process():
                got.append(message.body)
            if len(got) == count:
                break
    return got


@case("aio/exclusive queue that the broker names")
async def exclusive():
    async with channel(robust=False) as ch:
        queue = await ch.declare_queue(exclusive=True)
        equal(queue.name.startswith("amq.gen-"), True)
        await put(ch, queue, b"a", b"b", b"c")
        equal(await take(queue, 3), [b"a", b"b", b"c"])
        async with channel() as other:
            await fails(aiormq.exceptions.ChannelLockedResource, other.declare_queue(queue.name, passive=True))


@case("aio/confirms: accepted, returned, refused")
async def confirms():
    async with channel() as ch:
        queue = await ch.declare_queue(exclusive=True, arguments={"x-max-length": 1, "x-overflow": "reject-publish"})
        confirmed = await ch.default_exchange.publish(aio_pika.Message(b"1"), queue.name)
        equal(isinstance(confirmed, aiormq.spec.Basic.Ack), True)
        await fails(aiormq.exceptions.DeliveryError, ch.default_exchange.publish(aio_pika.Message(b"2"), queue.name))
    async with channel(on_return_raises=True) as ch:
        await fails(aiormq.exceptions.PublishError, ch.default_exchange.publish(aio_pika.Message(b"3"), fresh("nowhere"), mandatory=True))
    async with channel(on_return_raises=False) as ch:
        returned = await ch.default_exchange.publish(aio_pika.Message(b"3"), fresh("nowhere"), mandatory=True)
        equal(returned.body, b"3")


@case("aio/many at once, each confirmed")
async def many():
    async with channel() as ch:
        queue = await ch.declare_queue(exclusive=True)
        await asyncio.gather(*(ch.default_exchange.publish(aio_pika.Message(b"%d" % i), queue.name) for i in range(1000)))
        equal(await take(queue, 1000), [b"%d" % i for i in range(1000)])


@case("aio/passive declarations")
async def passive():
    async with channel(robust=False) as ch:
        queue = await ch.declare_queue(fresh("aio"), auto_delete=True)
        exchange = await ch.declare_exchange(fresh("aio"), aio_pika.ExchangeType.TOPIC, auto_delete=True)
        await put(ch, queue, b"x")
        equal(await ready(ch, queue), 1)
        await ch.get_queue(queue.name)
        await ch.declare_exchange(exchange.name, passive=True)
        await ch.get_exchange(exchange.name)
        await fails(aiormq.exceptions.ChannelNotFoundEntity, ch.get_queue(fresh("none")))
    async with channel() as ch:
        await fails(aiormq.exceptions.ChannelNotFoundEntity, ch.get_exchange(fresh("none")))


@case("aio/transactions")
async def transactions():
    async with channel(robust=False, publisher_confirms=False) as ch:
        queue = await ch.declare_queue(exclusive=True)
        async with ch.transaction():
            await put(ch, queue, b"committed")
        with contextlib.suppress(ZeroDivisionError):
            async with ch.transaction():
                await put(ch, queue, b"rolled back")
                _ = 1 / 0
        equal(await ready(ch, queue), 1)


@case("aio/reject, requeue, dead letters")
async def rejects():
    async with channel() as ch:
        dead = await ch.declare_queue(exclusive=True)
        queue = await ch.declare_queue(
            exclusive=True, arguments={"x-dead-letter-exchange": "", "x-dead-letter-routing-key": dead.name}
        )
        await put(ch, queue, b"x")
        message = await queue.get()
        await message.reject(requeue=True)
        message = await queue.get()
        equal(message.redelivered, True)
        with contextlib.suppress(ValueError):
            async with message.process(requeue=False):
                raise ValueError
        await until("the dead letter", lambda: dead.get(no_ack=True, fail=False))


@case("aio/headers, properties and times")
async def properties():
    sent = {"int": 1, "big": 2**40, "float": 1.5, "text": "ü", "bytes": bytearray(b"\xff"), "list": [1, "a"], "table": {"a": True}, "none": None}
    async with channel() as ch:
        queue = await ch.declare_queue(exclusive=True)
        await put(ch, queue, b"x", headers=sent, priority=3, message_id="m", app_id="a", type="t", correlation_id="c",
                  expiration=30.5, timestamp=1700000000, content_type="text/plain", reply_to="r")  # fmt: skip
        got = await queue.get(no_ack=True)
        equal(dict(got.headers), sent)
        equal((got.priority, got.message_id, got.app_id, got.type, got.correlation_id, got.expiration, got.content_type, got.reply_to),
              (3, "m", "a", "t", "c", 30.5, "text/plain", "r"))  # fmt: skip
        equal(got.timestamp.timestamp(), 1700000000)


@case("aio/RPC pattern")
async def rpc():
    async with channel() as served, channel() as asked:
        server = await RPC.create(served)
        method = fresh("multiply")

        async def multiply(*, x, y):
            return x * y

        async def divide(*, x, y):
            return x / y

        await server.register(method, multiply, auto_delete=True)
        await server.register(method + "/", divide, auto_delete=True)
        client = await RPC.create(asked)
        equal(await asyncio.gather(*(client.call(method, {"x": i, "y": 3}) for i in range(50))), [3 * i for i in range(50)])
        await fails(ZeroDivisionError, client.call(method + "/", {"x": 1, "y": 0}))
        await fails(aio_pika.exceptions.MessageProcessError, client.call(fresh("nobody"), {}))
        await server.close()
        await client.close()


@case("aio/Master and Worker pattern")
async def master():
    done, task = [], fresh("task")

    async def work(*, number):
        done.append(number)

    async with channel() as worker_channel, channel() as master_channel:
        await worker_channel.set_qos(prefetch_count=1)
        worker = await Master(worker_channel).create_worker(task, work, auto_delete=True)
        boss = Master(master_channel)
        for i in range(50):
            await boss.create_task(task, {"number": i})

        async def all_done():
            return len(done) == 50

        await until("all tasks", all_done)
        equal(done, list(range(50)))
        await worker.close()


@case("aio/cancellation by the broker")
async def cancelled():
    async with channel(robust=False) as ch, channel(robust=False) as other:
        queue = await ch.declare_queue(fresh("aio"))
        await queue.consume(lambda message: None)
        equal(await consumers(other, queue.name), 1)
        await other.queue_delete(queue.name)
        await ch.declare_queue(exclusive=True)  # the channel lives on


async def consumers(channel, name):
    return (await channel.declare_queue(name, passive=True)).declaration_result.consumer_count


if __name__ == "__main__":
    run(width=4, case_seconds=45)
