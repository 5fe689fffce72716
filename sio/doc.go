// Package sio is a Socket.IO server. Official JavaScript clients (3.x and 4.x, and
// 1.x and 2.x if Config.Engine.AllowEIO3 is set) work with it unchanged.
//
//	srv, err := sio.New(sio.Config{})
//	chat := srv.Of("/chat")
//	chat.OnConnect(func(ctx context.Context, s *sio.Socket) error { return s.Join("lobby") })
//	sio.On(chat, "say", func(ctx context.Context, s *sio.Socket, m Say) error {
//		return s.To("lobby").Emit("said", m)
//	})
//	err = srv.ListenAndServe(":3000")
//
// A [Server] is also an [http.Handler], for use under any router:
//
//	mux.Handle("/socket.io/", srv)
//
// # Semantics
//
// These hold everywhere:
//
//  1. Events of one socket run in order, one at a time; different sockets run in
//     parallel. A handler never runs on an I/O goroutine and never under a lock, so
//     it may block and may call anything in this package.
//  2. Acknowledgements bypass that queue, so [Call] to a socket works from inside
//     one of its handlers.
//  3. Emit never blocks. An error means "not queued" (closed, buffer full, cannot
//     encode); nil does not mean "delivered".
//  4. A handler's context is the socket's. It ends at disconnect with the [Reason]
//     as its cause. Calls waiting for an acknowledgement fail then.
//  5. Decoded values belong to the handler. A [Message] is valid until the handler
//     returns; Clone keeps it.
//  6. Only the text of a *[Error] reaches a client. A panicking handler is logged
//     with its stack and costs that event, not the connection.
//  7. Registering an event name twice, or a reserved one, panics and names both
//     places.
//
// # Clusters
//
// With a networked [Config.Adapter], selections reach the sockets of all servers;
// [Target.FetchSockets] finds them, and a [RemoteSocket] is used like a local one.
// [Namespace.ServerSide] and [Namespace.HandleServer] are for messages between servers.
//
// # Operations
//
// [Config] has limits, policies for slow clients ([FullPolicy]) and [Hooks] for metrics and
// tracing; [Server.Stats] counts, [Server.Drain] ends a server without a wave of
// reconnections. [Deliver] and [Deduplicate] are for events that must not be lost.
//
// # Goroutines
//
// An idle connection has none. A socket whose queue has events borrows one until
// the queue is empty.
//
// # Lock order
//
// An index lock of the adapter, then Socket.mu or client.mu, then the locks of
// eio. The other locks here are leaves.
package sio
