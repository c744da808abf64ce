'use strict'
// The suite of amqplib. AMQP_URL=amqp://… node main.js
const { run } = require('./kit')
require('./connect')
require('./channel')
require('./callback')

run(6).then(() => process.exit(0))
