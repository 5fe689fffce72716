package adaptertest

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/epio-go/epio/adapter"
)

// wantReceivers broadcasts from each server in turn and compares who got it, each
// once.
func (cl *cluster) wantReceivers(o adapter.Opts, want ...string) {
	cl.t.Helper()
	slices.Sort(want)
	cl.synced()
	for n, s := range cl.servers {
		cl.must(s.Broadcast(&packet{event: "who", args: []any{n}}, o))
		cl.settle(n)
		if got := cl.takers(); !slices.Equal(got, want) {
			cl.t.Errorf("broadcast from server %d with rooms %q, except %q, sender %q: reached %q, want %q",
				n, o.Rooms, o.Except, o.ExceptID, got, want)
		}
	}
}

// takers returns the sorted ids of the sockets that got something, once per
// packet, and forgets it.
func (cl *cluster) takers() []string {
	var ids []string
	for _, s := range cl.sockets {
		for range s.take() {
			ids = append(ids, s.id)
		}
	}
	slices.Sort(ids)
	return ids
}

func broadcastSelects(t *testing.T, cl *cluster) {
	cl.socket(0, "a", "r", "s")
	cl.socket(1, "b", "r")
	cl.socket(2, "c", "s")
	cl.socket(0, "d")
	cl.socket(1, "e", "r", "t", "odd *?[]#/é\x00 room")
	for _, c := range []struct {
		rooms, except []string
		sender        string
		want          string
	}{
		{nil, nil, "", "a b c d e"},
		{[]string{"r"}, nil, "", "a b e"},
		{[]string{"r", "s"}, nil, "", "a b c e"},
		{[]string{"r", "r", "t"}, nil, "", "a b e"},
		{[]string{"nowhere"}, nil, "", ""},
		{[]string{"nowhere", "t"}, nil, "", "e"},
		{nil, []string{"r"}, "", "c d"},
		{nil, []string{"nowhere"}, "", "a b c d e"},
		{[]string{"r"}, []string{"s", "t"}, "", "b"},
		{[]string{"r"}, []string{"r"}, "", ""},
		{[]string{"r"}, nil, "b", "a e"},
		{nil, nil, "c", "a b d e"},
		{nil, []string{"r"}, "d", "c"},
		{[]string{"odd *?[]#/é\x00 room"}, nil, "", "e"},
		{[]string{"odd"}, nil, "", ""},
	} {
		o := adapter.Opts{Rooms: c.rooms, Except: c.except, ExceptID: c.sender}
		cl.wantReceivers(o, strings.Fields(c.want)...)
	}
}

func broadcastKeepsOrder(t *testing.T, cl *cluster) {
	const n = 200
	for i := range 2 * len(cl.servers) {
		cl.socket(i, fmt.Sprint("s", i), "r")
	}
	cl.synced()
	for from, s := range cl.servers {
		for i := range n {
			o := adapter.Opts{}
			switch i % 3 {
			case 1:
				o.Rooms = []string{"r"}
			case 2:
				o.Rooms = []string{"r", "nowhere"}
			}
			cl.must(s.Broadcast(&packet{event: "n", args: []any{i}}, o))
		}
		cl.settle(from)
		for _, so := range cl.sockets {
			got := so.take()
			if len(got) != n {
				t.Errorf("%s got %d packets from server %d, want %d", so.id, len(got), from, n)
			}
			for i, r := range got {
				if number(r.args[0]) != i {
					t.Fatalf("%s got %v at position %d", so.id, r.args[0], i)
				}
			}
		}
	}
}

func broadcastCarriesValues(t *testing.T, cl *cluster) {
	for i := range cl.servers {
		cl.socket(i, fmt.Sprint("s", i))
	}
	want := []any{
		nil, true, false, 0, -1, 1 << 40, 0.5, "", "text \" \\ é 𝄞 \u2028",
		[]byte{},
		[]byte{0, 1, 0xff},
		[]any{},
		[]any{1, []any{"two"}, map[string]any{"three": []byte("3")}},
		map[string]any{},
		map[string]any{"k": nil, "nested": map[string]any{"a": []any{1.25}}},
	}
	for n, s := range cl.servers {
		cl.must(s.Broadcast(&packet{event: "values", args: want}, adapter.Opts{}))
		cl.settle(n)
		for _, so := range cl.sockets {
			for _, r := range so.take() {
				if r.event != "values" || !same(r.args, want) {
					t.Errorf("%s got %s%#v, want values%#v", so.id, r.event, r.args, want)
				}
			}
		}
		cl.must(s.Broadcast(&packet{event: "no arguments"}, adapter.Opts{}))
		cl.settle(n)
		for _, so := range cl.sockets {
			if got := so.take(); len(got) != 1 || got[0].event != "no arguments" || len(got[0].args) != 0 {
				t.Errorf("%s got %v", so.id, got)
			}
		}
	}
}

// same compares values as JavaScript would see them: numbers by value, slices and
// maps by content.
func same(a, b any) bool {
	switch b := b.(type) {
	case []any:
		a, ok := a.([]any)
		return ok && slices.EqualFunc(a, b, same)
	case map[string]any:
		a, ok := a.(map[string]any)
		if !ok || len(a) != len(b) {
			return false
		}
		for k, v := range b {
			w, ok := a[k]
			if !ok || !same(w, v) {
				return false
			}
		}
		return true
	case []byte:
		a, ok := a.([]byte)
		return ok && bytes.Equal(a, b)
	case int:
		return number(a) == b
	case float64:
		if f, ok := a.(float32); ok {
			return float64(f) == b
		}
	}
	return a == b
}

func localBroadcast(t *testing.T, cl *cluster) {
	for i := range cl.servers {
		cl.socket(i, fmt.Sprint("s", i), "r")
	}
	for n, s := range cl.servers {
		for _, rooms := range [][]string{nil, {"r"}} {
			cl.must(s.Broadcast(&packet{event: "here"}, adapter.Opts{Rooms: rooms, Flags: adapter.Local}))
			cl.settle(n)
			if got, want := cl.takers(), []string{fmt.Sprint("s", n)}; !slices.Equal(got, want) {
				t.Errorf("local broadcast on server %d to %q reached %q, want %q", n, rooms, got, want)
			}
		}
	}
}

// The room named like a socket is a room, wherever its owner is.
func ownRooms(t *testing.T, cl *cluster) {
	a := cl.socket(0, "a")
	b := cl.socket(1, "b")
	cl.socket(2, "c")
	toA := adapter.Opts{Rooms: []string{"a"}}
	cl.wantReceivers(toA, "a")
	cl.wantReceivers(adapter.Opts{Rooms: []string{"a", "b"}}, "a", "b")
	cl.wantReceivers(adapter.Opts{Except: []string{"a"}}, "b", "c")

	cl.must(b.server.Index().Join(&b.Member, "a"))
	cl.wantReceivers(toA, "a", "b")
	cl.wantReceivers(adapter.Opts{ExceptID: "a"}, "c")

	a.server.Index().Leave(&a.Member, "a")
	cl.wantReceivers(toA, "b")
	b.server.Index().Leave(&b.Member, "a")
	cl.wantReceivers(toA)
	cl.must(a.server.Index().Join(&a.Member, "a"))
	cl.wantReceivers(toA, "a")
}

// Sockets in a middleware may be in rooms and receive nothing, from no server.
func notConnectedYet(t *testing.T, cl *cluster) {
	for i := range cl.servers {
		cl.socket(i, fmt.Sprint("s", i))
	}
	late := cl.servers[0].attach("late")
	cl.must(cl.servers[0].Index().Join(&late.Member, "r"))
	inRoom := adapter.Opts{Rooms: []string{"r", "late"}}
	for n, s := range cl.servers {
		cl.must(s.Broadcast(&packet{event: "early"}, inRoom))
		cl.must(s.Broadcast(&packet{event: "early"}, adapter.Opts{Except: []string{"s0"}}))
		cl.settle(n)
	}
	infos, err := cl.servers[0].adapter().FetchSockets(cl.context(), inRoom)
	cl.must(err)
	if got := late.take(); len(got) > 0 || len(infos) > 0 {
		t.Errorf("got %v, found %v before Connect", got, infos)
	}
	cl.takers()
	cl.must(cl.servers[0].Index().Connect(&late.Member, nil))
	cl.sockets = append(cl.sockets, late)
	cl.wantReceivers(inRoom, "late")
}

// flushes counts.
type flushes struct{ n int }

func (f *flushes) Flush() { f.n++ }

func batchIsFlushed(t *testing.T, cl *cluster) {
	s := cl.socket(0, "a")
	for _, o := range []adapter.Opts{{}, {Rooms: []string{"a"}}, {Rooms: []string{"nowhere"}}, {Flags: adapter.Local}} {
		f := new(flushes)
		o.Batch = f
		cl.must(cl.servers[0].Broadcast(&packet{event: "batched"}, o))
		if f.n != 1 {
			t.Errorf("%d flushes, want 1", f.n)
		}
		s.mu.Lock()
		for _, b := range s.batches {
			// A packet that comes back from a log has lost its sender's batch.
			if b != adapter.Batch(f) && (b != nil || !cl.logs) {
				t.Errorf("Deliver got batch %v", b)
			}
		}
		s.batches = nil
		s.mu.Unlock()
	}
}
