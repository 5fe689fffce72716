// Package invariants holds the switch for checks that only test builds pay for.
//
// The checks are on in race builds and with the build tag "invariants":
//
//	go test -race ./...
//	go test -tags invariants ./...
package invariants
