// @privacyresearch/libsignal-protocol-typescript, by its README and types: X3DH
// version 3, no groups. It works on ArrayBuffers, and bodies are binary strings.
import { webcrypto } from 'node:crypto'
import { b64, exact, raw } from './bytes.mjs'

export async function open(lib, store) {
  lib.setWebCrypto(webcrypto)
  const { Curve } = await lib.default()
  const pack = (pair) => ({ pub: b64(pair.pubKey), priv: b64(pair.privKey) })
  const pair = (p) => p && { pubKey: exact(p.pub), privKey: exact(p.priv) }
  const storage = {
    getIdentityKeyPair: async () => pair(store.state.identity),
    getLocalRegistrationId: async () => store.state.registrationId,
    isTrustedIdentity: async (who, key) => store.trusts(who, b64(key)),
    saveIdentity: async (encoded, key) => {
      const who = lib.SignalProtocolAddress.fromString(encoded).getName()
      const changed = !store.trusts(who, b64(key))
      store.state.identities[who] = b64(key)
      return changed
    },
    loadPreKey: async (id) => pair(store.state.prekeys[id]),
    storePreKey: async (id, p) => {
      store.state.prekeys[id] = pack(p)
    },
    removePreKey: async (id) => {
      delete store.state.prekeys[id]
    },
    loadSignedPreKey: async (id) => pair(store.state.signed[id]),
    storeSignedPreKey: async (id, p) => {
      store.state.signed[id] = pack(p)
    },
    removeSignedPreKey: async (id) => {
      delete store.state.signed[id]
    },
    loadSession: async (who) => store.state.sessions[who],
    storeSession: async (who, record) => {
      store.state.sessions[who] = record
    },
  }
  const address = (who) => new lib.SignalProtocolAddress(who, 1)
  const cipher = (who) => new lib.SessionCipher(storage, address(who))

  store.state.identity = pack(await lib.KeyHelper.generateIdentityKeyPair())
  store.state.registrationId = lib.KeyHelper.generateRegistrationId()

  return {
    identity: () => ({ key: store.state.identity.pub, registrationId: store.state.registrationId }),

    async bundle({ oneTime }) {
      const b = { registrationId: store.state.registrationId, identity: store.state.identity.pub }
      b.signedId = store.id()
      const spk = await lib.KeyHelper.generateSignedPreKey(pair(store.state.identity), b.signedId)
      await storage.storeSignedPreKey(b.signedId, spk.keyPair)
      Object.assign(b, { signed: b64(spk.keyPair.pubKey), signedSig: b64(spk.signature) })
      if (oneTime) {
        b.oneTimeId = store.id()
        const opk = await lib.KeyHelper.generatePreKey(b.oneTimeId)
        await storage.storePreKey(b.oneTimeId, opk.keyPair)
        b.oneTime = b64(opk.keyPair.pubKey)
      }
      return b
    },

    async process({ remote, bundle: b }) {
      await new lib.SessionBuilder(storage, address(remote)).processPreKey({
        registrationId: b.registrationId,
        identityKey: exact(b.identity),
        signedPreKey: { keyId: b.signedId, publicKey: exact(b.signed), signature: exact(b.signedSig) },
        preKey: b.oneTime ? { keyId: b.oneTimeId, publicKey: exact(b.oneTime) } : undefined,
      })
    },

    async encrypt({ remote, plaintext }) {
      const m = await cipher(remote).encrypt(exact(plaintext))
      return { preKey: m.type === 3, body: b64(Buffer.from(m.body, 'binary')) }
    },

    async decrypt({ remote, preKey, body }) {
      const c = cipher(remote)
      const m = raw(body).toString('binary')
      return b64(preKey ? await c.decryptPreKeyWhisperMessage(m, 'binary') : await c.decryptWhisperMessage(m, 'binary'))
    },

    sign: ({ message }) => b64(Curve.calculateSignature(exact(store.state.identity.priv), exact(message))),
    // Its verifySignature answers true for a wrong signature, as the self test saw.
    verify: ({ key, message, signature }) => !Curve.verifySignature(exact(key), exact(message), exact(signature)),

    async fingerprint({ localId, remoteId, remoteKey }) {
      const generator = new lib.FingerprintGenerator(5200)
      const id = (text) => raw(text).toString('utf8')
      return { digits: await generator.createFor(id(localId), exact(store.state.identity.pub), id(remoteId), exact(remoteKey)) }
    },

    async state({ remote }) {
      const record = store.state.sessions[address(remote).toString()]
      return {
        open: await cipher(remote).hasOpenSession(),
        recordBytes: record?.length ?? 0,
        remoteRegistrationId: (await cipher(remote).getRemoteRegistrationId()) ?? 0,
        oneTimeIds: Object.keys(store.state.prekeys).map(Number),
        usedKemIds: [],
      }
    },
  }
}
