// Package killmatrix proves that effects happen once: a process in which a producer
// with an outbox, a consumer with an inbox, a saga with its participants and an
// operator are at work is made to fail at every named point of the SDK, on each
// database and over each broker, and the nine checks of waxtest hold. With a
// safeguard removed they do not.
//
// The process is the test binary itself, started again with a plan in its
// environment. It needs the build tag "killpoints":
//
//	make killmatrix
package killmatrix
