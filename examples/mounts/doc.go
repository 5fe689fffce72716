// Package mounts shows a Socket.IO server at /socket.io/ in an application made with a web framework, beside its other
// routes and behind its middleware: logging, recovery, CORS, compression. One file per framework; a test has the same
// conversation with a client through each of them. docs/frameworks.md has the details.
package mounts
