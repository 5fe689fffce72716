// Package parity holds no code, only the tests that docs/parity.md and docs/limits.md name
// tests that exist.
package parity
