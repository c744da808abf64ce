// Package harness starts the real waxwing binary and real client programs of
// other languages, and turns what those print into Go subtests.
//
// Environment:
//
//	WAXWING_CONFORMANCE_BOOTSTRAP  HOST:PORT of a running broker to test
//	                               instead (any Kafka); only the client
//	                               commands of waxwing are built
//	WAXWING_FULL=1                 the whole suites instead of the sample
//	WAXWING_CASES=REGEXP           only the cases of client programs that match
//	WAXWING_CACHE                  where scripts/install-tools.sh put the
//	                               clients, by default ~/.cache/waxwing
package harness
