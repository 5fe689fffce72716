// Package imports holds no code, only a test: the folders of this repository may import each other in one direction.
//
//	sio ──► eio ──► engine ──► pool          codec ──► pool
//	 │       └────► codec
//	 ├────► codec
//	 └────► adapter (the contract and the in-memory one; never a networked one)
//
// The reactor stays behind engine and the JSON library behind codec, so that either can be exchanged; parsers, buffers,
// connections and adapters know nothing of HTTP. A new top-level folder needs a line in the table of the test.
package imports
