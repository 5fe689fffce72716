// Package adapter spreads packets over the sockets of a namespace.
//
// It has three parts:
//
//   - [Adapter] is the contract between a namespace and a cluster of servers.
//     [Memory] fulfils it for a server that stands alone; networked adapters
//     live in sub-packages and modules of their own.
//   - [Index] holds the sockets and rooms of one namespace on this server. Every
//     adapter has one and leaves local delivery to it.
//   - Package adaptertest runs one suite of tests over any adapter.
//
// The life of a socket in an index: Attach makes its id known and lets it join
// rooms while the middlewares run, Connect makes it a receiver and a member of
// its own room, Detach removes it. A room exists while it has members; the room
// named by a socket's id is a room like any other, which its owner joins at
// Connect and may leave.
//
// Joining and leaving take constant time, a disconnect time for the rooms it
// leaves, a broadcast time for its receivers. Locks are short and many; the README
// lists them and their order.
package adapter
