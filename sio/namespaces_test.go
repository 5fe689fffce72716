package sio

import (
	"context"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/epio-go/epio/adapter"
)

func TestDeleteOfANamespace(t *testing.T) {
	bubble(t, func(t *testing.T) {
		closed := make(chan string, 10)
		r := memory(t, Config{Adapter: func(h adapter.Host) adapter.Adapter {
			return &watchedAdapter{adapter.NewMemory(adapter.Config{}), func() { closed <- h.Namespace() }}
		}})
		chat := r.srv.Of("/chat")
		gone := make(chan Reason, 10)
		chat.OnDisconnect(func(s *Socket, r Reason) {
			if !slices.Contains(s.Rooms(), "room") {
				t.Error("rooms are gone before the disconnect handler")
			}
			gone <- r
		})
		p, q := r.websocket(), r.websocket()
		p.join("/")
		for _, peer := range []*peer{p, q} {
			must(t, peer.join("/chat").Join("room"))
		}
		must(t, chat.Delete())
		p.want("41/chat,")
		q.want("41/chat,")
		wantFrom(t, gone, ServerDisconnect, ServerDisconnect)
		wantFrom(t, closed, "/chat")
		must(t, chat.Delete()) // once more does nothing
		must(t, chat.Emit("nobody"))
		if r.srv.Namespace("/chat") != nil || r.srv.Of("/").Socket(p.rejoinRefused("/chat")) != nil {
			t.Error("the namespace is still there")
		}
		must(t, r.srv.Emit("alive")) // the connection goes on
		p.want(`42["alive"]`)
		q.wantNothing()

		again := r.srv.Of("chat")
		if again == chat {
			t.Error("Of returns a namespace that was deleted")
		}
		p.join("/chat")
		must(t, again.Emit("news"))
		p.want(`42/chat,["news"]`)
		wantNone(t, gone) // it starts without handlers
		wantNone(t, closed)
		wantErr(t, r.srv.Of("/").Delete(), ErrRootNamespace)
	})
}

// rejoinRefused tries to join a namespace that is not there.
func (p *peer) rejoinRefused(nsp string) string {
	p.t.Helper()
	p.send("40" + nsp)
	p.want("44" + nsp + `,{"message":"Invalid namespace"}`)
	return ""
}

// A handler of the namespace may delete it, and make it anew, without waiting for itself;
// so may the disconnect handlers.
func TestDeleteFromInside(t *testing.T) {
	bubble(t, func(t *testing.T) {
		closing, closed := make(chan struct{}), make(chan string, 10)
		r := memory(t, Config{Adapter: func(h adapter.Host) adapter.Adapter {
			if h.Namespace() != "/a" {
				return adapter.MemoryFactory(h)
			}
			return &watchedAdapter{adapter.NewMemory(adapter.Config{}), func() { <-closing; closed <- h.Namespace() }}
		}})
		a, b := r.srv.Of("/a"), r.srv.Of("/b")
		done := make(chan string, 10)
		On0(a, "delete", func(ctx context.Context, s *Socket) error {
			must(t, s.Namespace().Delete())
			wantErr(t, context.Cause(ctx), ServerDisconnect)
			done <- "handler"
			return nil
		})
		a.OnDisconnect(func(s *Socket, r Reason) {
			must(t, s.Namespace().Delete())
			must(t, b.Delete())
			done <- "disconnect " + string(r)
		})
		p := r.websocket()
		p.join("/a")
		p.join("/b")
		p.send(`42/a,["delete"]`)
		p.want("41/a,", "41/b,")
		wantFrom(t, done, "handler", "disconnect server namespace disconnect")
		close(closing)
		wantFrom(t, closed, "/a")
	})
}

// A handler may replace the namespace it runs in: the new one waits for the old one's adapter,
// but not for the old one's handlers.
func TestReplaceFromInside(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, Config{Adapter: func(h adapter.Host) adapter.Adapter {
			return &watchedAdapter{adapter.NewMemory(adapter.Config{}), func() {
				if h.Namespace() == "/a" {
					time.Sleep(time.Second)
				}
			}}
		}})
		took := make(chan time.Duration, 1)
		On0(r.srv.Of("/a"), "replace", func(_ context.Context, s *Socket) error {
			start := time.Now()
			must(t, s.Namespace().Delete())
			must(t, r.srv.Of("/a").Emit("nobody yet"))
			took <- time.Since(start)
			return nil
		})
		p := r.websocket()
		p.join("/a")
		p.send(`42/a,["replace"]`)
		p.want("41/a,")
		wantFrom(t, took, time.Second)
		p.join("/a")
	})
}

// Whoever is still in a middleware is refused when that is over.
func TestDeleteWhileSocketsConnect(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, Config{})
		ns := r.srv.Of("/slow")
		entered, open := make(chan struct{}, 1), make(chan struct{})
		ns.Use(func(context.Context, *Socket) error {
			entered <- struct{}{}
			<-open
			return nil
		})
		ns.OnConnect(func(context.Context, *Socket) error { t.Error("connected"); return nil })
		p := r.websocket()
		p.send("40/slow,")
		receive(t, entered)
		must(t, ns.Delete())
		close(open)
		p.want(`44/slow,{"message":"Invalid namespace"}`)
		must(t, ns.Emit("nobody"))
		p.wantNothing()
		r.srv.Of("/slow")
		p.join("/slow")
	})
}

func TestDeleteOfAParent(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, Config{})
		parent := r.srv.Of("/t/{id}")
		p, q := r.websocket(), r.websocket()
		p.join("/t/1")
		q.join("/t/2")
		must(t, parent.Delete())
		p.want("41/t/1,")
		q.want("41/t/2,")
		p.rejoinRefused("/t/1")
		other := r.srv.Of("/t/{id}")
		if other == parent {
			t.Error("Of returns a parent that was deleted")
		}
		s := p.join("/t/1")
		must(t, s.Namespace().Delete()) // a child alone
		p.want("41/t/1,")
		p.join("/t/1") // comes back, since the parent matches
	})
}

// The namespace goes while sockets come from all sides: each is answered, and none is left in
// a namespace that is not known.
func TestDeleteRacesWithConnect(t *testing.T) {
	r := loopback(t, Config{})
	const n, rounds = 4, 60
	var admitted atomic.Int32
	prepare := func() *Namespace {
		ns := r.srv.Of("/x")
		ns.OnConnect(func(context.Context, *Socket) error { admitted.Add(1); return nil })
		ns.OnDisconnect(func(*Socket, Reason) { admitted.Add(-1) })
		return ns
	}
	peers := make([]*peer, n)
	for i := range peers {
		peers[i] = r.websocket()
		peers[i].join("/")
	}
	for range rounds {
		ns := prepare()
		start := make(chan struct{})
		deleted := make(chan error, 1)
		go func() { <-start; deleted <- ns.Delete() }()
		for _, p := range peers {
			p.send("40/x,")
		}
		close(start)
		must(t, receive(t, deleted))
		for _, p := range peers {
			got := p.next().data
			if strings.HasPrefix(got, "40/x,") {
				got = p.next().data // told at once that it is over
				if got != "41/x," {
					t.Fatalf("got %q after CONNECT", got)
				}
			} else if got != `44/x,{"message":"Invalid namespace"}` {
				t.Fatalf("got %q", got)
			}
		}
		eventually(t, "all sockets have left", func() bool { return admitted.Load() == 0 })
	}
}

// slowClose is an adapter that takes a while to close. It notes what happens to the channel
// of its name, which adapters of the same name share.
type slowClose struct {
	*adapter.Memory
	name    string
	open    *atomic.Int32 // adapters of this name that are connected
	closing chan struct{}
}

func (a *slowClose) Init(ctx context.Context) error {
	a.open.Add(1)
	return a.Memory.Init(ctx)
}

func (a *slowClose) Close(ctx context.Context) error {
	select {
	case <-a.closing:
	case <-ctx.Done():
	}
	a.open.Add(-1)
	return ctx.Err()
}

// A child comes back while the adapter of its predecessor still closes: it waits, so that its
// subscriptions are not taken away by that.
func TestChildWaitsForItsPredecessorsAdapter(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var open atomic.Int32
		closing := make(chan struct{})
		r := memory(t, Config{Adapter: func(h adapter.Host) adapter.Adapter {
			if h.Namespace() != "/t/1" {
				return adapter.MemoryFactory(h)
			}
			return &slowClose{adapter.NewMemory(adapter.Config{}), h.Namespace(), &open, closing}
		}})
		r.srv.Of("/t/{id}")
		p, q := r.websocket(), r.websocket()
		p.join("/t/1")
		if open.Load() != 1 {
			t.Fatalf("%d adapters are connected", open.Load())
		}
		p.send("41/t/1")
		p.wantNothing()
		q.send("40/t/1,")
		q.wantNothing()
		if n := open.Load(); n != 1 {
			t.Errorf("%d adapters are connected while the first one closes, want 1", n)
		}
		q.join("/t/2") // others do not wait
		close(closing)
		q.joined("/t/1")
		if n := open.Load(); n != 1 {
			t.Errorf("%d adapters are connected, want the new one", n)
		}
	})
}

// An adapter that does not close in time holds nobody up for ever.
func TestAdapterThatClosesTooSlowly(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var open atomic.Int32
		r := memory(t, Config{Adapter: func(h adapter.Host) adapter.Adapter {
			if h.Namespace() == "/" {
				return adapter.MemoryFactory(h)
			}
			return &slowClose{adapter.NewMemory(adapter.Config{}), h.Namespace(), &open, nil}
		}})
		ns := r.srv.Of("/x")
		must(t, ns.Delete())
		start := time.Now()
		r.srv.Of("/x")
		if took := time.Since(start); took != adapterGoodbye {
			t.Errorf("waited %v, want %v", took, adapterGoodbye)
		}
		r.wantLog("adapter not closed cleanly", "/x")
	})
}

func TestEmptyChildrenMayStay(t *testing.T) {
	bubble(t, func(t *testing.T) {
		closed := make(chan string, 10)
		r := memory(t, Config{KeepEmptyChildren: true, Adapter: func(h adapter.Host) adapter.Adapter {
			return &watchedAdapter{adapter.NewMemory(adapter.Config{}), func() { closed <- h.Namespace() }}
		}})
		parent := r.srv.Of("/t/{id}")
		p := r.websocket()
		child := p.join("/t/1").Namespace()
		p.send("41/t/1")
		synctest.Wait()
		if r.srv.Namespace("/t/1") != child {
			t.Error("the empty child is gone")
		}
		if got := p.join("/t/1").Namespace(); got != child {
			t.Error("a socket that comes back should find the child it left")
		}
		p.send("41/t/1")
		synctest.Wait()
		wantNone(t, closed)
		must(t, parent.Delete())
		wantFrom(t, closed, "/t/1")
	})
}

func TestOnNamespace(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, Config{})
		made := make(chan string, 10)
		note := func(ns *Namespace) {
			must(t, ns.Emit("hooks may use it"))
			r.srv.Of(ns.Name()) // and ask for it
			made <- "made " + ns.Name()
		}
		reg := r.srv.OnNamespace(note)
		r.srv.OnNamespace(func(*Namespace) { panic("in a hook") })
		r.srv.Of("/")
		r.srv.Of("/a")
		r.srv.Of("/a")
		parent := r.srv.Of("/t/{id}") // only its children are namespaces with sockets
		parent.Use(func(_ context.Context, s *Socket) error { made <- "socket"; return nil })
		wantFrom(t, made, "made /a")
		p, q := r.websocket(), r.websocket()
		p.join("/t/1")
		q.join("/t/1")
		wantFrom(t, made, "made /t/1", "socket", "socket")
		r.wantLog("namespace hook failed", "in a hook")
		reg.Off()
		r.srv.Of("/b")
		wantNone(t, made)
	})
}

// No socket gets in before the hooks have returned, whichever made the namespace.
func TestSocketsWaitForNamespaceHooks(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, Config{})
		open := make(chan struct{})
		var returned atomic.Bool
		r.srv.OnNamespace(func(*Namespace) { <-open; returned.Store(true) })
		r.srv.Of("/t/{id}").Use(func(context.Context, *Socket) error {
			if !returned.Load() {
				t.Error("a socket is in before the hook has returned")
			}
			return nil
		})
		p, q := r.websocket(), r.websocket()
		p.send("40/t/1,")
		p.wantNothing()
		q.send("40/t/1,")
		close(open)
		p.joined("/t/1")
		q.joined("/t/1")
	})
}

func TestOfRegexp(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, Config{})
		parent := r.srv.OfRegexp(regexp.MustCompile(`^/dynamic-(?P<id>\d+)(-x)?$`))
		anywhere := r.srv.OfRegexp(regexp.MustCompile(`middle`))
		if parent == r.srv.OfRegexp(regexp.MustCompile(`^/dynamic-(?P<id>\d+)(-x)?$`)) {
			t.Error("every OfRegexp is a parent of its own")
		}
		for ns, what := range map[*Namespace]string{parent: "first", anywhere: "second"} {
			OnAck0(ns, "who", func(_ context.Context, s *Socket) (string, error) {
				return what + " " + s.PathValue("id") + " " + s.PathValue("2") + s.PathValue("3"), nil
			})
		}
		p := r.websocket()
		for _, test := range [][2]string{
			{"/dynamic-101", "first 101 "},
			{"/dynamic-7-x", "first 7 -x"},
			{"/dynamic-middle", "second  "},
			{"/in/the/middle/too", "second  "},
		} {
			p.join(test[0])
			p.send("42" + test[0] + `,1["who"]`)
			p.want("43" + test[0] + `,1["` + test[1] + `"]`)
		}
		p.rejoinRefused("/dynamic-")
		p.rejoinRefused("/dynamic-1x")
		must(t, parent.Emit("news"))
		got := []string{p.next().data, p.next().data}
		if slices.Sort(got); !slices.Equal(got, []string{`42/dynamic-101,["news"]`, `42/dynamic-7-x,["news"]`}) {
			t.Errorf("got %q", got)
		}
	})
}

func TestNamespaceMakesNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, Config{})
		r.srv.Of("/t/{id}")
		if r.srv.Namespace("/t/1") != nil || r.srv.Namespace("/t/{id}") != nil {
			t.Error("a namespace that does not exist")
		}
		if r.srv.Namespace("/") != r.srv.Of("/") || r.srv.Namespace("") != r.srv.Of("/") {
			t.Error("the main namespace is not found")
		}
		p := r.websocket()
		s := p.join("/t/1")
		if r.srv.Namespace("t/1") != s.Namespace() {
			t.Error("a child with sockets is not found")
		}
		must(t, r.srv.Namespace("/t/1").Emit("from outside"))
		p.want(`42/t/1,["from outside"]`)
	})
}

// "/" is there before anybody could be told of it.
func TestOnNamespaceLeavesOutTheRoot(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, Config{})
		told := make(chan string, 10)
		r.srv.OnNamespace(func(n *Namespace) { told <- n.Name() })
		r.srv.Of("/")
		r.join()
		r.srv.Of("/a")
		wantFrom(t, told, "/a")
	})
}
