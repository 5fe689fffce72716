package nats

import (
	"bytes"
	"testing"

	"github.com/epio-go/epio/adapter/cluster"
	"github.com/epio-go/epio/adapter/cluster/clustertest"
)

// Entries of the log, whole and in parts: refused, or the same when they are written again.
// Offsets are read back, too.
func FuzzLogEntry(f *testing.F) {
	for _, m := range []*cluster.Message{
		{Type: cluster.Broadcast, Event: "e", Args: []any{1, "x", []byte{1}}},
		{Type: cluster.SocketsJoin, Rooms: []string{"r"}},
		{Type: cluster.DisconnectSockets, Close: true},
	} {
		data, err := m.EncodeDataAs(cluster.Msgpack)
		if err != nil {
			f.Fatal(err)
		}
		p := append(append(appendUID(nil, entry, "u"), byte(m.Type)), data...)
		f.Add(p, "1.2")
		_ = split("u", 1, p, 1<<10, func(p []byte) error { f.Add(bytes.Clone(p), offset{1, 2}.String()); return nil })
	}
	f.Add([]byte{entry, 255, 'u'}, "")
	f.Add([]byte{entry, 1, 'u'}, "-1")
	f.Add([]byte{part, 1, 'u', 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, entry}, "0")
	f.Fuzz(func(t *testing.T, p []byte, at string) {
		if o, ok := parseOffset(at); ok {
			if again, ok := parseOffset(o.String()); !ok || again != o {
				t.Fatalf("%q is %v, and that, written, %v", at, o, again)
			}
		}
		var ps parts
		m, data, err := decodeEntry(&ps, "/", bytes.Clone(p))
		if m == nil || err != nil {
			if m != nil {
				t.Fatal("both")
			}
			return
		}
		if !isToken(m.UID) || m.Namespace != "/" {
			t.Fatalf("%+v", m)
		}
		out, err := clustertest.Values(m)
		if err != nil {
			return
		}
		data2, err := out.EncodeDataAs(cluster.Msgpack)
		if err != nil {
			t.Fatalf("%q: %v", data, err)
		}
		frame := append(append(appendUID(nil, entry, m.UID), byte(m.Type)), data2...)
		back, _, err := decodeEntry(nil, "/", frame)
		if err != nil {
			t.Fatalf("%q became %q: %v", p, frame, err)
		}
		if got, want := clustertest.Says(t, back), clustertest.Says(t, m); got != want {
			t.Fatalf("%q says\n%s\nwritten again, as %q,\n%s", p, want, frame, got)
		}
	})
}
