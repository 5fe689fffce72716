// Package parity holds no code, only the tests that every row of docs/parity.md names a
// test or says why there is none, that docs/limits.md names one for each limit, and that those
// tests exist.
package parity
