// Package parity holds no code, only the test that docs/parity.md names tests that
// exist.
package parity
