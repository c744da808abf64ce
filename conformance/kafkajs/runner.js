'use strict'
// Runs cases a few at a time and prints the lines that the Go harness reads.

const cases = []

/** Adds a case. fn gets nothing and fails by rejecting; timeout is in ms. */
function test(name, fn, timeout = 45000) {
  cases.push({ name, fn, timeout })
}

/** Rejects after ms with what, unless promise settles first. */
function within(ms, what, promise) {
  let timer
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: not within ${ms} ms`)), ms)
  })
  return Promise.race([promise, late]).finally(() => clearTimeout(timer))
}

const oneLine = error => String((error && error.message) || error).replace(/\s+/g, ' ').slice(0, 600)

async function runOne({ name, fn, timeout }) {
  const start = Date.now()
  try {
    await within(timeout, 'the case', fn())
    console.log(`ok ${name} ${Date.now() - start}`)
  } catch (error) {
    console.error(name, error && error.stack)
    console.log(`not ok ${name}: ${oneLine(error)}`)
  }
}

/** Runs all cases that WAXWING_CASES selects, `width` at a time. */
async function run(width) {
  const wanted = new RegExp(process.env.WAXWING_CASES || '')
  const todo = cases.filter(c => wanted.test(c.name))
  console.log(`plan ${todo.length}`)
  const worker = async () => {
    for (let next = todo.shift(); next; next = todo.shift()) await runOne(next)
  }
  await Promise.all(Array.from({ length: width }, worker))
}

module.exports = { test, run, within }
