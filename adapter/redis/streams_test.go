package redis

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/epio-go/epio/adapter"
	"github.com/epio-go/epio/adapter/cluster"
	"github.com/epio-go/epio/adapter/cluster/clustertest"
)

// What is an entry of the stream, and what a message on which channel, and that both are
// read like that.
func TestStreamsVectors(t *testing.T) {
	for _, name := range []string{"redis-streams", "redis-streams-recovery"} {
		d := &streams{channel: "socket.io#/#", recovery: strings.HasSuffix(name, "recovery")}
		d.o.setDefaults()
		entries, messages := 0, 0
		for _, v := range clustertest.Vectors(t, name) {
			switch v.Op {
			case "XADD":
				entries++
				e := entry{id: "1-0", values: make(map[string]any)}
				for k, f := range v.Fields {
					e.values[k] = f
				}
				m, data, err := e.decode("/")
				if err != nil {
					t.Fatalf("%s: %v", v.Step, err)
				}
				p, err := d.Encode(clustertest.Outgoing(t, m))
				if err != nil {
					t.Fatal(err)
				}
				if m.Opts.Flags.Has(adapter.Volatile) && d.recovery {
					if p.Dest != d.channel {
						t.Errorf("%s: a volatile packet goes to %q", v.Step, p.Dest)
					}
					continue
				}
				p.Type = m.Type
				x := d.o.entry(streamOf("/", &d.o), m, &p)
				if !sameFields(t, x.Values.([]any), v.Fields) || x.Stream != "socket.io" || x.MaxLen != 10000 || !x.Approx {
					t.Errorf("%s: entry %v, want %v", v.Step, x, v.Fields)
				}
				base64ed := v.Fields["data"][0] != '{'
				if p.Dest != "" || base64ed != (p.Format == cluster.Msgpack) || !reflect.DeepEqual(clustertest.Tree(t, p.Data), clustertest.Tree(t, data)) {
					t.Errorf("%s: encoded %q for %q", v.Step, p.Data, p.Dest)
				}
			case "PUBLISH":
				messages++
				p := clustertest.Tree(t, v.Payload(t))
				m, err := cluster.Decode(v.Payload(t))
				if err != nil {
					t.Fatal(err)
				}
				out := clustertest.Outgoing(t, m)
				out.To = strings.TrimSuffix(strings.TrimPrefix(v.Channel, d.channel), "#")
				got, err := d.Encode(out)
				if err != nil {
					t.Fatal(err)
				}
				if got.Dest != v.Channel || got.Format != cluster.Msgpack || !reflect.DeepEqual(clustertest.Tree(t, got.Data), p) {
					t.Errorf("%s: encoded %q for %q, want it for %q", v.Step, got.Data, got.Dest, v.Channel)
				}
			}
		}
		if entries < 8 || messages < 8 {
			t.Errorf("%s: %d entries, %d messages", name, entries, messages)
		}
	}
}

// sameFields compares the fields of two entries, data by content.
func sameFields(t *testing.T, got []any, want map[string]string) bool {
	t.Helper()
	e := func(values map[string]any) any {
		_, data, err := (&entry{values: values}).decode("/")
		if err != nil {
			t.Fatal(err)
		}
		return clustertest.Tree(t, data)
	}
	a, b := make(map[string]any), make(map[string]any)
	for i := 0; i < len(got); i += 2 {
		a[got[i].(string)] = got[i+1]
	}
	for k, v := range want {
		b[k] = v
	}
	if !reflect.DeepEqual(e(a), e(b)) {
		return false
	}
	delete(a, "data")
	delete(b, "data")
	return reflect.DeepEqual(a, b)
}

// Namespaces are spread over streams as the reference spreads them.
func TestStreamOfNamespace(t *testing.T) {
	for _, c := range []struct {
		nsp   string
		count int
		want  string
	}{
		{"/", 1, "s"},
		{"/", 3, "s-2"},         // 47
		{"/foo/bar", 2, "s--1"}, // negative in JavaScript, too
		{"/chat", 4, "s-3"},
		{"/é𝄞", 5, "s-4"},
	} {
		o := StreamsOptions{StreamName: "s", StreamCount: c.count}
		if got := streamOf(c.nsp, &o); got != c.want {
			t.Errorf("%s of %d: %s, want %s", c.nsp, c.count, got, c.want)
		}
	}
}

func TestCompareOffsets(t *testing.T) {
	d := new(streams)
	inOrder := []string{"0-0", "0-1", "5-0", "5-9", "5-10", "1700000000001-0", "18446744073709551615-18446744073709551615"}
	for i, a := range inOrder {
		for k, b := range inOrder {
			order, ok := d.Compare(a, b)
			if want := reflect.ValueOf(i).Int() - int64(k); !ok || (order < 0) != (want < 0) || (order > 0) != (want > 0) {
				t.Errorf("%s and %s: %d, %t", a, b, order, ok)
			}
		}
	}
	for _, bad := range []string{"", "-", "1", "1-", "-1", "a-1", "1-a", "+1-0", "1-0-0", "18446744073709551616-0", " 1-0", "1-0\n", "1_0-0"} {
		if _, ok := d.Compare(bad, "1-0"); ok {
			t.Errorf("%q is an offset", bad)
		}
	}
}

// With OnlyPlaintext binary is an error, and what has none passes.
func TestOnlyPlaintext(t *testing.T) {
	d := &streams{channel: "c", o: StreamsOptions{OnlyPlaintext: true}}
	m := &cluster.Message{Type: cluster.Broadcast, Event: "e", Args: []any{[]byte{1}}}
	if _, err := d.Encode(m); err != cluster.ErrBinary {
		t.Errorf("got %v", err)
	}
	m.Args = []any{"text"}
	if p, err := d.Encode(m); err != nil || p.Format != cluster.JSON {
		t.Errorf("got %v, %v", p, err)
	}
}

// The session a Node server has stored is one for Go, and the other way around.
func TestSessionVector(t *testing.T) {
	text, err := os.ReadFile("../cluster/testdata/vectors/redis-streams-recovery.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for l := range strings.Lines(string(text)) {
		var v struct {
			Key, Value string
			Decoded    struct {
				SID, PID string
				Rooms    []string
				Data     map[string]any
			}
		}
		if !strings.Contains(l, `"op":"SET"`) {
			continue
		}
		n++
		if err := json.Unmarshal([]byte(l), &v); err != nil {
			t.Fatal(err)
		}
		p, err := base64.StdEncoding.DecodeString(v.Value)
		if err != nil {
			t.Fatal(err)
		}
		store := &sessionStore{p: p}
		l := cluster.NewLogged(noHost{}, store, cluster.Config{})
		if err := l.EnableRecovery(nil, adapter.RecoveryConfig{}); err != nil {
			t.Fatal(err)
		}
		s, err := l.RestoreSession(context.Background(), v.Decoded.PID)
		if err != nil {
			t.Fatal(err)
		}
		if want := (&adapter.Session{SID: v.Decoded.SID, PID: v.Decoded.PID, Rooms: v.Decoded.Rooms, Data: v.Decoded.Data}); !reflect.DeepEqual(s, want) {
			t.Errorf("got %+v, want %+v", s, want)
		}
		if d := new(streams); v.Key != func() string { d.o.setDefaults(); return d.sessionKey(s.PID) }() {
			t.Errorf("key %s", v.Key)
		}
		s.Since, s.State = "1-0", []byte{1}
		if err := l.PersistSession(context.Background(), s); err != nil {
			t.Fatal(err)
		}
		stored, want := clustertest.Tree(t, store.p).(map[string]any), clustertest.Tree(t, p).(map[string]any)
		delete(stored, "since")
		delete(stored, "epio")
		if !reflect.DeepEqual(stored, want) {
			t.Errorf("stored %v, want %v", stored, want)
		}
	}
	if n < 2 {
		t.Errorf("%d sessions", n)
	}
}
