// The session of golden_test.go, with KafkaJS.
'use strict'
const { Kafka, logLevel } = require('kafkajs')

async function main() {
  const kafka = new Kafka({ brokers: [process.env.BOOTSTRAP], logLevel: logLevel.ERROR })
  const admin = kafka.admin()
  await admin.connect()
  await admin.createTopics({ topics: [{ topic: 'golden', numPartitions: 2 }] })
  await admin.disconnect()
  const producer = kafka.producer({ idempotent: true })
  await producer.connect()
  await producer.send({ topic: 'golden', messages: ['a', 'b', 'c'].map((value) => ({ value })) })
  await producer.disconnect()
  const consumer = kafka.consumer({ groupId: 'readers', maxWaitTimeInMs: 300 })
  await consumer.connect()
  await consumer.subscribe({ topic: 'golden', fromBeginning: true })
  let left = 3
  await new Promise((resolve, reject) => {
    const eachMessage = async ({ topic, partition, message }) => {
      await consumer.commitOffsets([{ topic, partition, offset: String(Number(message.offset) + 1) }])
      if (--left === 0) resolve()
    }
    consumer.run({ autoCommit: false, eachMessage }).catch(reject)
  })
  await consumer.disconnect()
}

main().catch((err) => {
  console.error(err)
  process.exit(1)
})
