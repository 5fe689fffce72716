package sio

import (
	"context"
	"iter"
	"time"
)

// The selections that every Namespace has for all of its sockets, and a Server for those of
// "/", so that chains may begin with either.

// All selects all sockets of the namespace.
func (n *Namespace) All() Target { return Target{ns: n} }

// Emit sends an event to all sockets of the namespace, on all servers.
func (n *Namespace) Emit(event string, args ...any) error { return n.All().Emit(event, args...) }

// Send is Emit of the event "message".
func (n *Namespace) Send(args ...any) error { return n.All().Send(args...) }

// To selects the sockets in at least one of rooms.
func (n *Namespace) To(rooms ...string) Target { return n.All().To(rooms...) }

// In is To.
func (n *Namespace) In(rooms ...string) Target { return n.All().To(rooms...) }

// Except selects all sockets but those in rooms.
func (n *Namespace) Except(rooms ...string) Target { return n.All().Except(rooms...) }

// Local selects the sockets on this server.
func (n *Namespace) Local() Target { return n.All().Local() }

// Volatile selects all sockets, for packets that may be dropped.
func (n *Namespace) Volatile() Target { return n.All().Volatile() }

// Timeout selects all sockets and bounds Call and Gather.
func (n *Namespace) Timeout(d time.Duration) Target { return n.All().Timeout(d) }

// Compress selects all sockets; see Target.Compress.
func (n *Namespace) Compress(on bool) Target { return n.All().Compress(on) }

// Sockets iterates over the connected sockets on this server.
func (n *Namespace) Sockets() iter.Seq[*Socket] { return n.All().Sockets() }

// FetchSockets finds all sockets of the namespace, on all servers, see
// Target.FetchSockets.
func (n *Namespace) FetchSockets(ctx context.Context) ([]*RemoteSocket, error) {
	return n.All().FetchSockets(ctx)
}

// Rooms returns the names of all rooms of the namespace, on all servers, see
// Target.Rooms.
func (n *Namespace) Rooms(ctx context.Context) ([]string, error) { return n.All().Rooms(ctx) }

// SocketsJoin makes all sockets of the namespace, on all servers, join rooms.
func (n *Namespace) SocketsJoin(rooms ...string) error { return n.All().Join(rooms...) }

// SocketsLeave makes all sockets of the namespace, on all servers, leave rooms.
func (n *Namespace) SocketsLeave(rooms ...string) error { return n.All().Leave(rooms...) }

// DisconnectSockets disconnects all sockets of the namespace, on all servers, see
// Socket.Disconnect.
func (n *Namespace) DisconnectSockets(close bool) error { return n.All().Disconnect(close) }

// ServerCount returns how many servers the cluster has, this one included. A parent counts
// for its children together: the greatest of their numbers, 1 if it has none.
func (n *Namespace) ServerCount(ctx context.Context) (int, error) {
	count := 1
	all := n.All()
	for _, ns := range all.namespaces() {
		c, err := ns.connectedAdapter().ServerCount(ctx)
		if err != nil {
			return count, err
		}
		count = max(count, c)
	}
	return count, nil
}

// All selects all sockets of "/".
func (srv *Server) All() Target { return srv.root.All() }

// Emit sends an event to all sockets of "/".
func (srv *Server) Emit(event string, args ...any) error { return srv.root.Emit(event, args...) }

// Send is Emit of the event "message".
func (srv *Server) Send(args ...any) error { return srv.root.Send(args...) }

// To selects the sockets of "/" in at least one of rooms.
func (srv *Server) To(rooms ...string) Target { return srv.root.To(rooms...) }

// In is To.
func (srv *Server) In(rooms ...string) Target { return srv.root.To(rooms...) }

// Except selects the sockets of "/" that are in none of rooms.
func (srv *Server) Except(rooms ...string) Target { return srv.root.Except(rooms...) }

// Local selects the sockets of "/" on this server.
func (srv *Server) Local() Target { return srv.root.Local() }

// Volatile selects all sockets of "/", for packets that may be dropped.
func (srv *Server) Volatile() Target { return srv.root.Volatile() }

// Timeout selects all sockets of "/" and bounds Call and Gather.
func (srv *Server) Timeout(d time.Duration) Target { return srv.root.Timeout(d) }

// Compress selects all sockets of "/"; see Target.Compress.
func (srv *Server) Compress(on bool) Target { return srv.root.Compress(on) }

// Sockets iterates over the connected sockets of "/" on this server.
func (srv *Server) Sockets() iter.Seq[*Socket] { return srv.root.Sockets() }

// Socket returns the connected socket of "/" with this id on this server, or nil.
func (srv *Server) Socket(id string) *Socket { return srv.root.Socket(id) }

// FetchSockets finds all sockets of "/", on all servers, see Target.FetchSockets.
func (srv *Server) FetchSockets(ctx context.Context) ([]*RemoteSocket, error) {
	return srv.root.FetchSockets(ctx)
}

// Rooms returns the names of all rooms of "/", on all servers, see Target.Rooms.
func (srv *Server) Rooms(ctx context.Context) ([]string, error) { return srv.root.Rooms(ctx) }

// SocketsJoin makes all sockets of "/", on all servers, join rooms.
func (srv *Server) SocketsJoin(rooms ...string) error { return srv.root.SocketsJoin(rooms...) }

// SocketsLeave makes all sockets of "/", on all servers, leave rooms.
func (srv *Server) SocketsLeave(rooms ...string) error { return srv.root.SocketsLeave(rooms...) }

// DisconnectSockets disconnects all sockets of "/", on all servers, see
// Socket.Disconnect.
func (srv *Server) DisconnectSockets(close bool) error { return srv.root.DisconnectSockets(close) }

// ServerCount returns how many servers the cluster has, this one included.
func (srv *Server) ServerCount(ctx context.Context) (int, error) { return srv.root.ServerCount(ctx) }

// ID returns the name of this server: Config.ServerID, or 20 random characters. It is for
// telling servers apart, in logs say.
func (srv *Server) ID() string { return srv.id }

// Config returns the configuration, with the defaults filled in.
func (srv *Server) Config() Config {
	c := srv.cfg
	flow := c.Engine.Flow
	c.Engine = srv.engine.Config()
	c.Engine.Flow.OnSlow, c.Engine.Flow.OnFast = flow.OnSlow, flow.OnFast // without those of c
	return c
}
