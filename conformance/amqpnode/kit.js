'use strict'
// What the cases share: connections that are closed at the end, fresh names.

const amqp = require('amqplib')
const callbackApi = require('amqplib/callback_api')
const { randomBytes } = require('node:crypto')
const assert = require('node:assert/strict')
const { test, run, within } = require('../kafkajs/runner')

const url = process.env.AMQP_URL

/** A name that no other case uses. */
const fresh = prefix => `${prefix}-${randomBytes(5).toString('hex')}`

const sleep = ms => new Promise(resolve => setTimeout(resolve, ms))

/** Polls until check() gives something true, and resolves to it. */
async function until(what, check, ms = 20000) {
  for (const end = Date.now() + ms; Date.now() < end; ) {
    const result = await check()
    if (result) return result
    await sleep(20)
  }
  throw new Error(`${what}: not within ${ms} ms`)
}

/** Runs fn with a connection, whose errors count as those of fn only if it waits for them. */
async function withConnection(fn, options) {
  const connection = await amqp.connect(url, options)
  connection.on('error', () => {})
  try {
    return await fn(connection)
  } finally {
    await connection.close().catch(() => {})
  }
}

/** Runs fn with a channel of a connection of its own. */
const withChannel = fn =>
  withConnection(async connection => {
    const channel = await connection.createChannel()
    channel.on('error', () => {})
    return fn(channel, connection)
  })

const withConfirmChannel = fn =>
  withConnection(async connection => {
    const channel = await connection.createConfirmChannel()
    channel.on('error', () => {})
    return fn(channel, connection)
  })

/** Declares an exclusive queue, with what options say. */
async function newQueue(channel, options = {}) {
  const { queue } = await channel.assertQueue(fresh('js'), { exclusive: true, durable: false, ...options })
  return queue
}

/** A consumer that keeps what it gets. */
async function take(channel, queue, options) {
  const got = []
  const { consumerTag } = await channel.consume(queue, message => got.push(message), options)
  return {
    got,
    consumerTag,
    bodies: () => got.map(m => m && m.content.toString()),
    /** Waits for that many messages, and then whether more come. */
    async count(n, settle = 0) {
      await until(`${n} messages`, () => got.length >= n)
      await sleep(settle)
      assert.equal(got.length, n)
      return got
    },
  }
}

/** The next message of a queue, which may take a moment. */
const awaited = (channel, queue) => until('a message', () => channel.get(queue, { noAck: true }))

/** A promise must reject with this reply code. */
async function refused(code, promise) {
  try {
    await promise
  } catch (error) {
    assert.equal(error.code, code, String(error))
    return
  }
  assert.fail(`expected ${code}, got success`)
}

/** The channel must be closed with this reply code by what fn does without an answer. */
async function closes(code, channel, fn) {
  const closed = new Promise(resolve => channel.once('error', resolve))
  await fn()
  const error = await within(10000, 'the end of the channel', closed)
  assert.equal(error.code, code, String(error))
}

module.exports = {
  amqp, callbackApi, url, fresh, sleep, until, withConnection, withChannel, withConfirmChannel, newQueue, take, awaited,
  refused, closes, test, run, within, assert,
}
