// Package ratchet is the Signal Protocol for two parties, as pure functions: XEdDSA, X3DH, PQXDH and the Double Ratchet, with and without
// header encryption. State and input go in, state and output come out; randomness is an argument, and there is neither a clock nor I/O.
package ratchet
