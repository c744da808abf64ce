'use strict'
const assert = require('node:assert')
const { randomBytes } = require('node:crypto')
const { test, within } = require('./runner')
const c = require('./client')

/** Runs fn with a connected, subscribed consumer. */
async function withConsumer(topic, options, fn) {
  const { fromBeginning = true, ...rest } = options
  const consumer = c.newConsumer(rest)
  await consumer.connect()
  try {
    await consumer.subscribe({ topic, fromBeginning })
    return await fn(consumer)
  } finally {
    await consumer.disconnect()
  }
}

test('consume/eachMessage fromBeginning', async () => {
  const topic = await c.newTopic(3)
  await c.send(topic, Array.from({ length: 300 }, (_, i) => ({ partition: i % 3, value: String(i) })))
  const got = await c.readAll(topic, 300)
  for (const p of [0, 1, 2]) {
    const mine = got.filter(m => m.partition === p)
    assert.deepStrictEqual(mine.map(m => m.message.offset), Array.from({ length: 100 }, (_, i) => String(i)))
    assert.deepStrictEqual(c.values(mine), Array.from({ length: 100 }, (_, i) => String(i * 3 + p)))
  }
})

test('consume/only what is new', async () => {
  const topic = await c.newTopic()
  await c.send(topic, [{ value: 'old' }])
  await withConsumer(topic, { fromBeginning: false }, async consumer => {
    const joined = new Promise(resolve => consumer.on(consumer.events.FETCH, resolve))
    const got = c.take(consumer, 1)
    await within(15000, 'a first fetch', joined)
    await c.send(topic, [{ value: 'new' }])
    assert.deepStrictEqual(c.values(await got), ['new'])
  })
})

test('consume/eachBatch', async () => {
  const topic = await c.newTopic()
  await c.send(topic, c.numbered(50))
  await c.send(topic, c.numbered(50, 50))
  const groupId = c.fresh('js-group')
  await withConsumer(topic, { groupId }, async consumer => {
    const seen = []
    let done
    const all = new Promise(resolve => (done = resolve))
    await consumer.run({
      eachBatchAutoResolve: false,
      eachBatch: async ({ batch, resolveOffset, heartbeat, commitOffsetsIfNecessary, uncommittedOffsets, isRunning, isStale }) => {
        assert.ok(isRunning() && !isStale())
        assert.strictEqual(batch.topic, topic)
        assert.strictEqual(batch.highWatermark, '100')
        assert.strictEqual(batch.lastOffset(), batch.messages[batch.messages.length - 1].offset)
        for (const message of batch.messages) {
          seen.push(message.value.toString())
          resolveOffset(message.offset)
        }
        assert.strictEqual(uncommittedOffsets().topics[0].partitions[0].offset, String(seen.length))
        await commitOffsetsIfNecessary(uncommittedOffsets())
        await heartbeat()
        if (seen.length === 100) done()
      },
    })
    await within(20000, '100 messages', all)
    assert.deepStrictEqual(seen, c.numbered(100).map(m => m.value))
  })
  const [committed] = await c.withAdmin(a => a.fetchOffsets({ groupId, topics: [topic] }))
  assert.strictEqual(committed.partitions[0].offset, '100')
})

test('consume/seek', async () => {
  const topic = await c.newTopic(2)
  await c.send(topic, Array.from({ length: 40 }, (_, i) => ({ partition: i % 2, value: String(i) })))
  await withConsumer(topic, {}, async consumer => {
    const got = []
    await consumer.run({ autoCommit: false, eachMessage: async m => void got.push(m) })
    await c.until('all 40', () => got.length >= 40)
    got.length = 0
    consumer.seek({ topic, partition: 0, offset: '15' })
    consumer.seek({ topic, partition: 1, offset: '18' })
    const of = partition => c.values(got.filter(m => m.partition === partition))
    await c.until('the rest of both', () => of(0).length >= 5 && of(1).length >= 2)
    assert.deepStrictEqual(of(0).slice(0, 5), ['30', '32', '34', '36', '38'])
    assert.deepStrictEqual(of(1).slice(0, 2), ['37', '39'])
  })
})

test('consume/seek out of range starts over', async () => {
  const topic = await c.newTopic()
  await c.send(topic, c.numbered(5))
  await withConsumer(topic, {}, async consumer => {
    const got = []
    await consumer.run({ autoCommit: false, eachMessage: async m => void got.push(m) })
    await c.until('all 5', () => got.length >= 5)
    got.length = 0
    consumer.seek({ topic, partition: 0, offset: '5000' })
    await c.until('from the beginning', () => got.length >= 5)
    assert.deepStrictEqual(c.values(got.slice(0, 5)), ['0', '1', '2', '3', '4'])
  })
})

test('consume/pause and resume', async () => {
  const topic = await c.newTopic(2)
  await withConsumer(topic, {}, async consumer => {
    const got = []
    await consumer.run({ eachMessage: async m => void got.push(m) })
    await c.send(topic, [{ partition: 0, value: 'a' }, { partition: 1, value: 'b' }])
    await c.until('both', () => got.length === 2)
    consumer.pause([{ topic, partitions: [0] }])
    assert.deepStrictEqual(consumer.paused(), [{ topic, partitions: [0] }])
    await c.send(topic, [{ partition: 0, value: 'held' }, { partition: 1, value: 'c' }])
    await c.until('the other', () => got.length === 3)
    await c.sleep(600)
    assert.deepStrictEqual(c.values(got).slice(2), ['c'])
    consumer.resume([{ topic, partitions: [0] }])
    await c.until('the held one', () => got.length === 4)
    assert.strictEqual(c.values(got)[3], 'held')
  })
})

test('consume/manual commits', async () => {
  const topic = await c.newTopic()
  const groupId = c.fresh('js-group')
  await c.send(topic, c.numbered(20))
  await withConsumer(topic, { groupId }, async consumer => {
    await c.take(consumer, 20, { runOptions: { autoCommit: false } })
    await consumer.commitOffsets([{ topic, partition: 0, offset: '7', metadata: 'seven, ü' }])
  })
  const [committed] = await c.withAdmin(a => a.fetchOffsets({ groupId, topics: [topic] }))
  assert.deepStrictEqual(committed.partitions, [{ partition: 0, offset: '7', metadata: 'seven, ü' }])
  await withConsumer(topic, { groupId }, async consumer => {
    const got = await c.take(consumer, 13, { runOptions: { autoCommit: false } })
    assert.deepStrictEqual(c.values(got), c.numbered(13, 7).map(m => m.value))
  })
})

test('consume/automatic commits by threshold', async () => {
  const topic = await c.newTopic()
  const groupId = c.fresh('js-group')
  await c.send(topic, c.numbered(25))
  await withConsumer(topic, { groupId }, async consumer => {
    await c.take(consumer, 25, { runOptions: { autoCommitThreshold: 10 } })
    await c.withAdmin(admin =>
      c.until('a commit', async () => {
        const [o] = await admin.fetchOffsets({ groupId, topics: [topic] })
        return Number(o.partitions[0].offset) >= 10
      })
    )
  })
  await c.send(topic, [{ value: 'next' }])
  await withConsumer(topic, { groupId }, async consumer => {
    assert.deepStrictEqual(c.values(await c.take(consumer, 1)), ['next'])
  })
})

test('consume/regex subscription', async () => {
  const prefix = c.fresh('js-re')
  const topics = [`${prefix}-a`, `${prefix}-b`, `x${prefix}`]
  await c.withAdmin(a => a.createTopics({ topics: topics.map(topic => ({ topic })) }))
  for (const topic of topics) await c.send(topic, [{ value: topic }])
  await withConsumer(new RegExp(`^${prefix}-.*`), {}, async consumer => {
    const got = await c.take(consumer, 2)
    await c.sleep(300)
    assert.deepStrictEqual(c.values(got).sort(), topics.slice(0, 2))
  })
})

test('consume/fetch limits smaller than a message', async () => {
  const topic = await c.newTopic()
  const value = randomBytes(200000)
  await c.send(topic, [{ value }])
  await c.send(topic, [{ value: 'after' }])
  const got = await c.readAll(topic, 2, { maxBytesPerPartition: 1024, maxBytes: 2048 })
  assert.ok(got[0].message.value.equals(value))
  assert.strictEqual(got[1].message.value.toString(), 'after')
})

test('consume/minBytes waits no longer than maxWait', async () => {
  const topic = await c.newTopic()
  await withConsumer(topic, { minBytes: 1000000, maxWaitTimeInMs: 700 }, async consumer => {
    const fetched = []
    consumer.on(consumer.events.FETCH, e => fetched.push(e.payload.duration))
    const got = c.take(consumer, 1)
    await c.until('an empty fetch', () => fetched.length > 0)
    await c.send(topic, [{ value: 'small' }])
    assert.deepStrictEqual(c.values(await got), ['small'])
    assert.ok(fetched[0] > 500 && fetched[0] < 5000, `an empty fetch took ${fetched[0]} ms`)
  })
})

test('consume/partitions side by side', async () => {
  const topic = await c.newTopic(6)
  await c.send(topic, Array.from({ length: 120 }, (_, i) => ({ partition: i % 6, value: String(i) })))
  await withConsumer(topic, {}, async consumer => {
    let now = 0
    let most = 0
    const seen = new Set()
    await consumer.run({
      partitionsConsumedConcurrently: 3,
      eachMessage: async ({ message }) => {
        most = Math.max(most, ++now)
        await c.sleep(2)
        seen.add(message.value.toString())
        now--
      },
    })
    await c.until('all 120', () => seen.size === 120)
    assert.ok(most > 1 && most <= 3, `${most} at once`)
  })
})

test('consume/instrumentation events', async () => {
  const topic = await c.newTopic()
  const consumer = c.newConsumer()
  const seen = new Map()
  for (const [name, event] of Object.entries(consumer.events)) {
    consumer.on(event, e => seen.set(name, e.payload))
  }
  await consumer.connect()
  await consumer.subscribe({ topic, fromBeginning: true })
  await c.send(topic, c.numbered(3))
  await c.take(consumer, 3, { runOptions: { autoCommitThreshold: 1 } })
  await c.until('heartbeats', () => seen.has('HEARTBEAT') && seen.has('COMMIT_OFFSETS') && seen.has('END_BATCH_PROCESS'))
  await consumer.disconnect()
  for (const name of ['CONNECT', 'GROUP_JOIN', 'FETCH_START', 'FETCH', 'START_BATCH_PROCESS', 'REQUEST', 'STOP', 'DISCONNECT']) {
    assert.ok(seen.has(name), `no event ${name}`)
  }
  assert.deepStrictEqual(seen.get('GROUP_JOIN').memberAssignment, { [topic]: [0] })
  assert.strictEqual(seen.get('GROUP_JOIN').isLeader, true)
})

module.exports = { withConsumer }
