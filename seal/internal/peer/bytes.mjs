export const b64 = (bytes) => Buffer.from(bytes).toString('base64')
export const raw = (text) => Buffer.from(text ?? '', 'base64')
// exact: some packages want an ArrayBuffer of exactly the bytes.
export const exact = (text) => Uint8Array.from(raw(text)).buffer
