'use strict'
const assert = require('node:assert')
const { spawn } = require('node:child_process')
const { test } = require('./runner')
const c = require('./client')
const { withConsumer } = require('./consume')

/** A member of a group that keeps what it has seen and owns. */
async function member(topic, groupId, options = {}) {
  const consumer = c.newConsumer({ groupId, ...options })
  const m = { consumer, seen: [], owns: undefined, joins: 0 }
  consumer.on(consumer.events.GROUP_JOIN, e => {
    m.owns = e.payload.memberAssignment[topic] || []
    m.joins++
  })
  await consumer.connect()
  await consumer.subscribe({ topic, fromBeginning: true })
  await consumer.run({ eachMessage: async x => void m.seen.push(`${x.partition}:${x.message.offset}`) })
  return m
}

/** Whether the members own all partitions, each once, and about evenly. */
function settled(members, partitions) {
  const owned = members.flatMap(m => m.owns || [])
  const fair = Math.floor(partitions / members.length)
  return owned.length === partitions && new Set(owned).size === partitions && members.every(m => (m.owns || []).length >= fair)
}

test('groups/members join and leave while messages flow', async () => {
  const topic = await c.newTopic(6)
  const groupId = c.fresh('js-group')
  let sent = 0
  let stop = false
  const producing = c.withProducer({ idempotent: true }, async producer => {
    while (!stop) {
      await producer.send({ topic, messages: Array.from({ length: 12 }, (_, i) => ({ partition: i % 6, value: 'x' })) })
      sent += 12
      await c.sleep(20)
    }
  })
  const members = []
  try {
    members.push(await member(topic, groupId))
    await c.until('one has all', () => settled(members, 6))
    members.push(await member(topic, groupId))
    await c.until('two share', () => settled(members, 6))
    members.push(await member(topic, groupId))
    await c.until('three share', () => settled(members, 6))
    const left = members.shift()
    await left.consumer.disconnect()
    await c.until('two share again', () => settled(members, 6))
    members.push(left)
  } finally {
    stop = true
    await producing
  }
  await c.until('everything was seen', () => new Set(members.flatMap(m => m.seen)).size === sent)
  await Promise.all(members.map(m => m.consumer.disconnect()))
  const [o] = await c.withAdmin(a => a.fetchOffsets({ groupId, topics: [topic] }))
  assert.deepStrictEqual(o.partitions.map(p => Number(p.offset)), Array(6).fill(sent / 6))
}, 60000)

test('groups/more members than partitions', async () => {
  const topic = await c.newTopic(1)
  const groupId = c.fresh('js-group')
  const members = [await member(topic, groupId), await member(topic, groupId)]
  await c.until('one owns it', () => members.every(m => m.owns) && members.flatMap(m => m.owns).length === 1)
  await c.send(topic, c.numbered(10))
  await c.until('all seen', () => members.flatMap(m => m.seen).length === 10)
  const owner = members.find(m => m.owns.length === 1)
  const idle = members.find(m => m !== owner)
  await owner.consumer.disconnect()
  await c.until('the other takes over', () => idle.owns.length === 1)
  await c.send(topic, c.numbered(1))
  await c.until('it consumes', () => idle.seen.includes('0:10'))
  await idle.consumer.disconnect()
})

test('groups/a killed member is replaced', async () => {
  const topic = await c.newTopic(2)
  const groupId = c.fresh('js-group')
  await c.send(topic, [{ partition: 0, value: 'a' }, { partition: 1, value: 'b' }])
  const child = spawn(process.execPath, [__filename, topic, groupId], { stdio: ['ignore', 'pipe', 'inherit'] })
  try {
    await new Promise((resolve, reject) => {
      child.stdout.once('data', resolve)
      child.once('exit', code => reject(new Error(`the member exited early with ${code}`)))
    })
  } finally {
    child.removeAllListeners('exit')
    child.kill('SIGKILL')
  }
  await c.send(topic, [{ partition: 0, value: 'c' }, { partition: 1, value: 'd' }])
  const m = await member(topic, groupId)
  await c.until('it owns both and sees the rest', () => settled([m], 2) && m.seen.includes('0:1') && m.seen.includes('1:1'), 30000)
  await m.consumer.disconnect()
}, 60000)

test('groups/a consumer restarts after its handler failed', async () => {
  const topic = await c.newTopic()
  await c.send(topic, c.numbered(10))
  await withConsumer(topic, { retry: { retries: 0, initialRetryTime: 100, restartOnFailure: async () => true } }, async consumer => {
    const seen = []
    const crashes = []
    consumer.on(consumer.events.CRASH, e => crashes.push(e.payload.restart))
    let failed = false
    await consumer.run({
      autoCommitThreshold: 1,
      eachMessage: async ({ message }) => {
        if (message.value.toString() === '5' && !failed) {
          failed = true
          throw new Error('on purpose')
        }
        seen.push(Number(message.value))
      },
    })
    await c.until('all seen', () => new Set(seen).size === 10)
    assert.deepStrictEqual(crashes, [true])
    assert.ok(seen.indexOf(5) < seen.indexOf(6))
  })
})

test('groups/stop and run again goes on where it was', async () => {
  const topic = await c.newTopic()
  const groupId = c.fresh('js-group')
  await c.send(topic, c.numbered(5))
  const consumer = c.newConsumer({ groupId })
  await consumer.connect()
  await consumer.subscribe({ topic, fromBeginning: true })
  await c.take(consumer, 5)
  await consumer.stop()
  await c.send(topic, c.numbered(5, 5))
  const got = await c.take(consumer, 5)
  assert.deepStrictEqual(c.values(got), ['5', '6', '7', '8', '9'])
  await consumer.disconnect()
})

test('groups/two groups see everything', async () => {
  const topic = await c.newTopic(2)
  await c.send(topic, c.numbered(20))
  const [a, b] = await Promise.all([c.readAll(topic, 20), c.readAll(topic, 20)])
  assert.deepStrictEqual(c.values(a).sort(), c.values(b).sort())
})

// Run as a program of its own it is the member that gets killed.
if (require.main === module) {
  member(process.argv[2], process.argv[3], { sessionTimeout: 6000 }).then(async m => {
    await c.until('messages and a commit', () => m.seen.length === 2)
    await c.until('the commit', async () => {
      const [o] = await c.withAdmin(a => a.fetchOffsets({ groupId: process.argv[3], topics: [process.argv[2]] }))
      return o.partitions.every(p => p.offset === '1')
    })
    process.stdout.write('ready\n')
  })
}
