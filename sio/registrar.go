package sio

import "context"

// The registration methods of *Server, *Namespace and *Socket. Those of a Server act on
// its namespace "/".

// Use adds a connect middleware. Middlewares run in the order of registration
// before the client is told that it is connected; the first error refuses it. A
// *[Error] reaches the client with its text and data as connect_error.
func (n *Namespace) Use(mw func(ctx context.Context, s *Socket) error) *Registration {
	return enlist(n.tbl, uses, mw)
}

// OnConnect adds a handler that runs when a socket has connected, before any of
// its events. An error disconnects the socket.
func (n *Namespace) OnConnect(fn func(ctx context.Context, s *Socket) error) *Registration {
	return enlist(n.tbl, connects, fn)
}

// OnDisconnect adds a handler that runs when a socket has disconnected and its
// last event was handled. The socket's rooms can still be read; its context has
// ended and it cannot send any more.
// When the connection ended, s.Conn().Cause() tells why in more detail: an
// *eio.SizeError for a message over the limit, say.
func (n *Namespace) OnDisconnect(fn func(s *Socket, r Reason)) *Registration {
	return enlist(n.tbl, disconnects, fn)
}

// OnError adds a function that is told of what goes wrong with a socket, after it was
// logged and, where a client waits for an acknowledgement, answered:
//
//   - *[EventError]: a handler failed, panicked, or was not called because the arguments
//     did not fit;
//   - *[ViolationError]: the client broke the protocol. Its connection is closed; every
//     socket of it is told, before its disconnect handlers run.
//
// It runs on the socket's goroutine, between two events.
func (n *Namespace) OnError(fn func(s *Socket, err error)) *Registration {
	return enlist(n.tbl, errorHooks, fn)
}

// Wrap adds a middleware around the handling of every event, the first one
// outermost. Not calling next refuses the event; an error without it also tells
// the client, if that waits for an acknowledgement.
func (n *Namespace) Wrap(mw func(next Handler) Handler) *Registration { return n.tbl.wrap(mw) }

// Handle registers h for an event.
func (n *Namespace) Handle(event string, h Handler) *Registration { return n.tbl.handle(event, h) }

// HandleFallback registers the handler of events that have none.
func (n *Namespace) HandleFallback(h Handler) *Registration { return n.tbl.handleFallback(h) }

// Off removes the handler of an event, whoever registered it.
func (n *Namespace) Off(event string) { n.tbl.off(event) }

// OffAll removes the handlers of all events and the fallback handler.
func (n *Namespace) OffAll() { n.tbl.offAll() }

// HandleAny adds a handler that sees every event before its own handler and the
// middlewares of Wrap do.
func (n *Namespace) HandleAny(h Handler) *Registration { return enlist(n.tbl, anys, h) }

// PrependAny is HandleAny for a handler that goes before those there are.
func (n *Namespace) PrependAny(h Handler) *Registration { return enlistFirst(n.tbl, anys, h) }

// OffAny removes all handlers of HandleAny and PrependAny.
func (n *Namespace) OffAny() { n.tbl.change(func(h *handlers) { h.any = ordered[Handler]{} }) }

// HandleAnyOutgoing adds a function that is told of every event sent to a socket,
// by Emit or by a broadcast that reached it. It runs on the goroutine that sends
// and must not modify args.
func (n *Namespace) HandleAnyOutgoing(fn func(s *Socket, event string, args []any)) *Registration {
	return enlist(n.tbl, outgoings, fn)
}

// PrependAnyOutgoing is HandleAnyOutgoing for a function that goes before those there
// are.
func (n *Namespace) PrependAnyOutgoing(fn func(s *Socket, event string, args []any)) *Registration {
	return enlistFirst(n.tbl, outgoings, fn)
}

// OffAnyOutgoing removes all functions of HandleAnyOutgoing and PrependAnyOutgoing.
func (n *Namespace) OffAnyOutgoing() {
	n.tbl.change(func(h *handlers) { *outgoings(h) = ordered[func(*Socket, string, []any)]{} })
}

func (n *Namespace) table() *handlerTable { return n.tbl }

// Use adds a connect middleware to "/", see Namespace.Use.
func (srv *Server) Use(mw func(ctx context.Context, s *Socket) error) *Registration {
	return srv.root.Use(mw)
}

// OnConnect adds a connect handler to "/", see Namespace.OnConnect.
func (srv *Server) OnConnect(fn func(ctx context.Context, s *Socket) error) *Registration {
	return srv.root.OnConnect(fn)
}

// OnDisconnect adds a disconnect handler to "/", see Namespace.OnDisconnect.
func (srv *Server) OnDisconnect(fn func(s *Socket, r Reason)) *Registration {
	return srv.root.OnDisconnect(fn)
}

// OnError adds an error hook to "/", see Namespace.OnError.
func (srv *Server) OnError(fn func(s *Socket, err error)) *Registration { return srv.root.OnError(fn) }

// Wrap adds an event middleware to "/", see Namespace.Wrap.
func (srv *Server) Wrap(mw func(next Handler) Handler) *Registration { return srv.root.Wrap(mw) }

// Handle registers a handler on "/", see Namespace.Handle.
func (srv *Server) Handle(event string, h Handler) *Registration { return srv.root.Handle(event, h) }

// HandleFallback registers the fallback handler of "/", see
// Namespace.HandleFallback.
func (srv *Server) HandleFallback(h Handler) *Registration { return srv.root.HandleFallback(h) }

// Off removes the handler of an event of "/".
func (srv *Server) Off(event string) { srv.root.Off(event) }

// OffAll removes the handlers of all events of "/" and its fallback handler.
func (srv *Server) OffAll() { srv.root.OffAll() }

// HandleAny adds a catch-all handler to "/", see Namespace.HandleAny.
func (srv *Server) HandleAny(h Handler) *Registration { return srv.root.HandleAny(h) }

// PrependAny adds a catch-all handler to "/", before the others.
func (srv *Server) PrependAny(h Handler) *Registration { return srv.root.PrependAny(h) }

// OffAny removes all catch-all handlers of "/".
func (srv *Server) OffAny() { srv.root.OffAny() }

// HandleAnyOutgoing watches what is sent in "/", see Namespace.HandleAnyOutgoing.
func (srv *Server) HandleAnyOutgoing(fn func(s *Socket, event string, args []any)) *Registration {
	return srv.root.HandleAnyOutgoing(fn)
}

// PrependAnyOutgoing watches what is sent in "/", before the others.
func (srv *Server) PrependAnyOutgoing(fn func(s *Socket, event string, args []any)) *Registration {
	return srv.root.PrependAnyOutgoing(fn)
}

// OffAnyOutgoing removes all who watch what is sent in "/".
func (srv *Server) OffAnyOutgoing() { srv.root.OffAnyOutgoing() }

func (srv *Server) table() *handlerTable { return srv.root.tbl }

// Handle registers a handler for an event of this socket alone. It goes before
// the namespace's handler for the same event. The namespace's Wrap applies.
func (s *Socket) Handle(event string, h Handler) *Registration { return s.table().handle(event, h) }

// HandleFallback registers the handler of events that neither the socket nor its namespace
// has a handler for. It goes before the namespace's fallback handler.
func (s *Socket) HandleFallback(h Handler) *Registration { return s.table().handleFallback(h) }

// Wrap adds a middleware around the handling of every event of this socket, inside those of
// the namespace.
func (s *Socket) Wrap(mw func(next Handler) Handler) *Registration { return s.table().wrap(mw) }

// OnError adds an error hook for this socket alone, see Namespace.OnError. It runs after
// those of the namespace.
func (s *Socket) OnError(fn func(s *Socket, err error)) *Registration {
	return enlist(s.table(), errorHooks, fn)
}

// OnDisconnect adds a disconnect handler for this socket alone, see
// Namespace.OnDisconnect. It runs after those of the namespace; not at all when it is
// added after they began.
func (s *Socket) OnDisconnect(fn func(s *Socket, r Reason)) *Registration {
	return enlist(s.table(), disconnects, fn)
}

// Off removes the socket's own handler of an event; the namespace's, if there is one, gets
// the event from now on.
func (s *Socket) Off(event string) { s.table().off(event) }

// OffAll removes the socket's own handlers of all events and its fallback handler.
func (s *Socket) OffAll() { s.table().offAll() }

// HandleAny adds a handler that sees every event of this socket, after the catch-all
// handlers of the namespace and before everything else.
func (s *Socket) HandleAny(h Handler) *Registration { return enlist(s.table(), anys, h) }

// PrependAny is HandleAny for a handler that goes before the socket's others.
func (s *Socket) PrependAny(h Handler) *Registration { return enlistFirst(s.table(), anys, h) }

// OffAny removes the socket's own catch-all handlers.
func (s *Socket) OffAny() { s.table().change(func(h *handlers) { h.any = ordered[Handler]{} }) }

// HandleAnyOutgoing adds a function that is told of every event sent to this socket, after
// the namespace's, see Namespace.HandleAnyOutgoing.
func (s *Socket) HandleAnyOutgoing(fn func(s *Socket, event string, args []any)) *Registration {
	return enlist(s.table(), outgoings, fn)
}

// PrependAnyOutgoing is HandleAnyOutgoing for a function that goes before the socket's
// others.
func (s *Socket) PrependAnyOutgoing(fn func(s *Socket, event string, args []any)) *Registration {
	return enlistFirst(s.table(), outgoings, fn)
}

// OffAnyOutgoing removes the socket's own functions of HandleAnyOutgoing and
// PrependAnyOutgoing.
func (s *Socket) OffAnyOutgoing() {
	s.table().change(func(h *handlers) { *outgoings(h) = ordered[func(*Socket, string, []any)]{} })
}

func (s *Socket) table() *handlerTable {
	for {
		if t := s.own.Load(); t != nil {
			return t
		}
		s.own.CompareAndSwap(nil, &handlerTable{own: true})
	}
}

// ownHandlers returns the snapshot of the handlers that were registered on this socket.
func (s *Socket) ownHandlers() *handlers {
	if t := s.own.Load(); t != nil {
		return t.load()
	}
	return &noHandlers
}
