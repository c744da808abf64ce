// libsignal of WhiskeySockets, by its README and types: X3DH version 3, no
// groups. It works on Buffers.
import { b64, raw } from './bytes.mjs'

export function open(lib, store) {
  const { curve, keyhelper } = lib
  const pack = (pair) => ({ pub: b64(pair.pubKey), priv: b64(pair.privKey) })
  const pair = (p) => p && { pubKey: raw(p.pub), privKey: raw(p.priv) }
  const storage = {
    loadSession: async (who) => {
      const text = store.state.sessions[who]
      return text && lib.SessionRecord.deserialize(JSON.parse(text))
    },
    storeSession: async (who, record) => {
      store.state.sessions[who] = JSON.stringify(record.serialize())
    },
    isTrustedIdentity: (who, key) => {
      const known = store.trusts(who, b64(key))
      if (known) store.state.identities[who] = b64(key)
      return known
    },
    loadPreKey: async (id) => pair(store.state.prekeys[id]),
    removePreKey: (id) => {
      delete store.state.prekeys[id]
    },
    loadSignedPreKey: (id) => pair(store.state.signed[id]),
    getOurRegistrationId: () => store.state.registrationId,
    getOurIdentity: () => pair(store.state.identity),
  }
  const address = (who) => new lib.ProtocolAddress(who, 1)
  const cipher = (who) => new lib.SessionCipher(storage, address(who))

  store.state.identity = pack(keyhelper.generateIdentityKeyPair())
  store.state.registrationId = keyhelper.generateRegistrationId()

  return {
    identity: () => ({ key: store.state.identity.pub, registrationId: store.state.registrationId }),

    bundle({ oneTime }) {
      const b = { registrationId: store.state.registrationId, identity: store.state.identity.pub }
      b.signedId = store.id()
      const spk = keyhelper.generateSignedPreKey(pair(store.state.identity), b.signedId)
      store.state.signed[b.signedId] = pack(spk.keyPair)
      Object.assign(b, { signed: b64(spk.keyPair.pubKey), signedSig: b64(spk.signature) })
      if (oneTime) {
        b.oneTimeId = store.id()
        const opk = keyhelper.generatePreKey(b.oneTimeId)
        store.state.prekeys[b.oneTimeId] = pack(opk.keyPair)
        b.oneTime = b64(opk.keyPair.pubKey)
      }
      return b
    },

    async process({ remote, bundle: b }) {
      await new lib.SessionBuilder(storage, address(remote)).initOutgoing({
        registrationId: b.registrationId,
        identityKey: raw(b.identity),
        signedPreKey: { keyId: b.signedId, publicKey: raw(b.signed), signature: raw(b.signedSig) },
        preKey: b.oneTime ? { keyId: b.oneTimeId, publicKey: raw(b.oneTime) } : undefined,
      })
    },

    async encrypt({ remote, plaintext }) {
      const m = await cipher(remote).encrypt(raw(plaintext))
      return { preKey: m.type === 3, body: b64(Buffer.from(m.body, 'binary')) }
    },

    async decrypt({ remote, preKey, body }) {
      const c = cipher(remote)
      return b64(preKey ? await c.decryptPreKeyWhisperMessage(raw(body)) : await c.decryptWhisperMessage(raw(body)))
    },

    sign: ({ message }) => b64(curve.calculateSignature(raw(store.state.identity.priv), raw(message))),
    verify: ({ key, message, signature }) => curve.verifySignature(raw(key), raw(message), raw(signature)),

    async state({ remote }) {
      const text = store.state.sessions[address(remote).toString()]
      const record = text && lib.SessionRecord.deserialize(JSON.parse(text))
      return {
        open: record?.haveOpenSession() ?? false,
        recordBytes: text?.length ?? 0,
        remoteRegistrationId: 0,
        oneTimeIds: Object.keys(store.state.prekeys).map(Number),
        usedKemIds: [],
      }
    },
  }
}
