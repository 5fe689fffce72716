package redis

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strconv"
	"testing"

	"github.com/epio-go/epio/adapter"
	"github.com/epio-go/epio/adapter/cluster"
	"github.com/epio-go/epio/adapter/cluster/clustertest"
)

// offline is a classic driver without Redis: what it publishes goes nowhere.
type offline struct{ *classic }

func (d offline) Open(_ context.Context, a *cluster.Adapter) error {
	d.attach(a)
	return nil
}

func (d offline) Publish(_ context.Context, ps []cluster.Parcel) (settled, lost int, err error) {
	return len(ps), 0, nil
}

func (d offline) ServerCount(context.Context) (int, error) { return 2, nil }

func (d offline) Close(context.Context) error { return nil }

// state is what messages of other servers can change.
func state(x *adapter.Index, sockets ...*clustertest.Socket) string {
	var b []byte
	for _, s := range sockets {
		rooms := x.SocketRooms(s.ID())
		slices.Sort(rooms)
		b = fmt.Appendf(b, "%s %q %v\n", s.ID(), rooms, s.Disconnected())
	}
	return string(b)
}

// Messages of the classic adapter, whoever has sent them: a server is still there afterwards,
// and what it could not read has changed nothing; what is read is the same when it is sent on.
func FuzzClassic(f *testing.F) {
	const (
		broadcast = iota
		request
		response
		kinds
	)
	for _, v := range clustertest.Vectors(f, "redis-classic") {
		if v.Op != "PUBLISH" {
			continue
		}
		p := v.Payload(f)
		for kind := range uint8(kinds) {
			f.Add(kind, p)
		}
	}
	// The form of older versions.
	f.Add(uint8(request), []byte(`{"uid":"u","requestId":"x","type":0,"rooms":["r"]}`))
	f.Add(uint8(request), []byte(`{"uid":"u","requestId":"x","type":2,"sid":"a","room":"q"}`))
	f.Add(uint8(request), []byte(`{"uid":"u","requestId":"x","type":3,"sid":"a","room":"r"}`))
	f.Add(uint8(request), []byte(`{"uid":"u","requestId":"x","type":4,"sid":"a","close":true}`))
	f.Fuzz(func(t *testing.T, kind uint8, p []byte) {
		d := new(classic)
		a := cluster.New(&clustertest.Host{Name: "/"}, offline{d}, cluster.Config{UID: "me"})
		if err := a.Init(t.Context()); err != nil {
			t.Fatal(err)
		}
		defer a.Close(t.Context())
		first := clustertest.Connect(t, a, "a", "r")
		second := clustertest.Connect(t, a, "b", "s")
		before := state(a.Index(), first, second)

		kind %= kinds
		sent := bytes.Clone(p)
		err := [kinds]func([]byte) error{d.receiveBroadcast, d.receiveRequest, d.receiveResponse}[kind](p)
		if !bytes.Equal(p, sent) {
			t.Fatalf("%q was changed", sent)
		}
		if after := state(a.Index(), first, second); err != nil && after != before {
			t.Fatalf("%q is refused, %v, and has made\n%sof\n%s", p, err, after, before)
		}

		read := func(p []byte) (*cluster.Message, error) {
			if kind == broadcast {
				return decodeBroadcast(p)
			}
			r, err := membersOf(p)
			if err != nil {
				return nil, err
			}
			if kind == request {
				return r.request("/")
			}
			return r.response("/")
		}
		m, err := read(p)
		if m == nil || err != nil {
			return
		}
		out, err := clustertest.Values(m)
		if err != nil {
			return
		}
		again, err := encodeClassic(out, cluster.Msgpack)
		if err != nil {
			t.Fatalf("%q: %v", p, err)
		}
		back, err := read(again)
		if err != nil {
			t.Fatalf("%q became %q: %v", p, again, err)
		}
		if got, want := clustertest.Says(t, back), clustertest.Says(t, m); got != want {
			t.Fatalf("%q says\n%s\nsent again, as %q,\n%s", p, want, again, got)
		}
	})
}

// Entries of streams: they are read, not another namespace's, or refused; and what is read is
// the same when it is written again.
func FuzzStreamEntry(f *testing.F) {
	for _, file := range []string{"redis-streams", "redis-streams-recovery"} {
		for _, v := range clustertest.Vectors(f, file) {
			if v.Op == "XADD" {
				f.Add(v.Fields["uid"], v.Fields["nsp"], v.Fields["type"], v.Fields["data"])
			}
		}
	}
	f.Add("u", "/", "2", "")
	f.Add("u", "/", "256", "{}")
	f.Add("u", "/", "3", "gA==")
	f.Add("u", "/", "3", "g A=")
	f.Fuzz(func(t *testing.T, uid, nsp, typ, data string) {
		e := &entry{id: "1-1", values: map[string]any{"uid": uid, "nsp": nsp, "type": typ, "data": data}}
		m, raw, err := e.decode("/")
		if nsp != "/" && (m != nil || err != nil) {
			t.Fatalf("of the namespace %q: %v, %v", nsp, m, err)
		}
		if m == nil || err != nil {
			return
		}
		if m.UID == "" || m.Namespace != "/" || m.Type == 0 {
			t.Fatalf("%+v", m)
		}
		if m.Type > cluster.EvictResponse {
			return // of a later version
		}
		out, err := clustertest.Values(m)
		if err != nil {
			return
		}
		p := cluster.Parcel{Type: m.Type}
		if p.Data, p.Format, err = out.EncodeData(); err != nil {
			t.Fatalf("%q: %v", raw, err)
		}
		var o StreamsOptions
		fields := o.entry("s", out, &p).Values.([]any)
		again := &entry{id: "1-2", values: make(map[string]any)}
		for i := 0; i < len(fields); i += 2 {
			again.values[fields[i].(string)] = fields[i+1]
		}
		back, _, err := again.decode("/")
		if err != nil {
			t.Fatalf("%q became %q: %v", data, again.values, err)
		}
		if got, want := clustertest.Says(t, back), clustertest.Says(t, m); got != want {
			t.Fatalf("%q says\n%s\nwritten again, as %q,\n%s", data, want, again.values, got)
		}
	})
}

// Offsets, which clients send as well: what is one is ordered as numbers are.
func FuzzOffset(f *testing.F) {
	for _, s := range []string{"0-0", "1-1", "1700000000000-0", "18446744073709551615-18446744073709551615", "-1-0", "1", "1-", "+1-1", "01-1", "1-1 "} {
		f.Add(s, "5-5")
	}
	f.Fuzz(func(t *testing.T, s, other string) {
		d := new(streams)
		o, ok := parseOffset(s)
		if !ok {
			if _, ok := d.Compare(s, other); ok {
				t.Fatalf("%q is no offset, and can be compared", s)
			}
			return
		}
		text := strconv.FormatUint(o.ms, 10) + "-" + strconv.FormatUint(o.seq, 10)
		if p, ok := parseOffset(text); !ok || p != o {
			t.Fatalf("%q is %v, which as %q is %v", s, o, text, p)
		}
		if order, ok := d.Compare(s, text); order != 0 || !ok {
			t.Fatalf("%q and %q: %d, %v", s, text, order, ok)
		}
		there, ok1 := d.Compare(s, other)
		back, ok2 := d.Compare(other, s)
		if there != -back || ok1 != ok2 {
			t.Fatalf("%q to %q is %d, back %d", s, other, there, back)
		}
	})
}
