package adaptertest

import (
	"fmt"
	"slices"
	"testing"

	"github.com/epio-go/epio/adapter"
)

// wantSockets compares what every server fetches, the rooms included.
func (cl *cluster) wantSockets(o adapter.Opts, want ...string) {
	cl.t.Helper()
	slices.Sort(want)
	for n := range cl.servers {
		if got := cl.fetch(n, o); !slices.Equal(got, want) {
			cl.t.Errorf("server %d fetched %q, want %q", n, got, want)
		}
	}
}

// fetch returns the sockets in the form "id[own other]", sorted.
func (cl *cluster) fetch(n int, o adapter.Opts) []string {
	cl.t.Helper()
	infos, err := cl.servers[n].adapter().FetchSockets(cl.context(), o)
	cl.must(err)
	var got []string
	for _, in := range infos {
		slices.Sort(in.Rooms)
		got = append(got, fmt.Sprint(in.ID, in.Rooms))
		so, ok := in.Local.(*socket)
		switch i := slices.IndexFunc(cl.sockets, func(s *socket) bool { return s.id == in.ID }); {
		case i < 0:
			cl.t.Errorf("unknown socket %q", in.ID)
		case cl.sockets[i].server.n == n:
			if so != cl.sockets[i] {
				cl.t.Errorf("server %d: %s is not the socket itself", n, in.ID)
			}
		case ok:
			cl.t.Errorf("server %d: remote %s is local", n, in.ID)
		default:
			cl.wantInfo(in, cl.sockets[i].Info())
		}
	}
	slices.Sort(got)
	return got
}

// wantInfo compares the description of a remote socket.
func (cl *cluster) wantInfo(got, want adapter.SocketInfo) {
	cl.t.Helper()
	if !same(got.Data, want.Data) {
		cl.t.Errorf("%s: data %v, want %v", got.ID, got.Data, want.Data)
	}
	if got.Handshake == nil {
		cl.t.Errorf("%s: no handshake", got.ID)
		return
	}
	g, w := *got.Handshake, *want.Handshake
	if !same(g.Headers, w.Headers) || !same(g.Query, w.Query) || !same(g.Auth, w.Auth) ||
		g.Time != w.Time || g.Address != w.Address || g.XDomain != w.XDomain ||
		g.Secure != w.Secure || g.Issued != w.Issued || g.URL != w.URL {
		cl.t.Errorf("%s: handshake %+v, want %+v", got.ID, g, w)
	}
}

func fetchSockets(t *testing.T, cl *cluster) {
	cl.socket(0, "a", "r", "s")
	cl.socket(1, "b", "r")
	cl.socket(2, "c")
	cl.wantSockets(adapter.Opts{}, "a[a r s]", "b[b r]", "c[c]")
	cl.wantSockets(adapter.Opts{Rooms: []string{"r"}}, "a[a r s]", "b[b r]")
	cl.wantSockets(adapter.Opts{Rooms: []string{"b"}}, "b[b r]")
	cl.wantSockets(adapter.Opts{Except: []string{"r"}, ExceptID: "c"})
	cl.wantSockets(adapter.Opts{Rooms: []string{"nowhere"}})
	for n := range cl.servers {
		for _, in := range cl.fetch(n, adapter.Opts{Flags: adapter.Local}) {
			id := in[:1]
			i := slices.IndexFunc(cl.sockets, func(s *socket) bool { return s.id == id })
			if cl.sockets[i].server.n != n {
				t.Errorf("server %d: local fetch found %s", n, in)
			}
		}
	}
}

// A socket whose disconnect has begun is still in its rooms, for its handlers to see, and nobody else's any more.
func leavingSockets(t *testing.T, cl *cluster) {
	cl.socket(0, "a", "r")
	leaving := cl.socket(1, "b", "r")
	cl.socket(2, "c")
	cl.synced()
	leaving.leaving.Store(true)
	cl.wantSockets(adapter.Opts{}, "a[a r]", "c[c]")
	cl.wantSockets(adapter.Opts{Rooms: []string{"r"}}, "a[a r]")
	cl.wantSockets(adapter.Opts{Rooms: []string{"b"}})
	if s := leaving.server.Index().Lookup("b"); s != nil {
		t.Errorf("%s is found by its id", s.ID())
	}
	for _, s := range cl.servers {
		cl.must(s.adapter().DisconnectSockets(adapter.Opts{Rooms: []string{"b"}}, true))
		cl.must(s.adapter().DelSockets(adapter.Opts{}, []string{"r"}))
	}
	cl.eventuallyIn("r")
	if rooms := leaving.server.Index().Rooms(&leaving.Member); !slices.Contains(rooms, "r") {
		t.Errorf("it is in %q", rooms)
	}
	if leaving.gone() {
		t.Error("it was disconnected once more")
	}
}

func addAndDelSockets(t *testing.T, cl *cluster) {
	cl.socket(0, "a", "r")
	cl.socket(1, "b", "r")
	cl.socket(2, "c")
	cl.synced()
	for n, s := range cl.servers {
		room := fmt.Sprint("new", n)
		cl.must(s.adapter().AddSockets(adapter.Opts{Rooms: []string{"r"}, ExceptID: "nobody"}, []string{room, "both"}))
		cl.eventuallyIn("both", "a", "b")
		cl.eventuallyIn(room, "a", "b")
		cl.wantReceivers(adapter.Opts{Rooms: []string{room}}, "a", "b")
		cl.must(s.adapter().DelSockets(adapter.Opts{Rooms: []string{"both"}, Except: []string{"a"}}, []string{room, "nowhere", "both"}))
		cl.eventuallyIn("both", "a")
		cl.eventuallyIn(room, "a")
		cl.wantReceivers(adapter.Opts{Rooms: []string{room}}, "a")

		var local []string
		for _, so := range cl.sockets {
			if so.server == s {
				local = append(local, so.id)
			}
		}
		cl.must(s.adapter().AddSockets(adapter.Opts{Flags: adapter.Local}, []string{"here"}))
		cl.eventuallyIn("here", local...)
		cl.wantReceivers(adapter.Opts{Rooms: []string{"here"}}, local...)
		cl.must(s.adapter().DelSockets(adapter.Opts{Flags: adapter.Local}, []string{"here"}))
		cl.eventuallyIn("here")
		cl.wantReceivers(adapter.Opts{Rooms: []string{"here"}})
	}
}

// eventuallyIn waits until exactly these sockets are in the room, on all servers
// together. It asks their indexes: the order between operations and broadcasts is
// not part of the contract.
func (cl *cluster) eventuallyIn(room string, want ...string) {
	cl.t.Helper()
	cl.eventually(fmt.Sprintf("%q in room %s", want, room), func() bool {
		var got []string
		for _, s := range cl.servers {
			for r := range s.Index().Sockets(adapter.Opts{Rooms: []string{room}}) {
				got = append(got, r.ID())
			}
		}
		slices.Sort(got)
		slices.Sort(want)
		return slices.Equal(got, want)
	})
}

func disconnectSockets(t *testing.T, cl *cluster) {
	a := cl.socket(0, "a", "r")
	b := cl.socket(1, "b", "r")
	c := cl.socket(2, "c", "s")
	d := cl.socket(1, "d")
	cl.synced()
	s := cl.servers[len(cl.servers)-1]
	cl.must(s.adapter().DisconnectSockets(adapter.Opts{Rooms: []string{"nowhere"}}, true))
	cl.must(s.adapter().DisconnectSockets(adapter.Opts{Rooms: []string{"r"}}, true))
	cl.must(s.adapter().DisconnectSockets(adapter.Opts{Rooms: []string{"s"}}, false))
	cl.eventually("three sockets disconnected", func() bool { return a.gone() && b.gone() && c.gone() })
	cl.settle(s.n)
	if a.how() != "connection" || b.how() != "connection" || c.how() != "namespace" || d.gone() {
		t.Errorf("a: %q, b: %q, c: %q, d: %q", a.how(), b.how(), c.how(), d.how())
	}
	cl.wantSockets(adapter.Opts{}, "d[d]")
}

func allRooms(t *testing.T, cl *cluster) {
	cl.socket(0, "a", "r")
	cl.socket(1, "b", "r", "s")
	cl.socket(2, "c", "t")
	for n, s := range cl.servers {
		got, err := s.adapter().AllRooms(cl.context())
		cl.must(err)
		slices.Sort(got)
		if want := []string{"a", "b", "c", "r", "s", "t"}; !slices.Equal(got, want) {
			t.Errorf("server %d: rooms %q, want %q", n, got, want)
		}
	}
}
