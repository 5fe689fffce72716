package sio

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/epio-go/epio/adapter"
	"github.com/epio-go/epio/codec"
)

// A socket of the cluster is used in the same way, wherever it is.
func TestRemoteSockets(t *testing.T) {
	bubble(t, func(t *testing.T) {
		ctx := context.Background()
		servers := cluster(t, 2, Config{AckTimeout: 5 * time.Second})
		here := servers[0]
		for i, home := range servers {
			p := home.websocketWith("&q=1", "X-Test: yes\r\n")
			s := p.join("/", `{"user":"ann"}`)
			must(t, s.Join("room"))
			s.SetData(map[string]any{"score": 7})

			all, err := here.srv.In(s.ID()).FetchSockets(ctx)
			if err != nil || len(all) != 1 {
				t.Fatalf("%d sockets, %v", len(all), err)
			}
			r := all[0]
			want := s
			if i != 0 {
				want = nil
			}
			if r.ID() != s.ID() || r.Namespace() != here.srv.Of("/") || r.Socket() != want {
				t.Errorf("server %d: got %q in %v, socket %p", i, r.ID(), r.Namespace(), r.Socket())
			}
			rooms := r.Rooms()
			if slices.Sort(rooms); !slices.Equal(rooms, slices.Sorted(slices.Values([]string{"room", s.ID()}))) {
				t.Errorf("server %d: rooms %q", i, rooms)
			}
			var data struct{ Score int }
			if err := r.DecodeData(&data); err != nil || data.Score != 7 || r.Data() == nil {
				t.Errorf("server %d: data %v %v %v", i, r.Data(), data, err)
			}
			var wrong []int
			if e, ok := errors.AsType[*codec.DecodeError](r.DecodeData(&wrong)); !ok || e.Arg != -1 {
				t.Errorf("server %d: data of another type: %v", i, e)
			}
			h := r.Handshake()
			if h.Query["q"] != "1" || h.Headers["x-test"] != "yes" || h.Auth.(map[string]any)["user"] != "ann" {
				t.Errorf("server %d: handshake %+v", i, h)
			}
			text, err := json.Marshal(r)
			if err != nil || !strings.Contains(string(text), `"data":{"score":7}`) || !strings.HasPrefix(string(text), `{"id":"`+s.ID()+`","handshake":{"headers":{`) {
				t.Errorf("server %d: JSON %s %v", i, text, err)
			}

			must(t, r.Emit("event", 1, "two"))
			must(t, r.Send("hello"))
			must(t, r.Compress(false).Emit("plain"))
			p.want(`42["event",1,"two"]`, `42["message","hello"]`, `42["plain"]`)
			synctest.Wait() // nothing is on its way any more
			must(t, r.Volatile().Emit("volatile"))
			p.want(`42["volatile"]`)

			done := make(chan error)
			ask := func(answer string) error {
				t.Helper()
				go func() {
					got, err := Call[string](ctx, r, "ask")
					if err == nil && got != "yes" {
						err = errors.New("got " + got)
					}
					done <- err
				}()
				packet := p.next().data
				if answer != "" {
					p.send("43" + strings.TrimSuffix(packet[2:], `["ask"]`) + answer)
				}
				return receive(t, done)
			}
			must(t, ask(`["yes"]`))
			if single := here.asked().Has(adapter.Single); single != (i == 1) {
				t.Errorf("server %d: asked for a single answer: %v", i, single)
			}
			if e, ok := errors.AsType[*codec.DecodeError](ask(`[{}]`)); !ok {
				t.Errorf("server %d: answer of another type: %v", i, e)
			}
			wantErr(t, ask(""), ErrAckTimeout)
			_, err = Call[string](ctx, r.Timeout(1), "ask")
			p.next()
			wantErr(t, err, ErrAckTimeout)
			n := 0
			go func() {
				for a, err := range Gather[int](ctx, r, "count") {
					if n++; a.Value != 5 || a.ID != s.ID() {
						err = errors.Join(err, errors.New("got "+a.ID))
					}
					done <- err
				}
				close(done)
			}()
			packet := p.next().data
			p.send("43" + strings.TrimSuffix(packet[2:], `["count"]`) + "[5]")
			for err := range done {
				must(t, err)
			}
			if n != 1 {
				t.Errorf("server %d: %d answers of one socket", i, n)
			}

			must(t, r.Join("a", "b"))
			must(t, r.Leave("a", "room"))
			rooms = s.Rooms()
			if slices.Sort(rooms); !slices.Equal(rooms, slices.Sorted(slices.Values([]string{"b", s.ID()}))) {
				t.Errorf("server %d: rooms %q", i, rooms)
			}
			must(t, r.Disconnect(false))
			p.want("41")
			if s.Reason() != ServerDisconnect {
				t.Errorf("server %d: reason %q", i, s.Reason())
			}
			_, err = Call[string](ctx, r, "ask") // of nobody
			if i == 0 {
				wantErr(t, err, ErrClosed)
			} else {
				wantErr(t, err, ErrNoReceivers)
			}
			p.join("/")
			all, err = here.srv.FetchSockets(ctx)
			if err != nil || len(all) != 1 {
				t.Fatalf("%d sockets, %v", len(all), err)
			}
			must(t, all[0].Disconnect(true))
			p.want("41")
			p.wantEnd()
			synctest.Wait()
		}
	})
}

func TestRoomsOfSelections(t *testing.T) {
	bubble(t, func(t *testing.T) {
		ctx := context.Background()
		servers := cluster(t, 2, Config{})
		here := servers[0].srv
		_, a := servers[0].join()
		_, b := servers[1].join()
		_, c := servers[1].join()
		must(t, a.Join("x", "only a"))
		must(t, b.Join("x", "y"))
		must(t, c.Join("z"))
		check := func(what string, got []string, err error, want ...string) {
			t.Helper()
			slices.Sort(got)
			if slices.Sort(want); err != nil || !slices.Equal(got, want) {
				t.Errorf("%s: got %q %v, want %q", what, got, err, want)
			}
		}
		got, err := here.Rooms(ctx)
		check("all", got, err, a.ID(), b.ID(), c.ID(), "x", "y", "z", "only a")
		got, err = here.Local().Rooms(ctx)
		check("local", got, err, a.ID(), "x", "only a")
		got, err = here.To("x").Rooms(ctx)
		check("of a room", got, err, a.ID(), b.ID(), "x", "y", "only a")
		got, err = here.Except("x").Rooms(ctx)
		check("except a room", got, err, c.ID(), "z")
		got, err = a.Broadcast().Rooms(ctx)
		check("without the sender", got, err, b.ID(), c.ID(), "x", "y", "z")
		got, err = a.Volatile().Rooms(ctx)
		check("of one socket", got, err, a.ID(), "x", "only a")
		got, err = here.To("x").Local().Rooms(ctx)
		check("of a room here", got, err, a.ID(), "x", "only a")

		if n, err := here.ServerCount(ctx); n != 2 || err != nil {
			t.Errorf("%d servers, %v", n, err)
		}
		if n, err := here.Of("/none/{id}").ServerCount(ctx); n != 1 || err != nil {
			t.Errorf("%d servers for a parent without children, %v", n, err)
		}
	})
}

func TestServerActsOnAllSockets(t *testing.T) {
	bubble(t, func(t *testing.T) {
		servers := cluster(t, 2, Config{})
		here := servers[0].srv
		p, a := servers[0].join()
		q, b := servers[1].join()
		must(t, here.Send("hello", 1))
		must(t, here.To("nobody").Send("hello"))
		must(t, a.Send())
		p.want(`42["message","hello",1]`, `42["message"]`)
		q.want(`42["message","hello",1]`)
		must(t, here.SocketsJoin("x", "y"))
		must(t, here.SocketsLeave("y"))
		for _, s := range []*Socket{a, b} {
			if rooms := s.Rooms(); len(rooms) != 2 || !slices.Contains(rooms, "x") {
				t.Errorf("rooms %q", rooms)
			}
		}
		must(t, here.DisconnectSockets(true))
		p.want("41")
		p.wantEnd()
		q.want("41")
		q.wantEnd()
	})
}
