'use strict'
// The KafkaJS suite. BOOTSTRAP=HOST:PORT node main.js
process.env.KAFKAJS_NO_PARTITIONER_WARNING = '1'
const { run } = require('./runner')
require('./produce')
require('./consume')
require('./groups')
require('./admin')
require('./errors')

run(6).then(() => process.exit(0))
