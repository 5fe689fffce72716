package cluster_test

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/epio-go/epio/adapter"
	"github.com/epio-go/epio/adapter/cluster"
	"github.com/epio-go/epio/adapter/cluster/clustertest"
)

// What must not be taken for something else, above all not for an order to everybody.
func TestDecodeRefuses(t *testing.T) {
	env := func(typ, data string) string {
		return `{"type":` + typ + `,"uid":"u","nsp":"/","data":` + data + `}`
	}
	for name, p := range map[string]string{
		"nothing":                    "",
		"no msgpack":                 "\xc1",
		"no JSON":                    `{"type":3`,
		"trailing bytes":             "\x80\x80",
		"a list":                     "\x93\x01\x02\x03",
		"no type":                    `{"uid":"u","nsp":"/"}`,
		"type 0":                     `{"type":0,"uid":"u","nsp":"/"}`,
		"type as text":               `{"type":"3","uid":"u","nsp":"/"}`,
		"no uid":                     `{"type":2,"nsp":"/"}`,
		"uid is a number":            `{"type":2,"uid":1,"nsp":"/"}`,
		"broadcast without data":     `{"type":3,"uid":"u","nsp":"/"}`,
		"broadcast without opts":     env("3", `{"packet":{"type":2,"data":["e"]}}`),
		"broadcast without packet":   env("3", `{"opts":{"rooms":[],"except":[]}}`),
		"packet that disconnects":    env("3", `{"packet":{"type":1,"data":["e"]},"opts":{"rooms":[],"except":[]}}`),
		"packet without name":        env("3", `{"packet":{"type":2,"data":[]},"opts":{"rooms":[],"except":[]}}`),
		"packet with object as name": env("3", `{"packet":{"type":2,"data":[{}]},"opts":{"rooms":[],"except":[]}}`),
		"rooms missing":              env("6", `{"opts":{"except":[]},"close":true}`),
		"except missing":             env("6", `{"opts":{"rooms":[]},"close":true}`),
		"rooms null":                 env("6", `{"opts":{"rooms":null,"except":[]},"close":true}`),
		"rooms an object":            env("6", `{"opts":{"rooms":{},"except":[]},"close":true}`),
		"a room that is none":        env("6", `{"opts":{"rooms":[{}],"except":[]},"close":true}`),
		"opts missing":               env("6", `{"close":true}`),
		"opts a list":                env("6", `{"opts":[],"close":true}`),
		"close as text":              env("6", `{"opts":{"rooms":[],"except":[]},"close":"yes"}`),
		"join nothing":               env("4", `{"opts":{"rooms":[],"except":[]}}`),
		"leave text":                 env("5", `{"opts":{"rooms":[],"except":[]},"rooms":"r"}`),
		"fetch without id":           env("7", `{"opts":{"rooms":[],"except":[]}}`),
		"id that is a number":        env("7", `{"requestId":1,"opts":{"rooms":[],"except":[]}}`),
		"sockets missing":            env("8", `{"requestId":"x"}`),
		"event missing":              env("9", `{}`),
		"answer without id":          env("10", `{"packet":1}`),
		"count negative":             env("11", `{"requestId":"x","clientCount":-1}`),
		"count not whole":            env("11", `{"requestId":"x","clientCount":1.5}`),
		"count missing":              env("11", `{"requestId":"x"}`),
		"too deep":                   env("10", `{"requestId":"x","packet":`+strings.Repeat("[", 600)+strings.Repeat("]", 600)+`}`),
	} {
		if m, err := cluster.Decode([]byte(p)); !errors.Is(err, cluster.ErrMalformed) {
			t.Errorf("%s: got %+v, %v", name, m, err)
		}
	}
}

func TestDescriptionsNeedIDs(t *testing.T) {
	m, err := cluster.Decode([]byte(`{"type":8,"uid":"u","nsp":"/","data":{"requestId":"x","sockets":[{"id":"a"},{"rooms":[]}]}}`))
	if err != nil {
		t.Fatal(err)
	}
	if s, err := m.Descriptions(); !errors.Is(err, cluster.ErrMalformed) {
		t.Errorf("got %+v, %v", s, err)
	}
}

func TestDecodeKeepsUnknownTypesApart(t *testing.T) {
	for _, typ := range []string{"99", "1000", "-1"} {
		m, err := cluster.Decode([]byte(`{"type":` + typ + `,"uid":"u","nsp":"/","data":{"packet":7}}`))
		if err != nil || m.Type < 50 {
			t.Errorf("type %s: %+v, %v", typ, m, err)
		}
	}
}

func TestDecodeFlags(t *testing.T) {
	for flags, want := range map[string]adapter.Opts{
		`{}`: {},
		`{"volatile":true,"compress":false,"timeout":1500,"expectSingleResponse":true,"other":[1]}`: {
			Flags:   adapter.Volatile | adapter.NoCompress | adapter.Single,
			Timeout: 1500 * time.Millisecond,
		},
		`{"volatile":false,"compress":true,"timeout":-1,"local":true}`: {},
		`{"timeout":1e300}`: {},
		`null`:              {},
	} {
		p := `{"type":7,"uid":"u","nsp":"/","data":{"requestId":"x","opts":{"rooms":["a",7],"except":[],"flags":` + flags + `}}}`
		m, err := cluster.Decode([]byte(p))
		if err != nil {
			t.Errorf("%s: %v", flags, err)
			continue
		}
		want.Rooms = []string{"a", "7"}
		if !reflect.DeepEqual(m.Opts, want) {
			t.Errorf("%s: got %+v, want %+v", flags, m.Opts, want)
		}
	}
}

// Whole numbers that float64 cannot hold pass both formats.
func TestValuesSurvive(t *testing.T) {
	type custom struct {
		N uint64 `json:"n"`
	}
	at := time.UnixMilli(1795215282810).UTC()
	m := &cluster.Message{
		Type: cluster.Broadcast, UID: "u", Namespace: "/", Event: "e",
		Args: []any{int64(1<<53 + 1), uint64(1<<64 - 1), -int64(1<<53) - 1, 1 << 53, 1.5, 1e20, custom{1<<60 + 1}, []string{"é\u2028\x00"}},
	}
	want := []any{
		int64(1<<53 + 1), uint64(1<<64 - 1), -int64(1<<53) - 1, float64(1 << 53), 1.5, 1e20,
		map[string]any{"n": int64(1<<60 + 1)},
		[]any{"é\u2028\x00"},
	}
	for _, f := range []cluster.Format{cluster.JSON, cluster.Msgpack} {
		p, err := m.EncodeAs(f)
		if err != nil {
			t.Fatal(err)
		}
		in, err := cluster.Decode(p)
		if err != nil {
			t.Fatal(err)
		}
		if event, args, err := in.Payload(); event != "e" || !reflect.DeepEqual(args, want) || err != nil {
			t.Errorf("format %d: %q %#v, %v, want %#v", f, event, args, err, want)
		}
	}
	// Only one of the formats has these.
	m.Args = []any{at, []byte{1}}
	p, f, err := m.Encode()
	if err != nil || f != cluster.Msgpack {
		t.Fatalf("format %d, %v", f, err)
	}
	in, err := cluster.Decode(p)
	if err != nil {
		t.Fatal(err)
	}
	if _, args, err := in.Payload(); !reflect.DeepEqual(args, m.Args) || err != nil {
		t.Errorf("got %#v, %v", args, err)
	}
	in, err = cluster.Decode([]byte(`{"type":10,"uid":"u","nsp":"/","data":{"requestId":"x","packet":123456789012345678901234567890}}`))
	if err != nil {
		t.Fatal(err)
	}
	if v, err := in.Answer(); v != json.Number("123456789012345678901234567890") || err != nil {
		t.Errorf("got %#v, %v", v, err)
	}
}

// Msgpack with counts that are not true costs what is there.
func TestDecodeBudget(t *testing.T) {
	head := "\x84\xa4type\x0c\xa3uid\xa1u\xa3nsp\xa1/\xa4data\x82\xa9requestId\xa1x\xa6packet"
	if _, err := cluster.Decode([]byte(head + "\xdd\xff\xff\xff\xff")); !errors.Is(err, cluster.ErrMalformed) {
		t.Errorf("got %v", err)
	}
	// Five million nils are 5 MB here and would be 80 MB as values.
	m, err := cluster.Decode([]byte(head + "\xdd\x00\x4c\x4b\x40" + strings.Repeat("\xc0", 5000000)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.Answer(); err == nil {
		t.Error("decoded")
	}
}

func FuzzClusterMessage(f *testing.F) {
	for _, m := range []*cluster.Message{
		{Type: cluster.Broadcast, Event: "e", Args: []any{1, "x", []byte{1}}, RequestID: "r"},
		{Type: cluster.SocketsJoin, Rooms: []string{"r"}},
		{Type: cluster.FetchSocketsResponse, RequestID: "r", Sockets: []adapter.SocketInfo{{ID: "i", Handshake: &adapter.Handshake{}}}},
		{Type: cluster.BroadcastAck, RequestID: "r", Arg: map[string]any{"a": nil}},
		{Type: cluster.Heartbeat},
	} {
		m.UID, m.Namespace = "u", "/"
		p, _, err := m.Encode()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(p)
		if p, err = m.EncodeAs(cluster.Msgpack); err != nil {
			f.Fatal(err)
		}
		f.Add(p)
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		m, err := cluster.Decode(p)
		if err != nil {
			return
		}
		sent, err := clustertest.Values(m)
		if err != nil {
			return
		}
		out, err := sent.EncodeAs(cluster.Msgpack)
		if err != nil {
			t.Fatalf("%q: %v", p, err)
		}
		if m.Type > cluster.EvictResponse {
			return
		}
		back, err := cluster.Decode(out)
		if err != nil {
			t.Fatalf("%q became %q: %v", p, out, err)
		}
		if got, want := clustertest.Says(t, back), clustertest.Says(t, m); got != want {
			t.Fatalf("%q says\n%s\nsent again\n%s", p, want, got)
		}
	})
}
