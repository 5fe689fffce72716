package sio

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/epio-go/epio/adapter"
	"github.com/epio-go/epio/eio"
)

// told collects what hooks say.
type told struct {
	mu   sync.Mutex
	list []string
}

func (l *told) add(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.list = append(l.list, fmt.Sprintf(format, args...))
}

// want checks, in a bubble, what was told since the last call, in any order.
func (l *told) want(t *testing.T, want ...string) {
	t.Helper()
	synctest.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	got := slices.Sorted(slices.Values(l.list))
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("told\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
	l.list = nil
}

// spanKey is where a tracer keeps its span.
type spanKey struct{}

func recordHooks(l *told) Hooks {
	return Hooks{
		Connect: func(s *Socket, took time.Duration, err error) {
			l.add("connect %s %v %v", s.nsp, took, err)
		},
		Disconnect: func(s *Socket, r Reason) { l.add("disconnect %s %s %v", s.nsp, string(r), s.Connected()) },
		EventStart: func(ctx context.Context, _ *Socket, m *Message) context.Context {
			l.add("start %s", m.Event())
			return context.WithValue(ctx, spanKey{}, m.Event())
		},
		EventEnd: func(ctx context.Context, _ *Socket, m *Message, took time.Duration, err error) {
			l.add("end %s %v %v %v", m.Event(), ctx.Value(spanKey{}), took, err)
		},
		Emit: func(_ *Socket, event string, bytes int, err error) { l.add("emit %s %d %v", event, bytes, err) },
		Broadcast: func(n *Namespace, event string, receivers, bytes int, err error) {
			l.add("broadcast %s %s %d %d %v", n.Name(), event, receivers, bytes, err)
		},
		Ack: func(id, event string, took time.Duration, err error) {
			l.add("ack %t %s %v %v", id != "", event, took, err)
		},
		Panic: func(_ *Socket, where string, err *PanicError) { l.add("panic %s %v", where, err.Value) },
	}
}

func TestHooks(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var l told
		r := memory(t, Config{Hooks: recordHooks(&l)})
		r.srv.Use(func(_ context.Context, s *Socket) error {
			var auth struct{ Fail, Panic bool }
			must(t, s.Auth(&auth))
			time.Sleep(time.Second)
			if auth.Panic {
				panic("mw")
			}
			if auth.Fail {
				return &Error{Message: "no"}
			}
			return nil
		})
		On0(r.srv, "ok", func(ctx context.Context, _ *Socket) error {
			time.Sleep(2 * time.Second)
			l.add("in span %v", ctx.Value(spanKey{}))
			return nil
		})
		On0(r.srv, "fail", func(context.Context, *Socket) error { return errors.New("broken") })
		On0(r.srv, "panic", func(context.Context, *Socket) error { panic("boo") })
		r.srv.OnDisconnect(func(*Socket, Reason) { panic("bye") })

		p, s := r.join()
		l.want(t, "connect / 1s <nil>")
		q := r.websocket()
		q.send(`40{"fail":true}`)
		q.want(`44{"message":"no"}`)
		l.want(t, "connect / 1s no")
		q.send(`40{"panic":true}`)
		q.want(`44{"message":"connection refused"}`)
		l.want(t, "connect / 1s sio: handler panicked: mw", "panic connect middleware mw")
		q.send(`40/nowhere,`)
		q.want(`44/nowhere,{"message":"Invalid namespace"}`)
		l.want(t, "connect /nowhere 0s Invalid namespace")

		p.send(`42["ok"]`)
		time.Sleep(3 * time.Second)
		l.want(t, "start ok", "in span ok", "end ok ok 2s <nil>")
		p.send(`42["fail"]`, `42["panic"]`, `42["unknown"]`)
		l.want(t, "start fail", "end fail fail 0s broken",
			"start panic", "panic handler boo", "end panic panic 0s sio: handler panicked: boo",
			"start unknown", "end unknown unknown 0s <nil>")

		must(t, s.Emit("a", 1)) // 2 bytes of header, 42["a",1]
		must(t, r.srv.Emit("b"))
		must(t, r.srv.To("nobody").Emit("c"))
		l.want(t, "emit a 11 <nil>", "broadcast / b 1 9 <nil>", "broadcast / c 0 0 <nil>")
		p.want(`42["a",1]`, `42["b"]`)

		go Call[None](t.Context(), s.Timeout(5*time.Second), "ask")
		p.want(`420["ask"]`)
		time.Sleep(time.Second)
		p.send(`430[]`)
		l.want(t, "emit ask 12 <nil>", "ack true ask 1s <nil>")
		Call[None](t.Context(), s.Timeout(5*time.Second), "ask")
		p.want(`421["ask"]`)
		l.want(t, "emit ask 12 <nil>", "ack true ask 5s sio: acknowledgement timed out")

		s.Disconnect(false)
		l.want(t, "disconnect / server namespace disconnect false", "panic disconnect handler bye")
		wantErr(t, s.Emit("late"), ErrClosed)
		l.want(t)

		st := r.srv.Stats()
		if st.Connects != 1 || st.ConnectsRefused != 3 || st.Disconnects != 1 || st.Panics != 3 {
			t.Errorf("%+v", st)
		}
	})
}

// A hook that panics spoils nothing.
func TestPanicInAHook(t *testing.T) {
	bubble(t, func(t *testing.T) {
		cfg := Config{}
		cfg.Hooks.EventStart = func(context.Context, *Socket, *Message) context.Context { panic("start") }
		cfg.Hooks.EventEnd = func(context.Context, *Socket, *Message, time.Duration, error) { panic("end") }
		cfg.Hooks.Emit = func(*Socket, string, int, error) { panic("emit") }
		r := memory(t, cfg)
		OnAck0(r.srv, "x", func(context.Context, *Socket) (int, error) { return 1, nil })
		p, s := r.join()
		p.send(`421["x"]`)
		p.want(`431[1]`)
		must(t, s.Emit("y"))
		p.want(`42["y"]`)
		synctest.Wait()
		for _, hook := range []string{"EventStart", "EventEnd", "Emit"} {
			r.wantLog("level=ERROR", `msg="sio: hook failed"`, "hook="+hook)
		}
	})
}

// brokenAdapter reaches no other server.
type brokenAdapter struct{ *adapter.Memory }

func (a brokenAdapter) Broadcast(p adapter.Packet, o adapter.Opts) error {
	a.Memory.Broadcast(p, o)
	return errors.New("no broker")
}

func TestPublishErrorsAreObserved(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var l told
		cfg := Config{Adapter: func(adapter.Host) adapter.Adapter {
			return brokenAdapter{adapter.NewMemory(adapter.Config{})}
		}}
		cfg.Hooks.Broadcast = recordHooks(&l).Broadcast
		r := memory(t, cfg)
		p, _ := r.join()
		if err := r.srv.Emit("x"); err == nil {
			t.Error("no error")
		}
		p.want(`42["x"]`)
		l.want(t, "broadcast / x 1 9 no broker")
		if st := r.srv.Stats(); st.PublishErrors != 1 {
			t.Errorf("%+v", st)
		}
	})
}

// Panics are counted wherever they happen; those that a socket had run are told, too.
func TestPanicsAreCounted(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var l told
		r := memory(t, Config{Hooks: Hooks{Panic: func(_ *Socket, where string, err *PanicError) { l.add("%s %v", where, err.Value) }}})
		r.srv.OnError(func(*Socket, error) { panic("error") })
		r.srv.OnNamespace(func(*Namespace) { panic("namespace") })
		r.srv.Of("/").HandleServer("x", func(context.Context, *ServerEvent) error { panic("server") })
		On0(r.srv, "x", func(context.Context, *Socket) error { return errors.New("no") })
		r.srv.Of("/a")
		p, _ := r.join()
		p.send(`42["x"]`)
		(*host)(r.srv.namespace("/")).ServerEvent("x", nil, nil)
		synctest.Wait()
		l.want(t, "error hook error")
		if st := r.srv.Stats(); st.Panics != 3 {
			t.Errorf("%d panics", st.Panics)
		}
	})
}

// TestStatsOfRecovery follows a client that goes, comes back, goes again and is given up.
func TestStatsOfRecovery(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, withRecovery(Config{Recovery: &Recovery{MaxDisconnection: time.Minute}}))
		want := func(when string, away, logged int) {
			t.Helper()
			synctest.Wait()
			st := r.srv.Stats().Namespaces
			if len(st) != 1 || st[0].Away != away || st[0].LoggedPackets != logged || (st[0].LoggedBytes > 0) != (logged > 0) {
				t.Errorf("%s: %+v, want %d away and %d logged", when, st, away, logged)
			}
		}
		c := r.traveller("/")
		want("connected", 0, 0)
		must(t, r.srv.Emit("n"))
		c.lose()
		want("away", 1, 1)
		must(t, r.srv.Emit("n"))
		want("sent meanwhile", 1, 2)
		c.wantBack()
		want("back", 0, 2)
		c.lose()
		pass := r.srv.cfg.Recovery.MaxDisconnection + eio.DefaultPingInterval + eio.DefaultPingTimeout
		<-time.After(2 * pass)
		want("given up", 0, 0)
	})
}

func TestStats(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, Config{CountTraffic: true})
		open := make(chan struct{})
		On0(r.srv, "wait", func(context.Context, *Socket) error { <-open; return nil })
		r.srv.Of("/a")
		p, s := r.join()
		q := r.polling()
		q.join("/a")
		must(t, s.Join("r1", "r2"))
		p.send(`42["wait"]`)
		synctest.Wait()
		must(t, s.Emit("n"))     // 2 + 7 bytes
		must(t, r.srv.Emit("n")) // the same
		st := r.srv.Stats()
		slices.SortFunc(st.Namespaces, func(a, b NamespaceStats) int { return strings.Compare(a.Name, b.Name) })
		if !slices.Equal(st.Namespaces, []NamespaceStats{{Name: "/", Sockets: 1, Rooms: 2}, {Name: "/a", Sockets: 1}}) {
			t.Errorf("namespaces %+v", st.Namespaces)
		}
		if st.Busy != 1 || st.Connects != 2 || st.Engine.Sessions != 2 || st.Engine.Polling != 1 || st.Engine.WebSocket != 1 {
			t.Errorf("%+v", st)
		}
		// CONNECT twice: "0" and "0/a,"; and ["wait"] with its type.
		if st.PacketsReceived != 3 || st.BytesReceived != 1+4+9 || st.PacketsSent != 2 || st.BytesSent != 18 {
			t.Errorf("%d packets of %d bytes received, %d of %d sent", st.PacketsReceived, st.BytesReceived, st.PacketsSent, st.BytesSent)
		}
		close(open)
		p.close()
		synctest.Wait()
		st = r.srv.Stats()
		if st.Disconnects != 1 || st.Engine.Closed[eio.Closing{Reason: eio.TransportClose, Transport: eio.WebSocket}] != 1 || st.Engine.Sessions != 1 || st.Busy != 0 {
			t.Errorf("%+v", st)
		}
	})
}
