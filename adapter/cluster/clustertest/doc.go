// Package clustertest is what tests of networked adapters have in common, beyond the
// contract that package adaptertest checks: hosts and sockets that keep what comes, a
// proxy that can be cut, and waiting for what must happen.
package clustertest
