package clustertest

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"testing"

	"github.com/epio-go/epio/adapter/cluster"
)

// Vector is one line of a recording of a published Node package.
type Vector struct {
	Step, Op       string
	Channel        string
	Table, ID      string // of a row
	Enc, Text, Hex string
	Fields         map[string]string // of an entry of a stream
}

// Vectors returns the lines of a recording in testdata/vectors of adapter/cluster, for tests of packages in adapter.
func Vectors(t testing.TB, name string) []Vector {
	t.Helper()
	text, err := os.ReadFile("../cluster/testdata/vectors/" + name + ".jsonl")
	if err != nil {
		t.Fatal(err)
	}
	var vs []Vector
	for line := range bytes.Lines(text) {
		var v Vector
		if err := json.Unmarshal(line, &v); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		vs = append(vs, v)
	}
	if len(vs) == 0 {
		t.Fatalf("%s: no vectors", name)
	}
	return vs
}

// Payload returns the message of the line, nil if there is none.
func (v *Vector) Payload(t testing.TB) []byte {
	t.Helper()
	switch v.Enc {
	case "text":
		return []byte(v.Text)
	case "msgpack":
		p, err := hex.DecodeString(v.Hex)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	return nil
}

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
