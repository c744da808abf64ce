"""aio-pika: a robust connection after a kill -9 of the broker."""

import asyncio

import aio_pika
from aio_main import URL, fresh, threaded, until  # noqa: F401
from kit import control, equal
from runner import _cases, run

_cases.clear()  # those of aio_main ran elsewhere


async def robust():
    """Connection, channel, exchange, queue, binding and consumer come back by themselves."""
    loop = asyncio.get_running_loop()
    connection = await aio_pika.connect_robust(URL, reconnect_interval=0.1, fail_fast=False)
    async with connection:
        channel = await connection.channel()
        await channel.set_qos(prefetch_count=10)
        exchange = await channel.declare_exchange(fresh("aio"), aio_pika.ExchangeType.DIRECT)  # transient: declared again
        queue = await channel.declare_queue(exclusive=True)  # a new one, by the same name
        await queue.bind(exchange, "k")
        got = []

        async def on_message(message):
            async with message.process():
                got.append(int(message.body))

        await queue.consume(on_message)

        async def arrived(*numbers):
            return got == list(numbers)

        await exchange.publish(aio_pika.Message(b"1"), "k")
        await until("the first", lambda: arrived(1))
        for round in (2, 3):
            connected = asyncio.Event()
            connection.reconnect_callbacks.add(lambda *_: connected.set())
            await loop.run_in_executor(None, control, "kill")
            await loop.run_in_executor(None, control, "start")
            await asyncio.wait_for(connected.wait(), 20)
            await exchange.publish(aio_pika.Message(b"%d" % round), "k", timeout=20)
            await until("the next", lambda: arrived(*range(1, round + 1)))
        equal(got, [1, 2, 3])


threaded("restart/a robust connection restores what it had")(lambda: asyncio.run(asyncio.wait_for(robust(), 50)))

if __name__ == "__main__":
    run(width=1, case_seconds=60)
