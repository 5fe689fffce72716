// Package webtransport serves the WebTransport of an Engine.IO server with
// github.com/quic-go/webtransport-go. It is a module of its own, so that only those who want
// HTTP/3 depend on it.
//
//	srv, err := sio.New(sio.Config{Engine: eio.Config{
//		Transports: []string{"polling", "websocket", "webtransport"},
//	}})
//	...
//	h3 := webtransport.New(srv.Engine(), &http3.Server{Addr: ":443", TLSConfig: tlsConfig})
//	go h3.ListenAndServe() // UDP
//	...                    // polling and WebSocket on TCP, as without
//	srv.Shutdown(ctx)      // ends the sessions
//	h3.Close()
//
// HTTP/3 has a listener of its own, on UDP, beside that for polling and WebSocket on TCP.
// Clients expect both at the same port number.
package webtransport
