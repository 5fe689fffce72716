package eio

import (
	"iter"
	"slices"
)

// Refuse stops taking new sessions: the listeners of Serve are closed and
// handshakes answered with HTTP 503. Existing sessions go on. It is the first step of
// Shutdown, for a layer above that has its own way of ending sessions.
func (srv *Server) Refuse() { srv.stop() }

// RefuseHandshakes answers handshakes with HTTP 503 from now on. Unlike Refuse it leaves
// the listeners alone, so that polling clients, which may need new connections, go on
// until they are told to leave.
func (srv *Server) RefuseHandshakes() { srv.draining.Store(true) }

// All iterates over the sessions that exist at the time of the call.
func (srv *Server) All() iter.Seq[*Session] { return slices.Values(srv.sessions.all()) }
