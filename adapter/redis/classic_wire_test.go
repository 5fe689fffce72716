package redis

import (
	"bytes"
	"reflect"
	"strings"
	"testing"

	"github.com/epio-go/epio/adapter"
	"github.com/epio-go/epio/adapter/cluster"
	"github.com/epio-go/epio/adapter/cluster/clustertest"
)

// Every recorded message decodes, and what is encoded from that is the same message in
// the same format for the same channel.
func TestClassicVectors(t *testing.T) {
	d := new(classic)
	d.classicChannels = d.o.channels("/")
	seen := make(map[cluster.Type]bool)
	for _, v := range clustertest.Vectors(t, "redis-classic") {
		if v.Op != "PUBLISH" {
			continue
		}
		p := v.Payload(t)
		var m *cluster.Message
		var err error
		if strings.HasPrefix(v.Channel, d.channel) {
			m, err = decodeBroadcast(p)
		} else {
			var r requestMembers
			if r, err = membersOf(p); err != nil {
				t.Fatal(err)
			}
			if v.Channel == d.request {
				m, err = r.request("/")
			} else {
				m, err = r.response("/")
			}
		}
		if err != nil {
			t.Errorf("%s: %v", v.Step, err)
			continue
		}
		seen[m.Type] = true
		got, err := d.Encode(clustertest.Outgoing(t, m))
		if err != nil {
			t.Fatal(err)
		}
		if got.Dest != v.Channel || !reflect.DeepEqual(clustertest.Tree(t, got.Data), clustertest.Tree(t, p)) || got.Data[0] == '{' != (p[0] == '{') {
			t.Errorf("%s: encoded\n%q for %s, want\n%q for %s", v.Step, got.Data, got.Dest, p, v.Channel)
		}
	}
	for typ := cluster.Broadcast; typ <= cluster.AllRoomsResponse; typ++ {
		if !seen[typ] && typ != cluster.AdapterClose {
			t.Errorf("no message of type %d", typ)
		}
	}
}

// What goes to which channel.
func TestShardedVectors(t *testing.T) {
	d := &sharded{channel: "socket.io#/#", o: ShardedOptions{SubscriptionMode: Dynamic}}
	n := 0
	for _, v := range clustertest.Vectors(t, "redis-sharded") {
		if v.Op != "SPUBLISH" {
			continue
		}
		n++
		p := v.Payload(t)
		m, err := cluster.Decode(p)
		if err != nil {
			t.Fatal(err)
		}
		out := clustertest.Outgoing(t, m)
		if strings.Count(v.Channel, "#") > 2 && m.Type != cluster.Broadcast {
			out.To = strings.TrimSuffix(strings.TrimPrefix(v.Channel, d.channel), "#")
		}
		got, err := d.Encode(out)
		if err != nil {
			t.Fatal(err)
		}
		if got.Dest != v.Channel || !reflect.DeepEqual(clustertest.Tree(t, got.Data), clustertest.Tree(t, p)) {
			t.Errorf("%s: encoded\n%q for %s, want\n%q for %s", v.Step, got.Data, got.Dest, p, v.Channel)
		}
	}
	if n < 15 {
		t.Errorf("%d messages", n)
	}
}

func TestRoomsWithChannels(t *testing.T) {
	twenty := strings.Repeat("x", 20)
	for _, c := range []struct {
		mode SubscriptionMode
		room string
		want bool
	}{
		{Dynamic, "room", true},
		{Dynamic, twenty, false},
		{Dynamic, strings.Repeat("é", 20), false},
		{Dynamic, strings.Repeat("𝄞", 10), false},
		{Dynamic, strings.Repeat("𝄞", 20), true},
		{DynamicPrivate, twenty, true},
		{Static, "room", false},
	} {
		d := &sharded{channel: "c#", o: ShardedOptions{SubscriptionMode: c.mode}}
		p, err := d.Encode(&cluster.Message{Type: cluster.Broadcast, UID: "u", Namespace: "/", Event: "e", Opts: adapter.Opts{Rooms: []string{c.room}}})
		if err != nil {
			t.Fatal(err)
		}
		if got := p.Dest != "c#"; got != c.want || (dynamic{d}).HasChannel(c.room) != c.want {
			t.Errorf("%s, room %s: to %s", c.mode, c.room, p.Dest)
		}
	}
}

// What is malformed is refused, above all orders without a complete selection.
func TestClassicRefuses(t *testing.T) {
	for name, p := range map[string]string{
		"nothing":           "",
		"a number":          "\x01",
		"no type":           `{"uid":"u"}`,
		"type as text":      `{"type":"4","opts":{"rooms":[],"except":[]}}`,
		"no opts":           `{"type":4,"close":true}`,
		"no rooms":          `{"type":4,"opts":{"except":[]},"close":true}`,
		"no except":         `{"type":4,"opts":{"rooms":[]},"close":true}`,
		"close as text":     `{"type":4,"opts":{"rooms":[],"except":[]},"close":"yes"}`,
		"join nothing":      `{"type":2,"opts":{"rooms":[],"except":[]}}`,
		"fetch without id":  `{"type":5,"opts":{"rooms":[],"except":[]}}`,
		"rooms without id":  `{"type":1}`,
		"event not a list":  `{"type":6,"data":{}}`,
		"broadcast, no id":  `{"type":7,"packet":{"type":2,"data":["e"]},"opts":{"rooms":[],"except":[]}}`,
		"broadcast, packet": `{"type":7,"requestId":"x","packet":{"type":1},"opts":{"rooms":[],"except":[]}}`,
	} {
		r, err := membersOf([]byte(p))
		if err == nil {
			_, err = r.request("/")
		}
		if err == nil {
			t.Errorf("%s: accepted as a request", name)
		}
	}
	for name, p := range map[string]string{
		"a map":     "\x80",
		"two parts": "\x92\xa1u\x80",
		"no uid":    "\x93\x01\x82\xa4type\x02\xa4data\x91\xa1e\x82\xa5rooms\x90\xa6except\x90",
		"no opts":   "\x93\xa1u\x82\xa4type\x02\xa4data\x91\xa1e\xc0",
		"namespace": "\x93\xa1u\x83\xa4type\x02\xa4data\x91\xa1e\xa3nsp\x01\x82\xa5rooms\x90\xa6except\x90",
		"no rooms":  "\x93\xa1u\x82\xa4type\x02\xa4data\x91\xa1e\x81\xa6except\x90",
	} {
		if _, err := decodeBroadcast([]byte(p)); err == nil {
			t.Errorf("%s: accepted as a broadcast", name)
		}
	}
	for name, p := range map[string]string{
		"no type":           `{"requestId":"x"}`,
		"unknown type":      `{"requestId":"x","type":99}`,
		"sockets not list":  `{"requestId":"x","sockets":{}}`,
		"rooms not list":    `{"requestId":"x","rooms":"a"}`,
		"rooms not text":    `{"requestId":"x","rooms":["a",{}]}`,
		"count not number":  `{"requestId":"x","type":8,"clientCount":"1"}`,
		"count is negative": `{"requestId":"x","type":8,"clientCount":-1}`,
	} {
		r, err := membersOf([]byte(p))
		if err == nil {
			_, err = r.response("/")
		}
		if err == nil {
			t.Errorf("%s: accepted as an answer", name)
		}
	}
	if r, err := membersOf([]byte(`{"type":99}`)); err != nil {
		t.Fatal(err)
	} else if m, err := r.request("/"); m != nil || err != nil {
		t.Errorf("a request of unknown type is %v, %v", m, err)
	}
}

// What is JSON by rule is msgpack when there is binary in it, where the reference reads both.
func TestClassicBinary(t *testing.T) {
	var o ClassicOptions
	c := o.channels("/")
	value := []any{"a", []byte{0, 0xff}}
	for _, m := range []*cluster.Message{
		{Type: cluster.ServerSideEmit, UID: "u", Namespace: "/", Event: "e", Args: value},
		{Type: cluster.ServerSideEmitResponse, RequestID: "r", Arg: value},
		{Type: cluster.FetchSocketsResponse, RequestID: "r", Sockets: []adapter.SocketInfo{{ID: "s", Data: value, Handshake: &adapter.Handshake{}}}},
	} {
		p, err := c.encode(m, false)
		if err != nil {
			t.Fatalf("type %d: %v", m.Type, err)
		}
		if !bytes.Contains(p.Data, []byte{0xc4, 2, 0, 0xff}) {
			t.Errorf("type %d: %q", m.Type, p.Data)
		}
		r, err := membersOf(p.Data)
		if err != nil {
			t.Fatal(err)
		}
		var got *cluster.Message
		if m.Type == cluster.ServerSideEmit {
			got, err = r.request("/")
		} else {
			got, err = r.response("/")
		}
		if err != nil {
			t.Fatalf("type %d: %v", m.Type, err)
		}
		switch out := clustertest.Outgoing(t, got); m.Type {
		case cluster.ServerSideEmit:
			if !reflect.DeepEqual(out.Args, value) {
				t.Errorf("arguments %v", out.Args)
			}
		case cluster.ServerSideEmitResponse:
			if !reflect.DeepEqual(out.Arg, value) {
				t.Errorf("answer %v", out.Arg)
			}
		default:
			if len(out.Sockets) != 1 || !reflect.DeepEqual(out.Sockets[0].Data, value) {
				t.Errorf("sockets %+v", out.Sockets)
			}
		}
	}
}
