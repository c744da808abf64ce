// @signalapp/libsignal-client, through the API that its types declare. 0.103
// wants the own address too where 0.67 does not.
import { b64, raw } from './bytes.mjs'

export function open(lib, store, name) {
  const address = (who) => lib.ProtocolAddress.new(who, 1)
  const self = () => address(store.state.me)
  const own = name === 'libsignal-client-0-103' ? () => [self()] : () => []
  // get reads a record of store.state; missing ones are an error, as the packages ask.
  const get = (kind, id, type) => {
    const text = store.state[kind][id]
    if (text === undefined) throw new Error(`no ${kind} ${id}`)
    return type.deserialize(raw(text))
  }
  const find = (kind, id, type) => (store.state[kind][id] === undefined ? null : get(kind, id, type))
  const put = (kind, id, record) => {
    store.state[kind][id] = b64(record.serialize())
  }

  class Sessions extends lib.SessionStore {
    async saveSession(who, record) {
      put('sessions', who.name(), record)
    }
    async getSession(who) {
      return find('sessions', who.name(), lib.SessionRecord)
    }
    async getExistingSessions(all) {
      return all.map((who) => get('sessions', who.name(), lib.SessionRecord))
    }
  }
  class Identities extends lib.IdentityKeyStore {
    async getIdentityKey() {
      return lib.PrivateKey.deserialize(raw(store.state.identity))
    }
    async getLocalRegistrationId() {
      return store.state.registrationId
    }
    async saveIdentity(who, key) {
      const changed = !store.trusts(who.name(), b64(key.serialize()))
      put('identities', who.name(), key)
      return lib.IdentityChange ? Number(changed) : changed
    }
    async isTrustedIdentity(who, key) {
      return store.trusts(who.name(), b64(key.serialize()))
    }
    async getIdentity(who) {
      return find('identities', who.name(), lib.PublicKey)
    }
  }
  class PreKeys extends lib.PreKeyStore {
    async savePreKey(id, record) {
      put('prekeys', id, record)
    }
    async getPreKey(id) {
      return get('prekeys', id, lib.PreKeyRecord)
    }
    async removePreKey(id) {
      delete store.state.prekeys[id]
    }
  }
  class SignedPreKeys extends lib.SignedPreKeyStore {
    async saveSignedPreKey(id, record) {
      put('signed', id, record)
    }
    async getSignedPreKey(id) {
      return get('signed', id, lib.SignedPreKeyRecord)
    }
  }
  class KyberPreKeys extends lib.KyberPreKeyStore {
    async saveKyberPreKey(id, record) {
      put('kems', id, record)
    }
    async getKyberPreKey(id) {
      return get('kems', id, lib.KyberPreKeyRecord)
    }
    async markKyberPreKeyUsed(id) {
      store.state.usedKems.push(id)
    }
  }
  class SenderKeys extends lib.SenderKeyStore {
    async saveSenderKey(who, distribution, record) {
      put('senderKeys', `${who.name()} ${distribution}`, record)
    }
    async getSenderKey(who, distribution) {
      return find('senderKeys', `${who.name()} ${distribution}`, lib.SenderKeyRecord)
    }
  }
  const [sessions, identities, senderKeys] = [new Sessions(), new Identities(), new SenderKeys()]
  const [prekeys, signed, kyber] = [new PreKeys(), new SignedPreKeys(), new KyberPreKeys()]

  const identity = lib.PrivateKey.generate()
  store.state.identity = b64(identity.serialize())
  store.state.registrationId = 1 + Math.floor(Math.random() * 16380)
  const key = () => lib.PrivateKey.deserialize(raw(store.state.identity))

  return {
    identity: () => ({ key: b64(key().getPublicKey().serialize()), registrationId: store.state.registrationId }),

    bundle({ oneTime }) {
      const now = Date.now()
      const b = { registrationId: store.state.registrationId, identity: b64(key().getPublicKey().serialize()) }
      const spk = lib.PrivateKey.generate()
      const spkSig = key().sign(spk.getPublicKey().serialize())
      b.signedId = store.id()
      put('signed', b.signedId, lib.SignedPreKeyRecord.new(b.signedId, now, spk.getPublicKey(), spk, spkSig))
      Object.assign(b, { signed: b64(spk.getPublicKey().serialize()), signedSig: b64(spkSig) })
      if (oneTime) {
        const opk = lib.PrivateKey.generate()
        b.oneTimeId = store.id()
        put('prekeys', b.oneTimeId, lib.PreKeyRecord.new(b.oneTimeId, opk.getPublicKey(), opk))
        b.oneTime = b64(opk.getPublicKey().serialize())
      }
      const kem = lib.KEMKeyPair.generate()
      const kemSig = key().sign(kem.getPublicKey().serialize())
      b.kemId = store.id()
      put('kems', b.kemId, lib.KyberPreKeyRecord.new(b.kemId, now, kem, kemSig))
      return Object.assign(b, { kem: b64(kem.getPublicKey().serialize()), kemSig: b64(kemSig) })
    },

    async process({ remote, bundle: b }) {
      const point = (text) => lib.PublicKey.deserialize(raw(text))
      const kem = b.kem ? [b.kemId, lib.KEMPublicKey.deserialize(raw(b.kem)), raw(b.kemSig)] : []
      const bundle = lib.PreKeyBundle.new(
        b.registrationId,
        1,
        b.oneTime ? b.oneTimeId : null,
        b.oneTime ? point(b.oneTime) : null,
        b.signedId,
        point(b.signed),
        raw(b.signedSig),
        point(b.identity),
        ...kem,
      )
      await lib.processPreKeyBundle(bundle, address(remote), ...own(), sessions, identities)
    },

    async encrypt({ remote, plaintext }) {
      const m = await lib.signalEncrypt(raw(plaintext), address(remote), ...own(), sessions, identities)
      return { preKey: m.type() === lib.CiphertextMessageType.PreKey, body: b64(m.serialize()) }
    },

    async decrypt({ remote, preKey, body }) {
      const common = [address(remote), ...own(), sessions, identities]
      const plaintext = preKey
        ? await lib.signalDecryptPreKey(lib.PreKeySignalMessage.deserialize(raw(body)), ...common, prekeys, signed, kyber)
        : await lib.signalDecrypt(lib.SignalMessage.deserialize(raw(body)), ...common)
      return b64(plaintext)
    },

    async skdm({ distribution }) {
      return b64((await lib.SenderKeyDistributionMessage.create(self(), distribution, senderKeys)).serialize())
    },
    'process-skdm': ({ remote, body }) =>
      lib.processSenderKeyDistributionMessage(address(remote), lib.SenderKeyDistributionMessage.deserialize(raw(body)), senderKeys),
    async gencrypt({ distribution, plaintext }) {
      return b64((await lib.groupEncrypt(self(), distribution, senderKeys, raw(plaintext))).serialize())
    },
    async gdecrypt({ remote, body }) {
      return b64(await lib.groupDecrypt(address(remote), senderKeys, raw(body)))
    },

    sign: ({ message }) => b64(key().sign(raw(message))),
    verify: ({ key, message, signature }) => lib.PublicKey.deserialize(raw(key)).verify(raw(message), raw(signature)),

    fingerprint({ version, localId, remoteId, remoteKey }) {
      const f = lib.Fingerprint.new(
        5200,
        version,
        raw(localId),
        key().getPublicKey(),
        raw(remoteId),
        lib.PublicKey.deserialize(raw(remoteKey)),
      )
      return { digits: f.displayableFingerprint().toString(), scannable: b64(f.scannableFingerprint().toBuffer()) }
    },
    compare: ({ ours, theirs }) =>
      lib.ScannableFingerprint._fromBuffer(raw(ours)).compare(lib.ScannableFingerprint._fromBuffer(raw(theirs))),

    state({ remote }) {
      const record = find('sessions', remote, lib.SessionRecord)
      return {
        open: record?.hasCurrentState() ?? false,
        recordBytes: record?.serialize().length ?? 0,
        remoteRegistrationId: record?.hasCurrentState() ? record.remoteRegistrationId() : 0,
        oneTimeIds: Object.keys(store.state.prekeys).map(Number),
        usedKemIds: store.state.usedKems,
      }
    },
  }
}
