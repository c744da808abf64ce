'use strict'
const assert = require('node:assert')
const { ConfigResourceTypes } = require('kafkajs')
const { test } = require('./runner')
const c = require('./client')
const { withConsumer } = require('./consume')

test('admin/create, list and delete topics', () =>
  c.withAdmin(async admin => {
    const [a, b] = [c.fresh('js-t'), c.fresh('js-t')]
    assert.strictEqual(await admin.createTopics({ waitForLeaders: false, topics: [{ topic: a, numPartitions: 3 }, { topic: b }] }), true)
    assert.strictEqual(await admin.createTopics({ waitForLeaders: false, topics: [{ topic: a }] }), false) // is there already
    await c.until('both are listed', async () => {
      const topics = await admin.listTopics()
      return topics.includes(a) && topics.includes(b)
    })
    await admin.deleteTopics({ topics: [a, b] })
    await c.until('they are gone', async () => {
      const topics = await admin.listTopics()
      return !topics.includes(a) && !topics.includes(b)
    })
  }))

test('admin/createTopics validates only', () =>
  c.withAdmin(async admin => {
    const topic = c.fresh('js-t')
    assert.strictEqual(await admin.createTopics({ validateOnly: true, waitForLeaders: false, topics: [{ topic }] }), true)
    assert.ok(!(await admin.listTopics()).includes(topic))
  }))

test('admin/createPartitions', async () => {
  const topic = await c.newTopic(1)
  await c.withAdmin(async admin => {
    await admin.createPartitions({ topicPartitions: [{ topic, count: 4 }] })
    await c.until('4 partitions', async () => (await admin.fetchTopicMetadata({ topics: [topic] })).topics[0].partitions.length === 4)
    await c.rejectsWith('INVALID_PARTITIONS', admin.createPartitions({ topicPartitions: [{ topic, count: 2 }] }))
  })
  await c.send(topic, [{ partition: 3, value: 'x' }])
  assert.strictEqual((await c.readAll(topic, 1))[0].partition, 3)
})

test('admin/fetchTopicMetadata', async () => {
  const topic = await c.newTopic(2)
  const { topics } = await c.withAdmin(a => a.fetchTopicMetadata({ topics: [topic] }))
  assert.strictEqual(topics[0].name, topic)
  for (const p of topics[0].partitions) {
    assert.strictEqual(p.partitionErrorCode, 0)
    assert.deepStrictEqual(p.replicas, [p.leader])
    assert.deepStrictEqual(p.isr, [p.leader])
  }
  const all = await c.withAdmin(a => a.fetchTopicMetadata())
  assert.ok(all.topics.some(t => t.name === topic))
})

test('admin/fetchTopicOffsets', async () => {
  const topic = await c.newTopic(2)
  await c.send(topic, Array.from({ length: 7 }, () => ({ partition: 1, value: 'x' })))
  const offsets = await c.withAdmin(a => a.fetchTopicOffsets(topic))
  assert.deepStrictEqual(offsets.sort((x, y) => x.partition - y.partition), [
    { partition: 0, offset: '0', high: '0', low: '0' },
    { partition: 1, offset: '7', high: '7', low: '0' },
  ])
})

test('admin/fetchTopicOffsetsByTimestamp', async () => {
  const topic = await c.newTopic()
  const base = Date.now() - 100000
  for (let i = 0; i < 5; i++) await c.send(topic, [{ value: String(i), timestamp: String(base + i * 1000) }])
  await c.withAdmin(async admin => {
    const at = async t => (await admin.fetchTopicOffsetsByTimestamp(topic, t))[0].offset
    assert.strictEqual(await at(base), '0')
    assert.strictEqual(await at(base + 1), '1')
    assert.strictEqual(await at(base + 3000), '3')
    assert.strictEqual(await at(base + 999999), '5') // none that late: the end
  })
})

/** Sends `count`, consumes and commits them all, and returns the group. */
async function consumedGroup(topic, count) {
  const groupId = c.fresh('js-group')
  await c.send(topic, c.numbered(count))
  await withConsumer(topic, { groupId }, consumer => c.take(consumer, count))
  return groupId
}

test('admin/fetchOffsets, setOffsets and resetOffsets to the end', async () => {
  const topic = await c.newTopic()
  const groupId = await consumedGroup(topic, 10)
  await c.withAdmin(async admin => {
    const offset = async () => (await admin.fetchOffsets({ groupId, topics: [topic] }))[0].partitions[0].offset
    assert.strictEqual(await offset(), '10')
    await admin.setOffsets({ groupId, topic, partitions: [{ partition: 0, offset: '4' }] })
    assert.strictEqual(await offset(), '4')
    const everything = await admin.fetchOffsets({ groupId })
    assert.deepStrictEqual(everything.map(t => t.topic), [topic])
    await admin.resetOffsets({ groupId, topic })
    assert.ok(['10', '-1'].includes(await offset()))
    const unknown = await admin.fetchOffsets({ groupId: c.fresh('nobody'), topics: [topic] })
    assert.strictEqual(unknown[0].partitions[0].offset, '-1')
  })
})

test('admin/setOffsets and resetOffsets to the beginning decide where a group goes on', async () => {
  const topic = await c.newTopic()
  const groupId = await consumedGroup(topic, 10)
  await c.withAdmin(a => a.resetOffsets({ groupId, topic, earliest: true }))
  await withConsumer(topic, { groupId }, consumer => c.take(consumer, 10))
  await c.withAdmin(a => a.setOffsets({ groupId, topic, partitions: [{ partition: 0, offset: '8' }] }))
  await withConsumer(topic, { groupId }, async consumer => {
    assert.deepStrictEqual(c.values(await c.take(consumer, 2)), ['8', '9'])
  })
})

test('admin/listGroups, describeGroups and deleteGroups', async () => {
  const topic = await c.newTopic(2)
  const groupId = c.fresh('js-group')
  await c.send(topic, c.numbered(4))
  await c.withAdmin(async admin => {
    await withConsumer(topic, { groupId }, async consumer => {
      await c.take(consumer, 4)
      const { groups } = await admin.listGroups()
      assert.deepStrictEqual(groups.find(g => g.groupId === groupId), { groupId, protocolType: 'consumer' })
      const [group] = (await admin.describeGroups([groupId])).groups
      assert.strictEqual(group.state, 'Stable')
      assert.strictEqual(group.protocolType, 'consumer')
      assert.strictEqual(group.protocol, 'RoundRobinAssigner')
      assert.strictEqual(group.members.length, 1)
      assert.strictEqual(group.members[0].clientId, 'conformance')
      assert.ok(group.members[0].clientHost)
      assert.ok(group.members[0].memberAssignment.length > 0)
      assert.ok(group.members[0].memberMetadata.length > 0)
      await c.rejectsWith('NON_EMPTY_GROUP', deleteGroup(admin, groupId))
    })
    assert.strictEqual((await admin.describeGroups([groupId])).groups[0].state, 'Empty')
    assert.deepStrictEqual(await admin.deleteGroups([groupId]), [{ groupId, errorCode: 0 }])
    assert.ok(!(await admin.listGroups()).groups.some(g => g.groupId === groupId))
    await c.rejectsWith('GROUP_ID_NOT_FOUND', deleteGroup(admin, groupId))
  })
})

/** deleteGroups whose error is that of the one group. */
async function deleteGroup(admin, groupId) {
  try {
    return await admin.deleteGroups([groupId])
  } catch (error) {
    throw error.groups ? error.groups[0].error : error
  }
}

test('admin/describeConfigs and alterConfigs', async () => {
  const topic = await c.newTopic(1, [{ name: 'retention.ms', value: '123456' }])
  await c.withAdmin(async admin => {
    const describe = async configNames => {
      const { resources } = await admin.describeConfigs({
        includeSynonyms: true,
        resources: [{ type: ConfigResourceTypes.TOPIC, name: topic, configNames }],
      })
      assert.strictEqual(resources[0].errorCode, 0)
      return new Map(resources[0].configEntries.map(e => [e.configName, e]))
    }
    const few = await describe(['retention.ms', 'cleanup.policy'])
    assert.strictEqual(few.size, 2)
    assert.strictEqual(few.get('retention.ms').configValue, '123456')
    assert.strictEqual(few.get('retention.ms').isDefault, false)
    assert.strictEqual(few.get('cleanup.policy').configValue, 'delete')
    const all = await describe()
    for (const name of ['max.message.bytes', 'segment.bytes', 'retention.bytes', 'message.timestamp.type']) assert.ok(all.has(name), name)
    const configEntries = [{ name: 'max.message.bytes', value: '5000' }]
    await admin.alterConfigs({ validateOnly: false, resources: [{ type: ConfigResourceTypes.TOPIC, name: topic, configEntries }] })
    await c.until('the new value', async () => (await describe()).get('max.message.bytes').configValue === '5000')
    assert.strictEqual((await describe()).get('retention.ms').configValue, '604800000') // AlterConfigs replaces all
  })
  await c.rejectsWith('MESSAGE_TOO_LARGE', c.send(topic, [{ value: Buffer.alloc(6000) }]))
})

test('admin/describeConfigs of the broker', () =>
  c.withAdmin(async admin => {
    const { brokers } = await admin.describeCluster()
    const name = String(brokers[0].nodeId)
    const { resources } = await admin.describeConfigs({ includeSynonyms: false, resources: [{ type: ConfigResourceTypes.BROKER, name }] })
    assert.strictEqual(resources[0].errorCode, 0)
    assert.ok(resources[0].configEntries.some(e => e.configName === 'num.partitions' && e.configValue === '1'))
  }))

test('admin/deleteTopicRecords', async () => {
  const topic = await c.newTopic()
  await c.send(topic, c.numbered(10))
  await c.withAdmin(async admin => {
    await admin.fetchTopicOffsets(topic) // deleteTopicRecords needs the metadata that this loads
    await admin.deleteTopicRecords({ topic, partitions: [{ partition: 0, offset: '6' }] })
    assert.strictEqual((await admin.fetchTopicOffsets(topic))[0].low, '6')
  })
  assert.deepStrictEqual(c.values(await c.readAll(topic, 4)), ['6', '7', '8', '9'])
  await c.withAdmin(async admin => {
    await admin.fetchTopicOffsets(topic)
    await admin.deleteTopicRecords({ topic, partitions: [{ partition: 0, offset: '-1' }] })
    assert.strictEqual((await admin.fetchTopicOffsets(topic))[0].low, '10')
  })
})

test('admin/describeCluster', () =>
  c.withAdmin(async admin => {
    const cluster = await admin.describeCluster()
    assert.strictEqual(cluster.brokers.length, 1)
    assert.strictEqual(`${cluster.brokers[0].host}:${cluster.brokers[0].port}`, process.env.BOOTSTRAP)
    assert.ok(cluster.brokers.some(b => b.nodeId === cluster.controller))
    assert.ok(cluster.clusterId.length > 0)
  }))

test('admin/a topic made again is empty', async () => {
  const topic = await c.newTopic()
  await c.send(topic, c.numbered(5))
  await c.withAdmin(async admin => {
    await admin.deleteTopics({ topics: [topic] })
    await c.until('it is gone', async () => !(await admin.listTopics()).includes(topic))
    await c.until('it can be made again', () => admin.createTopics({ topics: [{ topic }], waitForLeaders: false }))
    await c.leaders(admin, topic)
    assert.strictEqual((await admin.fetchTopicOffsets(topic))[0].high, '0')
  })
  await c.send(topic, [{ value: 'anew' }])
  assert.deepStrictEqual(c.values(await c.readAll(topic, 1)), ['anew'])
})
