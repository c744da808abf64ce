'use strict'
// KafkaJS, as somebody who may read a topic and has no keys.
//
//   node kafka.js TOPIC COUNT    prints records, a line of JSON each; bytes are in base64
process.env.KAFKAJS_NO_PARTITIONER_WARNING = '1'
const { Kafka, logLevel } = require('kafkajs')

const [topic, count] = process.argv.slice(2)
const base64 = bytes => (bytes == null ? '' : Buffer.from(bytes).toString('base64'))

async function main() {
  const kafka = new Kafka({ clientId: 'sealed', brokers: [process.env.BOOTSTRAP], logLevel: logLevel.NOTHING })
  const consumer = kafka.consumer({ groupId: 'stranger', maxWaitTimeInMs: 100 })
  await consumer.connect()
  await consumer.subscribe({ topics: [topic], fromBeginning: true })
  let left = Number(count)
  await new Promise((resolve, reject) => {
    consumer.on(consumer.events.CRASH, ({ payload }) => reject(payload.error))
    consumer.run({
      eachMessage: async ({ message: { key, value, headers } }) => {
        const lists = Object.entries(headers).map(([name, v]) => [name, [v].flat().map(base64)])
        console.log(JSON.stringify({ key: base64(key), body: base64(value), headers: Object.fromEntries(lists) }))
        if (--left === 0) resolve()
      },
    })
  })
  await consumer.disconnect()
}

main().then(
  () => process.exit(0),
  error => {
    console.error(error)
    process.exit(1)
  }
)
