// Package refs holds the servers that epio is measured beside. They are a module of
// their own because they need the libraries they are written with.
//
// gorilla, coder and gws are plain WebSocket servers with rooms and echo, written the
// way each library's documentation advises; what they speak is described in
// internal/plain. rival is a Socket.IO server with the events of bench/server.
package refs
