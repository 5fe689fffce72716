package clustertest

import (
	"fmt"
	"testing"

	"github.com/epio-go/epio/adapter/cluster"
)

// Tree returns what p, one value in JSON or msgpack, decodes to, to be compared.
func Tree(t testing.TB, p []byte) any {
	t.Helper()
	v, err := cluster.Scan(p)
	if err != nil {
		t.Fatal(err)
	}
	a, err := v.Any()
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// Values returns m, which was received, with values in place of what came, to be sent. It
// fails when what came cannot be decoded.
func Values(m *cluster.Message) (*cluster.Message, error) {
	out := *m
	var err error
	switch m.Type {
	case cluster.Broadcast, cluster.ServerSideEmit:
		out.Event, out.Args, err = m.Payload()
	case cluster.ServerSideEmitResponse, cluster.BroadcastAck:
		out.Arg, err = m.Answer()
	case cluster.FetchSocketsResponse:
		out.Sockets, err = m.Descriptions()
	}
	return &out, err
}

// Outgoing is Values of a message that can be decoded.
func Outgoing(t testing.TB, m *cluster.Message) *cluster.Message {
	t.Helper()
	out, err := Values(m)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// Says returns what a received message says, in a form that can be compared: maps are
// sorted, NaN is itself.
func Says(t testing.TB, m *cluster.Message) string {
	t.Helper()
	o := Outgoing(t, m)
	switch o.Type {
	case cluster.InitialHeartbeat, cluster.Heartbeat, cluster.AdapterClose, cluster.SocketsJoin, cluster.SocketsLeave, cluster.DisconnectSockets:
		o.RequestID = "" // nobody answers these
	}
	for i := range o.Sockets {
		if h := o.Sockets[i].Handshake; h != nil {
			if h.Auth == nil {
				h.Auth = map[string]any{} // as it is sent; so is Data
			}
			o.Sockets[i].Rooms = append(o.Sockets[i].Rooms, fmt.Sprintf("%+v", *h))
			o.Sockets[i].Handshake = nil
		}
		if o.Sockets[i].Data == nil {
			o.Sockets[i].Data = map[string]any{}
		}
	}
	return fmt.Sprintf("%+v", []any{
		o.Type, o.UID, o.Namespace, o.RequestID, o.Opts.Rooms, o.Opts.Except, o.Opts.Flags, o.Opts.Timeout, o.Rooms, o.Close, o.Count, o.PID, o.Found,
		o.Event, o.Args, o.Arg, o.Sockets,
	})
}
