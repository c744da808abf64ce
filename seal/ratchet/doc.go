// Package ratchet is the Signal Protocol for two parties, as pure functions:
// state and input go in, state and output come out.
//
// It has the key agreements X3DH and PQXDH, XEdDSA signatures, the Double
// Ratchet, the post-quantum chain that libsignal speaks in its first epoch, and
// the Double Ratchet with header encryption. Profiles X3DH, PQXDH and SignalV4
// agree with libsignal byte by byte; WaxwingHE is Waxwing's own. Everything was
// written from the published specifications (X3DH, PQXDH, XEdDSA, Double
// Ratchet, ML-KEM Braid), and from what the official packages answer; section
// numbers are those of the documents.
//
// # What is promised
//
// A [Session] is a value: no method changes its receiver, so a failed call has
// changed nothing, and whoever stores a session in the transaction of its
// effect can roll back both. Keys of messages that have not arrived are not in
// the session: [Session.Open] asks for them with a [NeedKeys] and hands out
// those to keep. After a message is opened and what Open says is stored and
// deleted, neither the session nor the stored keys open it again. Whoever
// steals a session can follow it until each side has opened a message that the
// other sealed after opening one: then they are out. A hostile message costs at
// most one key agreement, [MaxJump] steps of each chain and memory for
// [MaxSkipped] keys of each chain; it never panics.
//
// # What is not
//
// The ratchet step is classical: after a key agreement that withstands a
// quantum computer, recovery from theft does not. SignalV4's post-quantum chain
// stays in epoch 0: it makes current libsignal listen, and adds no secret that
// the handshake did not have. Authentication is classical. In the profiles that
// libsignal speaks the ratchet key and the counters are in the clear, there is
// no associated data, tags have 8 bytes, and old receiving chains are kept open
// for five steps: MaxChains says so, and it is for compatibility. The keys of
// what had not come of a chain when the peer went on to the next are skipped, so
// that such messages open however late, if the caller has kept the keys. Under
// WaxwingHE chains are closed by the number that the peer tells (Double
// Ratchet, section 4), the tag has 16 bytes, and a random salt goes into every
// key, so that a session that was restored from a backup betrays no plaintext
// when it uses a number twice. AES-256-GCM does not commit to its key.
//
// Secrets are overwritten where that is cheap. Go promises nothing about the
// copies that it makes itself. Encapsulation takes its randomness from the
// operating system, as crypto/mlkem wants it; everything else reads the rand
// that it is given.
package ratchet
