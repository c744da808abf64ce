// Package senderkey is group encryption with sender keys, as pure functions: state and input go in, state and output come out.
//
// A [Sender] is one chain of message keys with a signing key of its own. Its [Sender.Distribution] goes to each member over a session of
// two; whoever has it makes a [Receiver] of it, and all of them open the same ciphertext. Messages and distributions are those of libsignal,
// byte by byte. Keys, skipped keys and errors are package ratchet's.
//
// # What is promised
//
// A value is never changed by a method: a failed call has changed nothing. Keys of messages that have not arrived are outside: [Receiver.Open]
// asks for them with a [ratchet.NeedKeys] and hands out those to keep. After a message is opened and what Open says is stored and deleted, the
// receiver's rows do not open it again, and a member who joins later opens nothing of before. Nobody but the sender makes a message that
// opens: the signature is verified before anything else is done, so a forged one costs that and no more. The sender's own messages cost at
// most [ratchet.MaxJump] steps and memory for [ratchet.MaxSkipped] keys.
//
// # What is not
//
// A chain does not heal: whoever steals a sender or a receiver reads on until the chain is replaced. Replace it when a member leaves, after a
// number of messages and after a time. There is no associated data. Each sender is numbered for itself: nothing orders those of several.
package senderkey
