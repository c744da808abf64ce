'use strict'
const assert = require('node:assert')
const { ConfigResourceTypes } = require('kafkajs')
const { test } = require('./runner')
const c = require('./client')
const { withConsumer } = require('./consume')

const noRetry = { retry: { retries: 0 } }

test('errors/produce to an unknown topic', () =>
  c.withProducer({ allowAutoTopicCreation: false, ...noRetry }, p =>
    c.rejectsWith('UNKNOWN_TOPIC_OR_PARTITION', p.send({ topic: c.fresh('js-none'), messages: [{ value: 'x' }] }))
  ))

test('errors/produce too large a message', async () => {
  const topic = await c.newTopic()
  await c.withProducer(noRetry, async p => {
    await c.rejectsWith('MESSAGE_TOO_LARGE', p.send({ topic, messages: [{ value: Buffer.alloc(1100000, 'x') }] }))
    const [result] = await p.send({ topic, messages: [{ value: 'the connection still works' }] })
    assert.strictEqual(result.baseOffset, '0')
  })
})

test('errors/produce to an invalid topic name', () =>
  c.withProducer(noRetry, p => c.rejectsWith('INVALID_TOPIC_EXCEPTION', p.send({ topic: 'no spaces/please', messages: [{ value: 'x' }] }))))

test('errors/consume an unknown topic', async () => {
  const kafka = c.newKafka(noRetry)
  const consumer = kafka.consumer({ groupId: c.fresh('js-group'), allowAutoTopicCreation: false, ...noRetry })
  await consumer.connect()
  try {
    await c.rejectsWith('UNKNOWN_TOPIC_OR_PARTITION', consumer.subscribe({ topic: c.fresh('js-none') }))
  } finally {
    await consumer.disconnect()
  }
})

/** withAdmin with a client that does not retry. */
const withHastyAdmin = fn => c.withAdmin(fn, noRetry)

test('errors/metadata of an unknown topic', () =>
  withHastyAdmin(admin => c.rejectsWith('UNKNOWN_TOPIC_OR_PARTITION', admin.fetchTopicMetadata({ topics: [c.fresh('js-none')] }))))

const badTopics = {
  INVALID_TOPIC_EXCEPTION: { topic: 'a b' },
  INVALID_PARTITIONS: { numPartitions: 0 },
  INVALID_REPLICATION_FACTOR: { replicationFactor: 9 },
  INVALID_CONFIG: { configEntries: [{ name: 'no.such.setting', value: '1' }] },
}
for (const [type, change] of Object.entries(badTopics)) {
  test(`errors/createTopics gives ${type}`, () =>
    c.withAdmin(admin => c.rejectsWith(type, admin.createTopics({ topics: [{ topic: c.fresh('js-bad'), ...change }] }))))
}

test('errors/deleteTopics of an unknown topic', () =>
  withHastyAdmin(admin => c.rejectsWith('UNKNOWN_TOPIC_OR_PARTITION', admin.deleteTopics({ topics: [c.fresh('js-none')] }))))

test('errors/alterConfigs with a bad value', async () => {
  const topic = await c.newTopic()
  const resources = [{ type: ConfigResourceTypes.TOPIC, name: topic, configEntries: [{ name: 'retention.ms', value: 'soon' }] }]
  await c.withAdmin(admin => c.rejectsWith('INVALID_CONFIG', admin.alterConfigs({ validateOnly: false, resources })))
})

test('errors/deleteTopicRecords beyond the end', async () => {
  const topic = await c.newTopic()
  await c.send(topic, c.numbered(3))
  await c.withAdmin(async admin => {
    await admin.fetchTopicOffsets(topic) // deleteTopicRecords needs the metadata that this loads
    const deleting = admin.deleteTopicRecords({ topic, partitions: [{ partition: 0, offset: '99' }] })
    const error = await deleting.then(() => assert.fail('it was accepted'), e => e)
    assert.strictEqual(error.cause.partitions[0].error.type, 'OFFSET_OUT_OF_RANGE')
  })
})

test('errors/setOffsets while the group is running', async () => {
  const topic = await c.newTopic()
  const groupId = c.fresh('js-group')
  await c.send(topic, c.numbered(2))
  await withConsumer(topic, { groupId }, async consumer => {
    await c.take(consumer, 2)
    await c.withAdmin(async admin => {
      await assert.rejects(admin.setOffsets({ groupId, topic, partitions: [{ partition: 0, offset: '0' }] }), /must have no running instances/)
    })
  })
})

test('errors/connect where nobody listens', async () => {
  const producer = c.newKafka({ brokers: ['127.0.0.1:1'], retry: { retries: 0 } }).producer()
  await assert.rejects(producer.connect(), /ECONNREFUSED/)
})
