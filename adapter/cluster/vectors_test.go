package cluster_test

import (
	"encoding/base64"
	"reflect"
	"strconv"
	"testing"

	"github.com/epio-go/epio/adapter/cluster"
	"github.com/epio-go/epio/adapter/cluster/clustertest"
)

// Every recorded envelope decodes, and what is encoded from that is the same message in
// the same format.
func TestVectorsOfEnvelopes(t *testing.T) {
	for _, file := range []string{"redis-sharded", "redis-streams", "redis-streams-recovery", "postgres"} {
		t.Run(file, func(t *testing.T) {
			seen := make(map[cluster.Type]bool)
			for _, v := range clustertest.Vectors(t, file) {
				p := v.Payload(t)
				if p == nil {
					continue
				}
				want := clustertest.Tree(t, p)
				if _, ok := want.(map[string]any)["attachmentId"]; ok {
					continue // the notification of a row of postgres, which is not an envelope
				}
				m, err := cluster.Decode(p)
				if err != nil {
					t.Errorf("%s: %s%s: %v", v.Step, v.Text, v.Hex, err)
					continue
				}
				seen[m.Type] = true
				f := cluster.JSON
				if v.Enc == "msgpack" {
					f = cluster.Msgpack
				}
				got, err := clustertest.Outgoing(t, m).EncodeAs(f)
				if err != nil {
					t.Fatal(err)
				}
				if !reflect.DeepEqual(clustertest.Tree(t, got), want) {
					t.Errorf("%s: encoded\n%q, want\n%q", v.Step, got, p)
				}
				if file == "redis-streams" || file == "redis-streams-recovery" {
					continue // always msgpack
				}
				if _, chosen, err := clustertest.Outgoing(t, m).Encode(); chosen != f || err != nil {
					t.Errorf("%s: format %d, %v, want %d", v.Step, chosen, err, f)
				}
			}
			for _, typ := range []cluster.Type{
				cluster.Broadcast, cluster.FetchSockets, cluster.FetchSocketsResponse, cluster.ServerSideEmit,
				cluster.ServerSideEmitResponse, cluster.BroadcastClientCount, cluster.BroadcastAck,
			} {
				if !seen[typ] {
					t.Errorf("no message of type %d", typ)
				}
			}
		})
	}
}

// The same for the entries of streams, whose envelope is a list of fields.
func TestVectorsOfStreams(t *testing.T) {
	n := 0
	for _, file := range []string{"redis-streams", "redis-streams-recovery"} {
		for _, v := range clustertest.Vectors(t, file) {
			if v.Op != "XADD" {
				continue
			}
			n++
			typ, err := strconv.Atoi(v.Fields["type"])
			if err != nil {
				t.Fatal(err)
			}
			m := &cluster.Message{Type: cluster.Type(typ), UID: v.Fields["uid"], Namespace: v.Fields["nsp"]}
			data := []byte(v.Fields["data"])
			wantFormat := cluster.JSON
			if data[0] != '{' {
				wantFormat = cluster.Msgpack
				if data, err = base64.StdEncoding.DecodeString(string(data)); err != nil {
					t.Fatal(err)
				}
			}
			if err := m.DecodeData(data); err != nil {
				t.Fatalf("%s: %v", v.Step, err)
			}
			got, f, err := clustertest.Outgoing(t, m).EncodeData()
			if err != nil {
				t.Fatal(err)
			}
			if f != wantFormat || !reflect.DeepEqual(clustertest.Tree(t, got), clustertest.Tree(t, data)) {
				t.Errorf("%s: encoded\n%q in format %d, want\n%q in %d", v.Step, got, f, data, wantFormat)
			}
		}
	}
	if n < 16 {
		t.Errorf("%d entries", n)
	}
}

// Text is written like JSON.stringify does it, member by member.
func TestEncodeIsTheReferencesText(t *testing.T) {
	for _, v := range clustertest.Vectors(t, "redis-sharded") {
		if v.Enc != "text" || v.Step == "fetchSockets" { // maps there are in random order
			continue
		}
		m, err := cluster.Decode([]byte(v.Text))
		if err != nil {
			t.Fatal(err)
		}
		got, _, err := clustertest.Outgoing(t, m).Encode()
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != v.Text {
			t.Errorf("%s: got\n%s, want\n%s", v.Step, got, v.Text)
		}
	}
}
