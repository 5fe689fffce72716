// Package pool lends out sized buffers and reference-counted immutable frames.
//
// Two types, one memory block:
//
//   - [Buf] is exclusive and mutable. Whoever holds it may append to B and must
//     end with exactly one of Release or Seal.
//   - [Frame] is what Seal makes of a Buf: read only, reference counted, shared
//     by as many connections as a broadcast has receivers. The last Release
//     returns the memory.
//
// Three words describe ownership everywhere in this module. A callee that
// borrows memory may use it until it returns. A callee that takes memory owns it
// from then on and must release it, whatever it returns. Shared memory is
// reference counted and read only.
//
// In race builds and with -tags invariants, released memory is overwritten and
// kept out of circulation for a while, double releases panic, and [Live] counts
// what has not come back. Elsewhere those checks cost nothing.
package pool
