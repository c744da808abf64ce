// Package docs tests that what README.md and docs/clients.md say is so: the
// examples run, and the versions are those that are locked.
package docs
