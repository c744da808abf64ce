// Package seal encrypts messages from one service to another by the Signal
// Protocol, in the transaction that holds the outbox or the inbox row: the broker
// sees no plaintext, and what was consumed cannot be opened later, even by who takes
// today's database.
//
//	ep, err := seal.New(db, identity, keys, seal.Pinned(root), seal.Through(dir),
//		seal.To("payments", "billing"),        // what is published there is sealed to billing
//		seal.Expect("receipts", "billing"))    // what comes from there must be sealed by billing
//	go ep.Run(ctx)                             // publishes prekeys and renews them
//
// Seal and Open take the caller's transaction. Seal replaces the body of a message
// by an envelope; Open puts the body back. What Open does to a session commits with
// the effects of the message: a redelivery after a rollback opens again, one after a
// commit is ErrDuplicate.
//
// # Sessions and lanes
//
// A session is serial: who has locked its row makes others wait until the transaction
// ends. So there is one for each peer and lane; the lane is a hash of the message's
// key, and how many there are says the certificate. Services that talk to each other
// should have the same number: a session renews its keys (a step of the Diffie-Hellman
// ratchet) when both sides use it. Messages that come out of order leave the keys of
// those before them in a table of their own, for a time (KeepSkipped).
//
// # Restores
//
// A database that is restored from a backup, or a replica that has lost the last
// transactions, would use keys again. Counted wraps the relay's publisher and keeps,
// outside of the database, how far each stream of messages was published; Check, at
// start, compares, and begins everything anew if the database is behind. Run looks again
// every ten minutes or so, for a database that is exchanged while processes go on; start
// them anew, or Check, for it to be found at once.
//
// # What it is not
//
// It hides content, type of content and headers, not topic, key, id and type, nor who
// sends how much and when. One-way flows take no steps of the Diffie-Hellman ratchet
// until the receiver has sealed something, too (Greet): a stolen state is good for what
// comes until then. A rolled-back transaction of another process can have used a key that
// is used again: its ciphertext never left the database. docs/format/seal.md draws
// the bytes; DESIGN.md says why.
package seal
