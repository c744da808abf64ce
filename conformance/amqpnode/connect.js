'use strict'
// Connecting, channels, and what goes wrong with them.

const { amqp, url, fresh, sleep, withConnection, withChannel, newQueue, refused, closes, test, within, assert } = require('./kit')

test('connect/what the broker says it is', () =>
  withConnection(async connection => {
    const { capabilities, product } = connection.connection.serverProperties
    assert.ok(capabilities.publisher_confirms && capabilities['basic.nack'] && capabilities.consumer_cancel_notify)
    if (process.env.PRODUCT) assert.equal(product, process.env.PRODUCT)
  })
)

test('connect/wrong credentials, wrong vhost', async () => {
  const wrong = new URL(url)
  wrong.password = 'wrong'
  await assert.rejects(amqp.connect(wrong.href), /ACCESS_REFUSED|403/)
  await assert.rejects(amqp.connect(url + 'nowhere'), /ConnectionClose/)
  await withConnection(async () => {}, { credentials: amqp.credentials.amqplain('guest', 'guest') })
})

test('connect/tuning', async () => {
  const connection = await amqp.connect(url + '?frameMax=4096&channelMax=3&heartbeat=30')
  assert.deepEqual([connection.connection.frameMax, connection.connection.channelMax, connection.connection.heartbeat], [4096, 3, 30])
  for (let i = 0; i < 3; i++) await connection.createChannel()
  await assert.rejects(async () => connection.createChannel(), /No channels left/)
  await connection.close()
})

test('connect/heartbeats keep a silent connection', async () => {
  const connection = await amqp.connect(url + '?heartbeat=1')
  await sleep(3500)
  await connection.createChannel()
  await connection.close()
})

test('connect/channels, many at once, and numbers used again', () =>
  withConnection(async connection => {
    for (let round = 0; round < 3; round++) {
      const channels = await Promise.all(Array.from({ length: 100 }, () => connection.createChannel()))
      await Promise.all(channels.map(channel => channel.close()))
    }
  })
)

test('connect/an error closes its channel and no other', () =>
  withChannel(async (channel, connection) => {
    const good = await connection.createChannel()
    await closes(404, channel, () => channel.checkQueue(fresh('none')).catch(() => {}))
    await newQueue(good)
    assert.throws(() => channel.sendToQueue('any', Buffer.from('x')), /closed/i)
  })
)

test('connect/an error of the connection ends it', async () => {
  const connection = await amqp.connect(url)
  const failed = new Promise(resolve => connection.once('error', resolve))
  const channel = await connection.createChannel()
  channel.on('error', () => {})
  await channel.consume(await newQueue(channel), () => {}, { consumerTag: 'twice' })
  channel.consume((await channel.assertQueue('', { exclusive: true })).queue, () => {}, { consumerTag: 'twice' }).catch(() => {})
  assert.equal((await within(10000, 'the error', failed)).code, 530)
})

test('connect/a new secret', () => withConnection(connection => connection.updateSecret(Buffer.from('guest'), 'rotated')))

test('connect/refusals', () =>
  withConnection(async connection => {
    const on = async fn => {
      const channel = await connection.createChannel()
      channel.on('error', () => {})
      return fn(channel)
    }
    await refused(404, on(channel => channel.checkQueue(fresh('none'))))
    await refused(404, on(channel => channel.checkExchange(fresh('none'))))
    await refused(404, on(channel => channel.bindQueue(fresh('none'), 'amq.direct', '')))
    await refused(403, on(channel => channel.assertQueue('amq.mine')))
    await refused(403, on(channel => channel.assertExchange('amq.mine', 'direct')))
    const queue = fresh('js')
    await on(channel => channel.assertQueue(queue, { durable: false }))
    await refused(406, on(channel => channel.assertQueue(queue, { durable: true })))
    await on(channel => channel.deleteQueue(queue))
    await on(channel => channel.deleteQueue(queue))
  })
)
