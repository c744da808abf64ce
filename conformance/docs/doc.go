// Package docs tests that what the documents say is so: the examples of
// README.md and of examples/sealed run, the versions in docs/clients.md are those that are locked, and
// docs/format draws every entry.
package docs
