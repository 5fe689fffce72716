package clustertest

import (
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

// Outgoing returns m, which was received, with values in place of what came, to be sent.
func Outgoing(t testing.TB, m *cluster.Message) *cluster.Message {
	t.Helper()
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
	if err != nil {
		t.Fatal(err)
	}
	return &out
}
