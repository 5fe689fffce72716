// Package parity holds no code, only the test that every row of docs/parity.md names a
// test or says why there is none, and that those tests exist.
package parity
