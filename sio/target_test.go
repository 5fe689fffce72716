package sio

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/epio-go/epio/adapter"
)

// TestTargetsAreValues builds on one target in two ways: neither may see the
// other's rooms.
func TestTargetsAreValues(t *testing.T) {
	for n := range 8 {
		base := Target{}
		for i := range n {
			base = base.To(fmt.Sprint(i)).Except(fmt.Sprint("x", i))
		}
		a := base.To("a").Except("xa").Volatile()
		b := base.To("b", "c").Except("xb").Local().Compress(false).Timeout(time.Second)
		want := base.opts()
		check := func(name string, got, want []string) {
			t.Helper()
			if !slices.Equal(got, want) {
				t.Errorf("after %d rooms: %s is %q, want %q", n, name, got, want)
			}
		}
		check("a", a.opts().Rooms, append(slices.Clone(want.Rooms), "a"))
		check("b", b.opts().Rooms, append(slices.Clone(want.Rooms), "b", "c"))
		check("except a", a.opts().Except, append(slices.Clone(want.Except), "xa"))
		check("except b", b.opts().Except, append(slices.Clone(want.Except), "xb"))
		check("base", base.opts().Rooms, want.Rooms)
		if a.flags != adapter.Volatile || b.flags != adapter.Local|adapter.NoCompress || base.flags != 0 || b.timeout != time.Second || a.timeout != 0 {
			t.Errorf("flags %b %b %b", a.flags, b.flags, base.flags)
		}
		if c := b.Compress(true); c.flags != adapter.Local {
			t.Errorf("flags %b", c.flags)
		}
	}
}

func TestBuildingATargetAllocatesNothing(t *testing.T) {
	srv, err := New(Config{})
	must(t, err)
	defer srv.Close()
	s := &Socket{id: "01234567890123456789", ns: srv.root}
	var sink Target
	if n := testing.AllocsPerRun(100, func() {
		sink = srv.To("a", "b").In("c").To("d").Except("e", "f").Volatile().Local().Timeout(1)
		sink = s.To("a").Except("b").Compress(false)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	_ = sink
}

func TestSelectionsJoinLeaveAndDisconnect(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, Config{})
		gone := make(chan string, 10)
		r.srv.OnDisconnect(func(s *Socket, reason Reason) { gone <- fmt.Sprint(s.Data(), " ", string(reason)) })
		peers, s := r.clients(4)
		for i, s := range s {
			s.SetData(i)
		}
		wantIn := func(room string, want ...int) {
			t.Helper()
			var got []int
			for o := range r.srv.To(room).Sockets() {
				got = append(got, o.Data().(int))
			}
			if slices.Sort(got); !slices.Equal(got, want) {
				t.Errorf("in %s: %v, want %v", room, got, want)
			}
		}
		must(t, r.srv.To(s[0].ID(), s[1].ID(), s[2].ID()).Join("a", "b"))
		wantIn("a", 0, 1, 2)
		wantIn("b", 0, 1, 2)
		must(t, s[0].To("a").Leave("b"))
		wantIn("b", 0)
		wantIn("a", 0, 1, 2)
		must(t, r.srv.All().Join("all"))
		wantIn("all", 0, 1, 2, 3)
		must(t, r.srv.To("a").Except("b").Disconnect(false))
		peers[1].want("41")
		peers[2].want("41")
		got := []string{receive(t, gone), receive(t, gone)}
		if slices.Sort(got); !slices.Equal(got, []string{"1 server namespace disconnect", "2 server namespace disconnect"}) {
			t.Errorf("got %q", got)
		}
		synctest.Wait()
		wantIn("all", 0, 3)
		peers[1].join("/") // the connection stayed
		must(t, r.srv.To("b").Disconnect(true))
		peers[0].want("41")
		peers[0].wantEnd()
		wantFrom(t, gone, "0 server namespace disconnect")
		peers[3].wantNothing()
	})
}

func TestLoopsOverSocketsMayDoAnything(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, Config{})
		_, s := r.clients(10)
		n := 0
		for o := range r.srv.Sockets() {
			must(t, o.Join("seen"))
			o.Disconnect(n%2 == 0)
			r.srv.Emit("x")
			if n++; n == 6 {
				break
			}
		}
		synctest.Wait()
		left := 0
		for range r.srv.Sockets() {
			left++
		}
		if n != 6 || left != len(s)-6 {
			t.Errorf("%d left after %d disconnects", left, n)
		}
	})
}

// Who has disconnected is not found any more, on no server, though its disconnect handlers still see its rooms: they find out
// whether its user has another connection.
func TestDepartedAreNotFound(t *testing.T) {
	bubble(t, func(t *testing.T) {
		ctx := context.Background()
		servers := cluster(t, 2, Config{})
		left, goOn := make(chan []string, len(servers)+2), make(chan bool)
		defer close(goOn)
		for _, r := range servers {
			r.srv.OnDisconnect(func(s *Socket, _ Reason) {
				left <- s.Rooms()
				<-goOn
			})
		}
		const user = "user 5"
		p, s := servers[0].join()
		_, other := servers[1].join()
		must(t, s.Join(user))
		must(t, other.Join(user))
		for name, disconnect := range map[string]func(){
			"by the server": func() { s.Disconnect(false); p.want("41") },
			"by the client": func() { p.send("41") },
		} {
			disconnect()
			if rooms := <-left; len(rooms) != 2 || !slices.Contains(rooms, user) {
				t.Errorf("%s: handlers see the rooms %q", name, rooms)
			}
			for i, r := range servers {
				for what, target := range map[string]Target{"all": r.srv.All(), "user": r.srv.To(user), "id": r.srv.To(s.ID())} {
					all, err := target.FetchSockets(ctx)
					if err != nil || len(all) > 1 || (what == "id") == (len(all) == 1) || len(all) == 1 && all[0].ID() != other.ID() {
						t.Errorf("%s: server %d finds %v, %v by %s", name, i, all, err, what)
					}
					rooms, err := target.Rooms(ctx)
					if err != nil || what != "all" && slices.Contains(rooms, s.ID()) {
						t.Errorf("%s: server %d finds the rooms %q, %v by %s", name, i, rooms, err, what)
					}
					for local := range target.Sockets() {
						if local == s {
							t.Errorf("%s: it is among the sockets, by %s", name, what)
						}
					}
				}
			}
			if servers[0].srv.Socket(s.ID()) != nil {
				t.Errorf("%s: found by its id", name)
			}
			goOn <- true
			synctest.Wait()
			s = p.join("/")
			must(t, s.Join(user))
		}
	})
}

func TestFetchSockets(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, Config{})
		p := r.websocketWith("&q=1", "")
		s := p.join("/", `{"user":"u"}`)
		r.join()
		s.SetData(map[string]int{"n": 1})
		must(t, s.Join("room"))
		all, err := r.srv.All().FetchSockets(context.Background())
		if err != nil || len(all) != 2 {
			t.Fatalf("%d sockets, %v", len(all), err)
		}
		some, err := r.srv.To("room").FetchSockets(context.Background())
		if err != nil || len(some) != 1 {
			t.Fatalf("%d sockets, %v", len(some), err)
		}
		i := some[0]
		got := i.Rooms()
		slices.Sort(got)
		rooms := []string{"room", s.ID()}
		slices.Sort(rooms)
		h := i.Handshake()
		if i.ID() != s.ID() || !slices.Equal(got, rooms) || fmt.Sprintf("%v %v %v", i.Data(), h.Auth, h.Query["q"]) != "map[n:1] map[user:u] 1" {
			t.Errorf("got %+v", i)
		}
		if i.Socket() != s {
			t.Error("a local socket should come as itself")
		}
	})
}
