package sio

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/epio-go/epio/adapter"
)

func TestPatterns(t *testing.T) {
	for _, test := range []struct {
		pattern, name string
		want          string // the values; "no" without a match
	}{
		{"/tenant/{id}", "/tenant/7", "map[id:7]"},
		{"/tenant/{id}", "/tenant/a b?c=d", "map[id:a b?c=d]"},
		{"/tenant/{id}", "/tenant/", "no"},
		{"/tenant/{id}", "/tenant", "no"},
		{"/tenant/{id}", "/tenant/7/", "no"},
		{"/tenant/{id}", "/tenant/7/x", "no"},
		{"/tenant/{id}", "/tenants/7", "no"},
		{"/tenant/{id}", "/Tenant/7", "no"},
		{"/{a}/x/{b}", "/1/x/2", "map[a:1 b:2]"},
		{"/{a}/x/{b}", "/1/y/2", "no"},
		{"/{a}/x/{b}", "//x/2", "no"},
		{"/{a}/x", "/1/x", "map[a:1]"},
		{"/{a}", "/", "no"},
		{"/{a}", "/1", "map[a:1]"},
		{"/files/{path...}", "/files/a/b/c", "map[path:a/b/c]"},
		{"/files/{path...}", "/files/", "map[path:]"},
		{"/files/{path...}", "/files", "no"},
		{"/{all...}", "/", "map[all:]"},
		{"/{all...}", "/a//b", "map[all:a//b]"},
		{"/{a}/{rest...}", "/1/2/3", "map[a:1 rest:2/3]"},
	} {
		got := "no"
		if v, ok := pattern(test.pattern)(test.name); ok {
			got = fmt.Sprint(v)
		}
		if got != test.want {
			t.Errorf("%s with %s: %s, want %s", test.pattern, test.name, got, test.want)
		}
	}
}

func TestBadPatternsPanic(t *testing.T) {
	srv, err := New(Config{})
	must(t, err)
	defer srv.Close()
	for _, p := range []string{"/{", "/}", "/{}", "/{...}", "/{a", "/a}", "/x{a}", "/{a}x", "/{a}/{a}", "/{a...}/b", "/{a.b}", "/{{a}}", "/{a}{b}"} {
		func() {
			defer func() {
				if text := fmt.Sprint(recover()); !strings.Contains(text, "bad segment") || !strings.Contains(text, p) {
					t.Errorf("Of(%q) panics with %q", p, text)
				}
			}()
			srv.Of(p)
		}()
	}
}

func TestOf(t *testing.T) {
	srv, err := New(Config{})
	must(t, err)
	defer srv.Close()
	chat := srv.Of("/chat")
	if srv.Of("chat") != chat || srv.Of("/chat") != chat || chat.Name() != "/chat" || chat.Server() != srv {
		t.Error("Of should add the slash and return what exists")
	}
	parent := srv.Of("/t/{id}")
	if srv.Of("t/{id}") != parent || parent.Name() != "/t/{id}" || parent.Adapter() != nil {
		t.Error("Of should return the parent that exists")
	}
	any := func(context.Context, string, *Handshake) bool { return true }
	if first, second := srv.OfFunc(any), srv.OfFunc(any); first == second {
		t.Error("every OfFunc is a parent of its own")
	}
	var names []string
	for ns := range srv.Namespaces() {
		names = append(names, ns.Name())
	}
	if slices.Sort(names); !slices.Equal(names, []string{"/", "/chat"}) {
		t.Errorf("namespaces %q", names)
	}
}

func TestChildrenOfAPattern(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, Config{})
		seen := make(chan string, 10)
		parent := r.srv.Of("/tenant/{id}")
		parent.Use(func(_ context.Context, s *Socket) error { seen <- "use " + s.PathValue("id"); return nil })
		parent.OnConnect(func(_ context.Context, s *Socket) error { seen <- "connect " + s.PathValue("id"); return nil })
		OnAck0(parent, "who", func(_ context.Context, s *Socket) (string, error) {
			return s.Namespace().Name() + " " + s.PathValue("id") + s.PathValue("none"), nil
		})
		r.srv.Of("/tenant/static") // goes before patterns
		p, q := r.websocket(), r.websocket()
		a := p.join("/tenant/7")
		wantFrom(t, seen, "use 7", "connect 7")
		b := q.join("/tenant/7")
		wantFrom(t, seen, "use 7", "connect 7")
		c := q.join("/tenant/8")
		wantFrom(t, seen, "use 8", "connect 8")
		if a.Namespace() != b.Namespace() || a.Namespace() == c.Namespace() {
			t.Error("one child for each name")
		}
		p.send(`42/tenant/7,1["who"]`)
		p.want(`43/tenant/7,1["/tenant/7 7"]`)
		q.send(`42/tenant/8,1["who"]`)
		q.want(`43/tenant/8,1["/tenant/8 8"]`)
		if s := p.join("/tenant/static"); s.PathValue("id") != "" {
			t.Error("a namespace with a name of its own is nobody's child")
		}
		wantNone(t, seen)

		must(t, parent.Emit("news", 1)) // to all children
		p.want(`42/tenant/7,["news",1]`)
		got := []string{q.next().data, q.next().data}
		if slices.Sort(got); !slices.Equal(got, []string{`42/tenant/7,["news",1]`, `42/tenant/8,["news",1]`}) {
			t.Errorf("got %q", got)
		}
		must(t, b.Join("room"))
		must(t, c.Join("room"))
		must(t, parent.To("room").Except(c.ID()).Emit("some"))
		q.want(`42/tenant/7,["some"]`)
		n := 0
		for range parent.Sockets() {
			n++
		}
		infos, err := parent.All().FetchSockets(context.Background())
		if n != 3 || len(infos) != 3 || err != nil {
			t.Errorf("the parent has %d sockets and %d infos (%v), want 3", n, len(infos), err)
		}
		must(t, parent.All().Disconnect(false))
		p.want("41/tenant/7,")
		p.wantNothing()
	})
}

func TestChildrenGoWithTheirLastSocket(t *testing.T) {
	bubble(t, func(t *testing.T) {
		closed := make(chan string, 10)
		cfg := Config{Adapter: func(h adapter.Host) adapter.Adapter {
			return &watchedAdapter{adapter.NewMemory(adapter.Config{}), func() { closed <- h.Namespace() }}
		}}
		r := memory(t, cfg)
		refuse := errors.New("no")
		var err error
		parent := r.srv.Of("/t/{id}")
		parent.Use(func(context.Context, *Socket) error { return err })
		exists := func(name string) bool { return r.srv.namespace(name) != nil }

		p, q := r.websocket(), r.websocket()
		p.join("/t/1")
		q.join("/t/1")
		p.send("41/t/1")
		p.wantNothing()
		if !exists("/t/1") {
			t.Error("the child is gone before its sockets")
		}
		q.close()
		wantFrom(t, closed, "/t/1")
		if exists("/t/1") {
			t.Error("an empty child stays")
		}
		must(t, parent.Emit("nobody"))

		s := p.join("/t/1") // made again
		s.Disconnect(false)
		p.want("41/t/1,")
		wantFrom(t, closed, "/t/1")

		err = refuse
		p.send("40/t/2,")
		p.want(`44/t/2,{"message":"connection refused"}`)
		wantFrom(t, closed, "/t/2")

		err = nil
		p.join("/t/3")
		kept := r.srv.Of("/t/3") // by name: now it is the application's
		p.send("41/t/3")
		p.wantNothing()
		if r.srv.namespace("/t/3") != kept {
			t.Error("a child that was named with Of is gone")
		}
		wantNone(t, closed)
	})
}

// watchedAdapter tells when it is closed.
type watchedAdapter struct {
	*adapter.Memory
	closed func()
}

func (a *watchedAdapter) Close(ctx context.Context) error { a.closed(); return a.Memory.Close(ctx) }

// Many sockets ask for the same new name at the same time, again and again.
func TestConcurrentCreationMakesOneChild(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, Config{})
		const n = 16
		var arrived atomic.Int32
		var open chan struct{}
		r.srv.OfFunc(func(ctx context.Context, name string, _ *Handshake) bool {
			if arrived.Add(1) == n {
				close(open)
			}
			<-open // nobody has made the child yet
			return true
		})
		peers := make([]*peer, n)
		for i := range peers {
			peers[i] = r.websocket()
		}
		for range 20 {
			arrived.Store(0)
			open = make(chan struct{})
			for _, p := range peers {
				p.send("40/dyn,")
			}
			all := make(map[*Namespace]int)
			for _, p := range peers {
				sid := p.joined("/dyn")
				all[r.srv.namespace("/dyn").Socket(sid).Namespace()]++
			}
			if len(all) != 1 {
				t.Fatalf("%d children: %v", len(all), slices.Collect(maps.Values(all)))
			}
			for _, p := range peers {
				p.send("41/dyn")
			}
			synctest.Wait()
			if r.srv.namespace("/dyn") != nil {
				t.Fatal("the child stays")
			}
		}
	})
}

// Children come and go while others join them: nobody may end up in a child that
// is not known any more.
func TestChildrenComeAndGo(t *testing.T) {
	r := loopback(t, Config{})
	parent := r.srv.Of("/t/{id}")
	OnAck0(parent, "known", func(_ context.Context, s *Socket) (bool, error) {
		return r.srv.namespace(s.Namespace().Name()) == s.Namespace(), nil
	})
	errs := make(chan error)
	const n = 4
	for range n {
		p := r.websocket()
		go func() { errs <- comeAndGo(p, 100) }()
	}
	for range n {
		if err := receive(t, errs); err != nil {
			t.Error(err)
		}
	}
}

func comeAndGo(p *peer, times int) error {
	for range times {
		// The events do not wait for the answer to CONNECT.
		if _, err := p.nc.Write(frames("40/t/1,", "42/t/1,", "42/t/1,", "42/t/1,", `42/t/1,1["known"]`)); err != nil {
			return err
		}
		for _, want := range []string{`40/t/1,{`, `43/t/1,1[true]`} {
			got, err := p.read(patience)
			if err != nil || !strings.HasPrefix(got.data, want) {
				return fmt.Errorf("got %v, %w, want %s", got, err, want)
			}
		}
		if err := p.trySend("41/t/1"); err != nil {
			return err
		}
	}
	return nil
}

func TestOfFunc(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, Config{})
		first := r.srv.OfFunc(func(_ context.Context, name string, h *Handshake) bool {
			var auth struct{ Key string }
			if err := h.Auth(&auth); err != nil || h.Request().URL.Query().Get("q") != "1" {
				t.Errorf("auth %v, query %q", err, h.Request().URL.RawQuery)
			}
			return strings.HasPrefix(name, "/a") && auth.Key == "k"
		})
		r.srv.OfFunc(func(_ context.Context, name string, _ *Handshake) bool {
			if name == "/panic" {
				panic("matching")
			}
			return name == "/a2"
		})
		p := r.websocketWith("&q=1", "")
		if s := p.join("/a1", `{"Key":"k"}`); s.Namespace().parent != first {
			t.Error("wrong parent")
		}
		if s := p.join("/a2", `{"Key":"x"}`); s.Namespace().parent == first {
			t.Error("wrong parent")
		}
		p.send("40/a3,")
		p.want(`44/a3,{"message":"Invalid namespace"}`)
		p.send("40/panic,")
		p.want(`44/panic,{"message":"connection refused"}`)
	})
}

// The context of a match ends when its client goes away.
func TestClientGoneWhileMatching(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, Config{})
		causes := make(chan error, 1)
		r.srv.OfFunc(func(ctx context.Context, _ string, _ *Handshake) bool {
			<-ctx.Done()
			causes <- context.Cause(ctx)
			return true
		})
		p := r.websocket()
		p.send("40/a,")
		p.wantNothing()
		p.close()
		wantFrom(t, causes, error(TransportClose))
		synctest.Wait()
		if r.srv.namespace("/a") != nil {
			t.Error("a child was made for nobody and stays")
		}
	})
}

// slowAdapter takes its time to connect.
type slowAdapter struct {
	adapter.Adapter
	entered chan<- struct{}
	open    <-chan struct{}
}

func (a *slowAdapter) Init(ctx context.Context) error {
	a.entered <- struct{}{}
	<-a.open
	return a.Adapter.Init(ctx)
}

// While the adapter of one namespace connects, the others go on, and who needs that
// one waits for it.
func TestNamespaceConnectsItsAdapterAlone(t *testing.T) {
	bubble(t, func(t *testing.T) {
		entered, open := make(chan struct{}, 1), make(chan struct{})
		r := memory(t, Config{Adapter: func(h adapter.Host) adapter.Adapter {
			a := adapter.MemoryFactory(h)
			if h.Namespace() != "/t/1" {
				return a
			}
			return &slowAdapter{a, entered, open}
		}})
		r.srv.Of("/t/{id}")
		p := r.websocket()
		p.send("40/t/1,")
		receive(t, entered)
		q := r.websocket()
		q.join("/t/2")
		other, _ := r.join()
		r.srv.Of("/static")
		must(t, r.srv.Emit("news"))
		other.want(`42["news"]`)
		w := r.websocket()
		w.send("40/t/1,")
		close(open)
		w.joined("/t/1")
		if n := len(entered); n != 0 {
			t.Errorf("connected %d times more", n)
		}
	})
}
