// Package eio is an Engine.IO server: sessions, HTTP long-polling, WebSocket, WebTransport,
// the upgrade from one to the other, and the heartbeat. It speaks revision 4 of the
// protocol, and revision 3 with those clients that [Config].AllowEIO3 lets in.
//
// A [Server] has two doors. It is an [net/http.Handler] that works under any mux or
// framework, and it can own a listener ([Server.Serve]); then WebSocket handshakes
// are answered by the engine without ever starting a goroutine, and everything else is handed to
// an internal HTTP server. Both doors behave alike. WebTransport comes through a third one,
// [Server.WebTransport], from an HTTP/3 server outside of this package.
//
// An application implements [Handler] and talks to each [Session]. Package sio is
// such an application; eio can also be used alone:
//
//	type echo struct{}
//
//	func (echo) Open(*eio.Session) {}
//	func (echo) Message(s *eio.Session, data []byte, binary bool) { s.SendMessage(data, binary) }
//	func (echo) Close(*eio.Session, eio.Reason, error) {}
//
//	srv, err := eio.NewServer(eio.Config{}, echo{})
//	http.Handle("/engine.io/", srv)
//
// # Concurrency
//
// Handler methods are serial per session and parallel between sessions. They
// may run on the goroutine that reads many connections, so they must not block.
// No lock of this package is held while they run. Every exported method
// may be called from any goroutine unless its comment says otherwise.
//
// # Memory
//
// Data passed to Handler.Message is borrowed. Frames passed to Send, SendVolatile and
// Queue are taken: one reference goes over to the session, also when an error is
// returned.
//
// Wire format and semantics follow the Engine.IO protocol:
// https://socket.io/docs/v4/engine-io-protocol/ and, for revision 3,
// https://github.com/socketio/engine.io-protocol/tree/v3
package eio
