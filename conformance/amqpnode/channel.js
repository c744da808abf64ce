'use strict'
// Publishing, getting, consuming, settling, with promises.

const {
  fresh, sleep, until, withConnection, withChannel, withConfirmChannel, newQueue, take, awaited, closes, test, within, assert,
} = require('./kit')

test('channel/queues: asserted, checked, purged, deleted', () =>
  withConfirmChannel(async channel => {
    const queue = fresh('js')
    const options = { durable: true, arguments: { 'x-max-length': 10 }, messageTtl: 60000, expires: 60000, deadLetterExchange: 'amq.topic' }
    assert.deepEqual(await channel.assertQueue(queue, options), { queue, messageCount: 0, consumerCount: 0 })
    channel.sendToQueue(queue, Buffer.from('a'), { persistent: true })
    channel.sendToQueue(queue, Buffer.from('b'), { persistent: true })
    await channel.waitForConfirms()
    assert.deepEqual(await channel.checkQueue(queue), { queue, messageCount: 2, consumerCount: 0 })
    assert.deepEqual(await channel.purgeQueue(queue), { messageCount: 2 })
    channel.sendToQueue(queue, Buffer.from('c'))
    await channel.waitForConfirms()
    assert.deepEqual(await channel.deleteQueue(queue), { messageCount: 1 })
    const { queue: named } = await channel.assertQueue('', { exclusive: true })
    assert.match(named, /^amq\.gen-/)
  })
)

test('channel/exchanges: every type, bindings, bindings to exchanges', () =>
  withChannel(async channel => {
    const queue = await newQueue(channel)
    const [source, target] = [fresh('js'), fresh('js')]
    await channel.assertExchange(source, 'topic', { autoDelete: true, durable: false })
    await channel.assertExchange(target, 'headers', { autoDelete: true, durable: false })
    await channel.bindQueue(queue, target, '', { 'x-match': 'any', colour: 'blue', size: 5 })
    await channel.bindExchange(target, source, 'a.#')
    channel.publish(source, 'a.b', Buffer.from('1'), { headers: { colour: 'blue' } })
    channel.publish(source, 'a', Buffer.from('2'), { headers: { size: 5 } })
    channel.publish(source, 'a.b', Buffer.from('3'), { headers: { colour: 'red' } })
    channel.publish(source, 'b', Buffer.from('4'), { headers: { colour: 'blue' } })
    await channel.unbindExchange(target, source, 'a.#')
    const taken = await take(channel, queue, { noAck: true })
    await taken.count(2, 50)
    assert.deepEqual(taken.bodies(), ['1', '2'])
    await channel.unbindQueue(queue, target, '', { 'x-match': 'any', colour: 'blue', size: 5 })
    await assert.rejects(channel.checkExchange(target))
  })
)

test('channel/get: in order, acknowledged, given back, dropped', () =>
  withChannel(async channel => {
    const queue = await newQueue(channel)
    for (const body of ['a', 'b', 'c', 'd']) channel.sendToQueue(queue, Buffer.from(body))
    const messages = []
    for (let i = 0; i < 4; i++) messages.push(await channel.get(queue))
    assert.deepEqual(messages.map(m => m.content.toString()), ['a', 'b', 'c', 'd'])
    assert.equal(messages[0].fields.messageCount, 3)
    assert.equal(await channel.get(queue), false)
    channel.ack(messages[0])
    channel.nack(messages[2], true, true) // b and c
    channel.reject(messages[3], false)
    const again = [await awaited(channel, queue), await awaited(channel, queue)]
    assert.deepEqual(again.map(m => [m.content.toString(), m.fields.redelivered]), [['b', true], ['c', true]])
    assert.equal(await channel.get(queue), false)
  })
)

test('channel/ackAll and nackAll', () =>
  withChannel(async channel => {
    const queue = await newQueue(channel)
    for (let i = 0; i < 6; i++) channel.sendToQueue(queue, Buffer.from(String(i)))
    for (let i = 0; i < 3; i++) await channel.get(queue)
    channel.ackAll()
    for (let i = 0; i < 3; i++) await channel.get(queue)
    channel.nackAll(true)
    await until('they are back', async () => (await channel.checkQueue(queue)).messageCount === 3)
  })
)

test('channel/settling twice', () =>
  withChannel(async channel => {
    const queue = await newQueue(channel)
    channel.sendToQueue(queue, Buffer.from('x'))
    const message = await channel.get(queue)
    channel.ack(message)
    await closes(406, channel, () => channel.ack(message))
  })
)

test('channel/prefetch of each consumer, and of the channel', () =>
  withChannel(async (channel, connection) => {
    for (const global of [false, true]) {
      const each = await connection.createChannel()
      const queue = await newQueue(channel)
      for (let i = 0; i < 20; i++) channel.sendToQueue(queue, Buffer.from(String(i)))
      await each.prefetch(3, global)
      const [first, second] = [await take(each, queue), await take(each, queue)]
      const want = global ? 3 : 6
      await until(`${want} messages`, () => first.got.length + second.got.length === want)
      await sleep(80)
      assert.equal(first.got.length + second.got.length, want)
      each.ack(first.got[0])
      await until('one more', () => first.got.length + second.got.length === want + 1)
      await each.close()
    }
  })
)

test('channel/cancelled by the client, cancelled by the broker', () =>
  withChannel(async (channel, connection) => {
    const other = await connection.createChannel()
    const { queue } = await other.assertQueue(fresh('js'), { durable: true, expires: 60000 })
    const taken = await take(channel, queue)
    await channel.cancel(taken.consumerTag)
    other.sendToQueue(queue, Buffer.from('for nobody'))
    await sleep(50)
    assert.equal(taken.got.length, 0)
    const next = await take(channel, queue, { noAck: true })
    await next.count(1)
    await other.deleteQueue(queue)
    await next.count(2)
    assert.equal(next.got[1], null) // so amqplib says that it is cancelled
  })
)

test('channel/priorities of messages and of consumers, exclusive consumers', () =>
  withChannel(async (channel, connection) => {
    const queue = await newQueue(channel, { maxPriority: 5 })
    for (const priority of [0, 5, 3]) channel.sendToQueue(queue, Buffer.from(String(priority)), { priority })
    const got = [await awaited(channel, queue), await awaited(channel, queue), await awaited(channel, queue)]
    assert.deepEqual(got.map(m => m.content.toString()), ['5', '3', '0'])
    const [low, high] = [await take(channel, queue, { noAck: true }), await take(channel, queue, { noAck: true, priority: 5 })]
    for (let i = 0; i < 5; i++) channel.sendToQueue(queue, Buffer.from('x'))
    await high.count(5, 50)
    assert.equal(low.got.length, 0)
    const other = await connection.createChannel()
    await closes(403, other, () => other.consume(queue, () => {}, { exclusive: true }).catch(() => {}))
  })
)

test('channel/recover', () =>
  withChannel(async channel => {
    const queue = await newQueue(channel)
    channel.sendToQueue(queue, Buffer.from('x'))
    const taken = await take(channel, queue)
    await taken.count(1)
    await channel.recover()
    await taken.count(2)
    assert.equal(taken.got[1].fields.redelivered, true)
  })
)

test('channel/every option of a message', () =>
  withChannel(async channel => {
    const queue = await newQueue(channel)
    const headers = {
      int: 1, big: 2 ** 40, negative: -5, float: 1.5, text: 'ü', yes: true, nothing: null, list: [1, 'two', [3]], table: { a: { b: 1 } },
      bytes: Buffer.from([0, 255]), time: { '!': 'timestamp', value: 1700000000 }, byte: { '!': 'byte', value: -7 }, short: { '!': 'short', value: 300 },
      decimal: { '!': 'decimal', value: { digits: 1234, places: 2 } }, single: { '!': 'float', value: 0.5 },
    }
    channel.sendToQueue(queue, Buffer.from('x'), {
      contentType: 'text/plain', contentEncoding: 'utf-8', headers, deliveryMode: 2, priority: 4, correlationId: 'c', replyTo: 'r',
      expiration: '30000', messageId: 'm', timestamp: 1700000000, type: 't', userId: 'guest', appId: 'a',
    })
    const { properties: p } = await awaited(channel, queue)
    assert.deepEqual(
      [p.contentType, p.contentEncoding, p.deliveryMode, p.priority, p.correlationId, p.replyTo, p.expiration, p.messageId, p.timestamp, p.type, p.userId, p.appId],
      ['text/plain', 'utf-8', 2, 4, 'c', 'r', '30000', 'm', 1700000000, 't', 'guest', 'a']
    )
    for (const [name, value] of Object.entries(headers)) {
      const got = p.headers[name]
      const want = value && value['!'] && value['!'] !== 'timestamp' && value['!'] !== 'decimal' ? value.value : value
      assert.deepEqual(got, want, name)
    }
  })
)

test('channel/large messages, and many', () =>
  withConfirmChannel(async channel => {
    const queue = await newQueue(channel)
    const large = Buffer.alloc(3 << 20, 'abcdefg')
    channel.sendToQueue(queue, large)
    channel.sendToQueue(queue, Buffer.alloc(0))
    await channel.waitForConfirms()
    assert.ok((await awaited(channel, queue)).content.equals(large))
    assert.equal((await awaited(channel, queue)).content.length, 0)
    for (let i = 0; i < 2000; i++) {
      if (!channel.sendToQueue(queue, Buffer.from(String(i)))) await new Promise(resolve => channel.once('drain', resolve))
    }
    await channel.waitForConfirms()
    const taken = await take(channel, queue, { noAck: true })
    await taken.count(2000)
    assert.deepEqual(taken.bodies(), Array.from({ length: 2000 }, (_, i) => String(i)))
  })
)

test('confirm/each is told: confirmed, returned, refused', () =>
  withConfirmChannel(async channel => {
    const queue = await newQueue(channel, { arguments: { 'x-max-length': 1, 'x-overflow': 'reject-publish' } })
    const send = (to, options) =>
      new Promise((resolve, reject) => channel.sendToQueue(to, Buffer.from('x'), options, error => (error ? reject(error) : resolve())))
    await send(queue)
    await assert.rejects(send(queue))
    const returned = new Promise(resolve => channel.once('return', resolve))
    await send(fresh('nowhere'), { mandatory: true, messageId: 'm' })
    const message = await returned
    assert.deepEqual([message.fields.replyCode, message.properties.messageId], [312, 'm'])
  })
)

test('confirm/in order across ten channels', () =>
  withConnection(async connection => {
    await Promise.all(
      Array.from({ length: 10 }, async () => {
        const channel = await connection.createConfirmChannel()
        const queue = await newQueue(channel)
        const confirmed = []
        for (let i = 0; i < 200; i++) channel.sendToQueue(queue, Buffer.from(String(i)), { persistent: true }, () => confirmed.push(i))
        await channel.waitForConfirms()
        assert.deepEqual(confirmed, Array.from({ length: 200 }, (_, i) => i))
        assert.equal((await channel.checkQueue(queue)).messageCount, 200)
      })
    )
  })
)

test('rpc/direct reply-to', () =>
  withChannel(async (client, connection) => {
    const server = await connection.createChannel()
    const queue = await newQueue(server)
    await server.consume(queue, message => {
      server.sendToQueue(message.properties.replyTo, Buffer.from(message.content.toString() + '!'), { correlationId: message.properties.correlationId })
      server.ack(message)
    })
    const answers = await take(client, 'amq.rabbitmq.reply-to', { noAck: true })
    for (let i = 0; i < 50; i++) client.sendToQueue(queue, Buffer.from(String(i)), { replyTo: 'amq.rabbitmq.reply-to', correlationId: String(i) })
    await answers.count(50)
    assert.deepEqual(answers.got.map(m => [m.properties.correlationId, m.content.toString()]), Array.from({ length: 50 }, (_, i) => [String(i), `${i}!`]))
    const deaf = await connection.createChannel()
    await closes(406, deaf, () => deaf.sendToQueue(queue, Buffer.from('x'), { replyTo: 'amq.rabbitmq.reply-to' }))
  })
)

test('dead letters/rejected and expired', () =>
  withChannel(async channel => {
    const exchange = fresh('js')
    await channel.assertExchange(exchange, 'fanout', { autoDelete: true, durable: false })
    const dead = await newQueue(channel)
    await channel.bindQueue(dead, exchange, '')
    const queue = await newQueue(channel, { deadLetterExchange: exchange, deadLetterRoutingKey: 'dead' })
    channel.sendToQueue(queue, Buffer.from('expired'), { expiration: 40 })
    const message = await within(5000, 'the dead letter', awaited(channel, dead))
    const [death] = message.properties.headers['x-death']
    assert.deepEqual([message.fields.routingKey, death.reason, death.queue, death.count], ['dead', 'expired', queue, 1])
    channel.sendToQueue(queue, Buffer.from('rejected'))
    channel.nack(await channel.get(queue), false, false)
    assert.equal((await awaited(channel, dead)).properties.headers['x-first-death-reason'], 'rejected')
  })
)

test('streams/read from the first offset', () =>
  withChannel(async channel => {
    const { queue } = await channel.assertQueue(fresh('js'), { durable: true, arguments: { 'x-queue-type': 'stream' } })
    for (let i = 0; i < 5; i++) channel.sendToQueue(queue, Buffer.from(String(i)))
    await channel.prefetch(10)
    const taken = await take(channel, queue, { arguments: { 'x-stream-offset': 'first' } })
    await taken.count(5)
    assert.deepEqual(taken.got.map(m => m.properties.headers['x-stream-offset']), [0, 1, 2, 3, 4])
    await channel.deleteQueue(queue)
  })
)
