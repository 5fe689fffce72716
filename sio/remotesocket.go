package sio

import (
	"context"
	"encoding/json"
	"time"

	"github.com/epio-go/epio/adapter"
)

// RemoteSocket is a socket somewhere in the cluster, perhaps on this server, as FetchSockets
// found it: what it is, at that moment, and a way to it. Methods that act on it go through
// the cluster and act on nobody when it has left.
//
// Call and Gather take it, too: sio.Call[bool](ctx, remote, "confirm").
type RemoteSocket struct {
	ns   *Namespace
	info adapter.SocketInfo
}

// ID returns the socket's id.
func (r *RemoteSocket) ID() string { return r.info.ID }

// Namespace returns the namespace the socket is in.
func (r *RemoteSocket) Namespace() *Namespace { return r.ns }

// Rooms returns the rooms it was in, its own-id room among them. The slice is the caller's.
func (r *RemoteSocket) Rooms() []string { return r.info.Rooms }

// Handshake returns what the client came with. Do not modify it.
func (r *RemoteSocket) Handshake() *adapter.Handshake { return r.info.Handshake }

// Data returns what Socket.SetData stored, nil for nothing. From another server it comes in
// the form of encoding/json; DecodeData does not mind.
func (r *RemoteSocket) Data() any { return r.info.Data }

// DecodeData stores the data in what v points to, by the rules of encoding/json. The error is
// a *codec.DecodeError.
func (r *RemoteSocket) DecodeData(v any) error { return convertArg(-1, r.info.Data, v) }

// Info returns all there is to know of the socket, in the form in which adapters exchange
// it.
func (r *RemoteSocket) Info() adapter.SocketInfo { return r.info }

// MarshalJSON returns Info in JSON, as a Node server would describe the socket.
func (r *RemoteSocket) MarshalJSON() ([]byte, error) { return json.Marshal(r.info) }

// Socket returns the socket itself if it is on this server, otherwise nil.
func (r *RemoteSocket) Socket() *Socket {
	if s, ok := r.info.Local.(*receiver); ok {
		return (*Socket)(s)
	}
	return nil
}

// callee implements Callee.
func (r *RemoteSocket) callee() Target {
	if s := r.Socket(); s != nil {
		return s.callee()
	}
	return Target{ns: r.ns, flags: adapter.Single}.To(r.info.ID)
}

// Emit sends an event to the socket. When it is on another server, nil means that the
// cluster was reached.
func (r *RemoteSocket) Emit(event string, args ...any) error { return r.callee().Emit(event, args...) }

// Send is Emit of the event "message".
func (r *RemoteSocket) Send(args ...any) error { return r.Emit("message", args...) }

// Volatile returns a target for this socket whose packets may be dropped.
func (r *RemoteSocket) Volatile() Target { return r.callee().Volatile() }

// Compress returns a target for this socket; see Target.Compress.
func (r *RemoteSocket) Compress(on bool) Target { return r.callee().Compress(on) }

// Timeout returns a target for this socket that bounds Call and Gather.
func (r *RemoteSocket) Timeout(d time.Duration) Target { return r.callee().Timeout(d) }

// Join makes the socket join rooms.
func (r *RemoteSocket) Join(rooms ...string) error { return r.callee().Join(rooms...) }

// Leave makes the socket leave rooms.
func (r *RemoteSocket) Leave(rooms ...string) error { return r.callee().Leave(rooms...) }

// Disconnect disconnects the socket, see Socket.Disconnect.
func (r *RemoteSocket) Disconnect(close bool) error { return r.callee().Disconnect(close) }

// FetchSockets finds the selected sockets on all servers. Those whose disconnect has begun are
// not among them, also while their disconnect handlers run. When a server does not answer in
// time, the error says so and the result holds what there is.
func (t Target) FetchSockets(ctx context.Context) ([]*RemoteSocket, error) {
	var all []*RemoteSocket
	for _, ns := range t.namespaces() {
		infos, err := ns.connectedAdapter().FetchSockets(ctx, t.opts())
		for _, info := range infos {
			if s := info.Local; s != nil {
				info = s.Info()
				info.Local = s
			}
			if info.Handshake == nil { // a foreign server's mistake
				info.Handshake = new(adapter.Handshake)
			}
			all = append(all, &RemoteSocket{ns: ns, info: info})
		}
		if err != nil {
			return all, err
		}
	}
	return all, nil
}

// Rooms returns the names of the rooms on all servers that the selected sockets are in, each
// once, in no particular order; own-id rooms are among them. Errors are those of
// FetchSockets.
func (t Target) Rooms(ctx context.Context) ([]string, error) {
	seen := make(map[string]struct{})
	var all []string
	add := func(rooms []string) {
		for _, room := range rooms {
			if _, twice := seen[room]; !twice {
				seen[room] = struct{}{}
				all = append(all, room)
			}
		}
	}
	everybody := t.only == nil && t.sender == "" && t.rooms.n == 0 && t.except.n == 0
	for _, ns := range t.namespaces() {
		var err error
		switch a := ns.connectedAdapter(); {
		case everybody && t.flags.Has(adapter.Local):
			add(a.Index().AllRooms())
		case everybody:
			var rooms []string
			rooms, err = a.AllRooms(ctx)
			add(rooms)
		default:
			var infos []adapter.SocketInfo
			infos, err = a.FetchSockets(ctx, t.opts())
			for _, info := range infos {
				add(info.Rooms)
			}
		}
		if err != nil {
			return all, err
		}
	}
	return all, nil
}
