// A peer: one identity on one npm package, driven by lines of JSON.
//
//   node peer.mjs PACKAGE NAME
//
// WAXWING_PEERS names the folder whose node_modules has the packages. It prints
// {"ready": PACKAGE}, then answers each line {"op": OP, ...} with {"result": ...}
// or {"error": {"name", "message"}}, in order, until its input ends. Bytes are
// base64. All that it keeps is `state`, which snapshot and restore pass as a
// whole; it is plain JSON, so a snapshot shares nothing with what comes after.
import { createInterface } from 'node:readline'
import { createRequire } from 'node:module'
import { pathToFileURL } from 'node:url'

// Packages print what they think; stdout is for answers.
console.log = console.info = console.warn = console.debug = console.error

const adapters = {
  'libsignal-client-0-103': './libsignal.mjs',
  'libsignal-client-0-67': './libsignal.mjs',
  '@privacyresearch/libsignal-protocol-typescript': './privacyresearch.mjs',
  libsignal: './whiskeysockets.mjs',
}

const [name, me] = process.argv.slice(2)
const found = createRequire(`${process.env.WAXWING_PEERS}/package.json`).resolve(name)
let lib = await import(pathToFileURL(found))
// A CommonJS package shows all of its names only in its default export.
if (lib.default && typeof lib.default === 'object') lib = lib.default
const { open } = await import(adapters[name])

const store = {
  state: { me, lastId: 0, prekeys: {}, signed: {}, kems: {}, usedKems: [], sessions: {}, identities: {}, senderKeys: {} },
  id() {
    return ++this.state.lastId
  },
  // trusts says whether key (base64) is the one that remote always had. The
  // first is believed.
  trusts(remote, key) {
    return this.state.identities[remote] === undefined || this.state.identities[remote] === key
  },
}
const ops = await open(lib, store, name)

ops.snapshot = () => structuredClone(store.state)
ops.restore = ({ snapshot }) => {
  store.state = snapshot
}

const answer = (line) => process.stdout.write(`${JSON.stringify(line)}\n`)
answer({ ready: name })
for await (const line of createInterface({ input: process.stdin })) {
  const request = JSON.parse(line)
  try {
    const op = ops[request.op]
    if (!op) throw new Error(`${name} has no ${request.op}`)
    answer({ result: (await op(request)) ?? null })
  } catch (e) {
    answer({ error: { name: e?.name ?? 'Error', message: String(e?.message ?? e) } })
  }
}
