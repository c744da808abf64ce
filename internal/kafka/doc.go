// Package kafka speaks the Kafka protocol over a connection and carries the
// requests out on a broker.
//
// The way of a request: conn.go reads frames (frame.go) and their headers,
// shape.go checks that a frame is what its version says before anything is
// allocated for it, route.go picks the handler, and each API has a file of its
// own, named as the protocol names it. Replies keep the order of requests
// (reply.go), though a produce that waits for its sync, a fetch that waits for
// data and a join that waits for its group do not stop the next request.
//
// What is served is the table in versions.go; docs/kafka.md says it in prose.
package kafka
