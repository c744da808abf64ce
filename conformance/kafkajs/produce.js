'use strict'
const assert = require('node:assert')
const { randomBytes } = require('node:crypto')
const { CompressionTypes, Partitioners } = require('kafkajs')
const { test } = require('./runner')
const c = require('./client')

for (const acks of [-1, 1, 0]) {
  test(`produce/acks ${acks}`, async () => {
    const topic = await c.newTopic()
    const results = []
    await c.withProducer({}, async producer => {
      for (let i = 0; i < 10; i++) {
        results.push(await producer.send({ topic, acks, messages: c.numbered(10, i * 10) }))
      }
      if (acks === 0) await c.sleep(200)
    })
    if (acks !== 0) {
      assert.deepStrictEqual(results.map(r => r[0].baseOffset), Array.from({ length: 10 }, (_, i) => String(i * 10)))
      assert.strictEqual(results[0][0].errorCode, 0)
    }
    const got = await c.readAll(topic, 100)
    assert.deepStrictEqual(c.values(got), c.numbered(100).map(m => m.value))
  })
}

test('produce/idempotent', async () => {
  const topic = await c.newTopic(3)
  const rounds = c.full ? 300 : 60
  await c.withProducer({ idempotent: true, maxInFlightRequests: 1 }, async producer => {
    assert.strictEqual(producer.isIdempotent(), true)
    for (let i = 0; i < rounds; i++) {
      await producer.send({ topic, messages: [0, 1, 2].map(partition => ({ partition, value: String(i) })) })
    }
  })
  const got = await c.readAll(topic, rounds * 3)
  for (const partition of [0, 1, 2]) {
    assert.deepStrictEqual(c.values(got.filter(m => m.partition === partition)), c.numbered(rounds).map(m => m.value))
  }
})

test('produce/idempotent producers side by side', async () => {
  const topic = await c.newTopic()
  await Promise.all(
    [0, 1, 2, 3].map(id =>
      c.withProducer({ idempotent: true, maxInFlightRequests: 1 }, async producer => {
        for (let i = 0; i < 25; i++) await producer.send({ topic, messages: [{ key: String(id), value: String(i) }] })
      })
    )
  )
  const got = await c.readAll(topic, 100)
  for (const id of ['0', '1', '2', '3']) {
    const mine = got.filter(m => m.message.key.toString() === id)
    assert.deepStrictEqual(c.values(mine), c.numbered(25).map(m => m.value))
  }
})

test('produce/keys, headers, nulls and timestamps', async () => {
  const topic = await c.newTopic()
  const bytes = randomBytes(40)
  await c.send(topic, [
    { key: 'k', value: 'v', headers: { text: 'ü', raw: bytes, many: ['a', 'b'], empty: '' } },
    { key: 'gone', value: null },
    { key: null, value: '' },
    { key: '', value: bytes, timestamp: '1600000000123' },
  ])
  const got = (await c.readAll(topic, 4)).map(m => m.message)
  assert.strictEqual(got[0].headers.text.toString(), 'ü')
  assert.ok(got[0].headers.raw.equals(bytes))
  assert.deepStrictEqual(got[0].headers.many.map(String), ['a', 'b'])
  assert.strictEqual(got[0].headers.empty.length, 0)
  assert.strictEqual(got[1].key.toString(), 'gone')
  assert.strictEqual(got[1].value, null)
  assert.strictEqual(got[2].key, null)
  assert.strictEqual(got[2].value.length, 0)
  assert.strictEqual(got[3].key.length, 0)
  assert.ok(got[3].value.equals(bytes))
  assert.strictEqual(got[3].timestamp, '1600000000123')
  assert.ok(Math.abs(Date.now() - Number(got[0].timestamp)) < 60000)
})

const partitioners = {
  default: Partitioners.DefaultPartitioner,
  legacy: Partitioners.LegacyPartitioner,
  custom: () => ({ message }) => Number(message.key) % 4,
}
for (const [name, createPartitioner] of Object.entries(partitioners)) {
  test(`produce/partitioner ${name}`, async () => {
    const topic = await c.newTopic(4)
    const messages = Array.from({ length: 80 }, (_, i) => ({ key: String(i % 20), value: String(i) }))
    await c.withProducer({ createPartitioner, idempotent: true }, p => p.send({ topic, messages }))
    const got = await c.readAll(topic, 80)
    const homes = new Map()
    for (const { partition, message } of got) {
      const key = message.key.toString()
      homes.set(key, (homes.get(key) || new Set()).add(partition))
      if (name === 'custom') assert.strictEqual(partition, Number(key) % 4)
    }
    assert.strictEqual(homes.size, 20)
    for (const set of homes.values()) assert.strictEqual(set.size, 1)
    assert.ok(new Set(got.map(m => m.partition)).size > 1)
  })
}

for (const [name, compression] of Object.entries(CompressionTypes)) {
  test(`produce/compression ${name}`, async () => {
    const topic = await c.newTopic(1, [], `js-codec-${name.toLowerCase()}`)
    const text = 'the waxwing passes the berry on '.repeat(40)
    const messages = Array.from({ length: 200 }, (_, i) => ({ key: String(i), value: `${i} ${text}`, headers: { h: 'x' } }))
    await c.send(topic, messages, { compression })
    await c.withProducer({}, p => p.send({ topic, messages, compression }))
    const got = await c.readAll(topic, 400)
    assert.deepStrictEqual(c.values(got), [...messages, ...messages].map(m => m.value))
  })
}

test('produce/large message', async () => {
  const topic = await c.newTopic()
  const value = randomBytes(1000000)
  await c.send(topic, [{ value }])
  const [{ message }] = await c.readAll(topic, 1)
  assert.ok(message.value.equals(value))
})

test('produce/large message under a raised limit', async () => {
  const topic = await c.newTopic(1, [{ name: 'max.message.bytes', value: '6000000' }])
  const value = randomBytes(5000000)
  await c.send(topic, [{ value }, { value: 'small' }])
  const got = await c.readAll(topic, 2, { maxBytesPerPartition: 1000, maxBytes: 1000 })
  assert.ok(got[0].message.value.equals(value))
})

test('produce/sendBatch over topics', async () => {
  const [a, b] = [await c.newTopic(2), await c.newTopic(1)]
  await c.withProducer({}, p =>
    p.sendBatch({
      topicMessages: [
        { topic: a, messages: [{ partition: 0, value: 'a0' }, { partition: 1, value: 'a1' }] },
        { topic: b, messages: [{ value: 'b0' }] },
      ],
    })
  )
  assert.deepStrictEqual(c.values(await c.readAll(a, 2)).sort(), ['a0', 'a1'])
  assert.deepStrictEqual(c.values(await c.readAll(b, 1)), ['b0'])
})

test('produce/topic created on first use', async () => {
  const topic = c.fresh('js-auto')
  await c.withProducer({ allowAutoTopicCreation: true }, p => p.send({ topic, messages: [{ value: 'first' }] }))
  assert.deepStrictEqual(c.values(await c.readAll(topic, 1)), ['first'])
})

test('produce/many requests in flight', async () => {
  const topic = await c.newTopic(8)
  await c.withProducer({}, producer =>
    Promise.all(Array.from({ length: 200 }, (_, i) => producer.send({ topic, messages: [{ partition: i % 8, value: String(i) }] })))
  )
  const got = c.values(await c.readAll(topic, 200))
  assert.deepStrictEqual(got.map(Number).sort((x, y) => x - y), Array.from({ length: 200 }, (_, i) => i))
})
