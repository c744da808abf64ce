'use strict'
// What the cases share: clients that clean up after themselves, fresh names,
// and reading a topic back.

const { Kafka, logLevel, CompressionTypes, CompressionCodecs } = require('kafkajs')
const SnappyCodec = require('kafkajs-snappy')
const lz4 = require('lz4-napi')
const { ZstdCodec } = require('zstd-codec')
const { randomBytes } = require('node:crypto')
const { within } = require('./runner')

CompressionCodecs[CompressionTypes.Snappy] = SnappyCodec
CompressionCodecs[CompressionTypes.LZ4] = () => ({
  compress: async encoder => lz4.compressFrame(encoder.buffer),
  decompress: async buffer => lz4.decompressFrame(buffer),
})
const zstd = new Promise(resolve => ZstdCodec.run(binding => resolve(new binding.Streaming())))
CompressionCodecs[CompressionTypes.ZSTD] = () => ({
  compress: async encoder => Buffer.from((await zstd).compress(encoder.buffer)),
  decompress: async buffer => Buffer.from((await zstd).decompress(buffer)),
})

const full = process.env.WAXWING_FULL === '1'

/** A client with a log that says nothing. */
function newKafka(options = {}) {
  return new Kafka({
    clientId: 'conformance',
    brokers: [process.env.BOOTSTRAP],
    logLevel: logLevel.NOTHING,
    connectionTimeout: 10000,
    ...options,
  })
}

/** A name that no other case uses. */
const fresh = prefix => `${prefix}-${randomBytes(5).toString('hex')}`

/** Runs fn with a connected admin client. */
async function withAdmin(fn, options = {}) {
  const admin = newKafka(options).admin()
  await admin.connect()
  try {
    return await fn(admin)
  } finally {
    await admin.disconnect()
  }
}

/** Creates a topic and returns its name. */
async function newTopic(numPartitions = 1, configEntries = [], prefix = 'js') {
  const topic = fresh(prefix)
  await withAdmin(async admin => {
    await admin.createTopics({ topics: [{ topic, numPartitions, replicationFactor: 1, configEntries }], waitForLeaders: false })
    await leaders(admin, topic)
  })
  return topic
}

/** Waits until the topic's partitions have leaders, which Kafka takes a while to say. */
const leaders = (admin, topic) =>
  until('leaders', () =>
    admin.fetchTopicMetadata({ topics: [topic] }).then(
      ({ topics }) => topics[0].partitions.every(p => p.leader >= 0),
      () => false
    )
  )

/** Runs fn with a connected producer. */
async function withProducer(options, fn) {
  const producer = newKafka().producer(options)
  await producer.connect()
  try {
    return await fn(producer)
  } finally {
    await producer.disconnect()
  }
}

/** Sends messages, each to be stored once even if the client must try again. */
const send = (topic, messages, options = {}) => withProducer({ idempotent: true }, p => p.send({ topic, messages, ...options }))

/** `count` messages whose values are their numbers. */
const numbered = (count, from = 0) => Array.from({ length: count }, (_, i) => ({ value: String(from + i) }))

/** The settings that make rebalances quick. */
const quickGroup = { sessionTimeout: 10000, rebalanceTimeout: 10000, heartbeatInterval: 250, maxWaitTimeInMs: 200 }

/** A consumer with a fresh group, unless options name one. */
const newConsumer = (options = {}) => newKafka().consumer({ groupId: fresh('js-group'), ...quickGroup, ...options })

/**
 * Runs `consumer` and resolves to the messages, [{topic, partition, message}],
 * when there are count of them. The consumer goes on. A record that is
 * delivered again, as after a rebalance, counts once.
 */
async function take(consumer, count, { runOptions = {}, ms = 30000 } = {}) {
  const got = []
  const seen = new Set()
  let done
  const enough = new Promise(resolve => (done = resolve))
  await consumer.run({
    ...runOptions,
    eachMessage: async m => {
      const place = `${m.topic}/${m.partition}/${m.message.offset}`
      if (!seen.has(place)) got.push(m)
      seen.add(place)
      if (got.length >= count) done()
    },
  })
  await within(ms, `${count} messages`, enough).catch(error => {
    throw new Error(`${error.message}; got ${got.length}`)
  })
  return got
}

/** Reads `count` messages of a topic from its beginning. */
async function readAll(topic, count, options = {}) {
  const consumer = newConsumer(options)
  await consumer.connect()
  try {
    await consumer.subscribe({ topics: [topic], fromBeginning: true })
    return await take(consumer, count)
  } finally {
    await consumer.disconnect()
  }
}

const values = got => got.map(m => m.message.value && m.message.value.toString())

/** Polls until check() gives something true. */
async function until(what, check, ms = 20000) {
  for (const end = Date.now() + ms; Date.now() < end; ) {
    const result = await check()
    if (result) return result
    await sleep(25)
  }
  throw new Error(`${what}: not within ${ms} ms`)
}

const sleep = ms => new Promise(resolve => setTimeout(resolve, ms))

/** Resolves to the error of a promise that must reject with this Kafka error type. */
async function rejectsWith(type, promise) {
  let result
  try {
    result = await promise
  } catch (error) {
    const all = [error, error.cause, ...(error.errors || [])].filter(Boolean)
    if (all.some(e => e.type === type)) return error
    throw new Error(`expected ${type}, got ${all.map(e => e.type || e.message)}`)
  }
  throw new Error(`expected ${type}, got success: ${JSON.stringify(result)}`)
}

module.exports = {
  full, newKafka, fresh, withAdmin, newTopic, leaders, withProducer, send, numbered, quickGroup,
  newConsumer, take, readAll, values, until, sleep, rejectsWith,
}
