'use strict'
// KafkaJS, for the tests of what both protocols do together.
//
//   node kafka.js create TOPIC PARTITIONS
//   node kafka.js produce TOPIC FIRST COUNT    records whose values are numbers
//   node kafka.js consume TOPIC COUNT          prints them, a line of JSON each
process.env.KAFKAJS_NO_PARTITIONER_WARNING = '1'
const { Kafka, logLevel } = require('kafkajs')

const kafka = new Kafka({ clientId: 'joint', brokers: [process.env.BOOTSTRAP], logLevel: logLevel.NOTHING })
const [command, topic, ...numbers] = process.argv.slice(2)

const commands = {
  async create(numPartitions) {
    const admin = kafka.admin()
    await admin.connect()
    await admin.createTopics({ topics: [{ topic, numPartitions, replicationFactor: 1 }] })
    await admin.disconnect()
  },

  async produce(first, count) {
    const producer = kafka.producer({ idempotent: true })
    await producer.connect()
    for (let n = first; n < first + count; n++) {
      const [{ partition, baseOffset }] = await producer.send({ topic, messages: [message(n)] })
      console.log(JSON.stringify({ n, partition, offset: Number(baseOffset) }))
    }
    await producer.disconnect()
  },

  async consume(count) {
    const consumer = kafka.consumer({ groupId: `joint-${process.pid}`, maxWaitTimeInMs: 100 })
    await consumer.connect()
    await consumer.subscribe({ topics: [topic], fromBeginning: true })
    await new Promise((resolve, reject) => {
      consumer.on(consumer.events.CRASH, ({ payload }) => reject(payload.error))
      consumer.run({
        eachMessage: async ({ partition, message: { key, value, headers, offset, timestamp } }) => {
          console.log(
            JSON.stringify({
              partition, offset: Number(offset), timestamp: Number(timestamp), key: text(key), value: text(value),
              headers: Object.fromEntries(Object.entries(headers).map(([name, v]) => [name, text(v)])),
            })
          )
          if (--count === 0) resolve()
        },
      })
    })
    await consumer.disconnect()
  },
}

const text = bytes => bytes && bytes.toString()

/** The record of a number: every third has no key, and its time is the number of seconds after 2023-11-14. */
const message = n => ({
  key: n % 3 === 2 ? null : `key ${n}`,
  value: String(n),
  timestamp: String(1700000000000 + 1000 * n + 7),
  headers: { trace: `trace ${n}`, raw: Buffer.from([0xff, n % 256]), 'amqp.content-type': 'text/plain', 'amqp.priority': String(n % 5) },
})

commands[command](...numbers.map(Number)).then(
  () => process.exit(0),
  error => {
    console.error(error)
    process.exit(1)
  }
)
