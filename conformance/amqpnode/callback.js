'use strict'
// The same broker through amqplib's callbacks.

const { callbackApi, url, fresh, test } = require('./kit')

/** Runs body(connection, done) and closes the connection once done was called. */
const withCallbacks = body => () =>
  new Promise((resolve, reject) => {
    callbackApi.connect(url, (error, connection) => {
      if (error) return reject(error)
      connection.on('error', reject)
      // Not at once: amqplib answers channel.close after it has told of it.
      const done = why => setImmediate(() => connection.close(() => (why ? reject(why) : resolve())))
      try {
        body(connection, done)
      } catch (why) {
        done(why)
      }
    })
  })

test(
  'callbacks/publish, consume, acknowledge',
  withCallbacks((connection, done) => {
    connection.createChannel((error, channel) => {
      if (error) return done(error)
      channel.assertQueue('', { exclusive: true }, (error, { queue }) => {
        if (error) return done(error)
        channel.prefetch(1)
        const got = []
        channel.consume(queue, message => {
          got.push(message.content.toString())
          channel.ack(message)
          if (got.length === 3) done(got.join() === 'a,b,c' ? null : new Error(got.join()))
        })
        for (const body of ['a', 'b', 'c']) channel.sendToQueue(queue, Buffer.from(body))
      })
    })
  })
)

test(
  'callbacks/confirms',
  withCallbacks((connection, done) => {
    connection.createConfirmChannel((error, channel) => {
      if (error) return done(error)
      channel.assertQueue('', { exclusive: true }, (error, { queue }) => {
        if (error) return done(error)
        let confirmed = 0
        for (let i = 0; i < 100; i++) channel.sendToQueue(queue, Buffer.from('x'), {}, error => (confirmed += error ? 0 : 1))
        channel.waitForConfirms(error => done(error || (confirmed === 100 ? null : new Error(`${confirmed} confirmed`))))
      })
    })
  })
)

test(
  'callbacks/an error',
  withCallbacks((connection, done) => {
    connection.createChannel((error, channel) => {
      if (error) return done(error)
      channel.on('error', () => {})
      channel.checkQueue(fresh('none'), error => done(error.code === 404 ? null : error))
    })
  })
)
