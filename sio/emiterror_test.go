package sio

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/epio-go/epio/adapter"
	"github.com/epio-go/epio/codec"
	"github.com/epio-go/epio/eio"
)

// deaf is an adapter that reaches no other server.
type deaf struct {
	adapter.Adapter
	err error
}

func (a *deaf) Broadcast(p adapter.Packet, o adapter.Opts) error {
	return errors.Join(a.Adapter.Broadcast(p, o), a.err)
}

func (a *deaf) BroadcastWithAck(p adapter.Packet, o adapter.Opts, acks adapter.Acks) (int, error) {
	n, _ := a.Adapter.BroadcastWithAck(p, o, acks)
	return n, a.err
}

func (a *deaf) AddSockets(o adapter.Opts, rooms []string) error {
	return errors.Join(a.Adapter.AddSockets(o, rooms), a.err)
}

func (a *deaf) ServerSideEmit(string, []any) error { return a.err }

func (a *deaf) ServerSideCall(context.Context, string, []any) ([]any, error) { return nil, a.err }

// Every way in which sending can fail can be told from every other.
func TestErrorsOfEmitAreDistinct(t *testing.T) {
	bubble(t, func(t *testing.T) {
		lost := errors.New("connection lost")
		var down *deaf
		r := memory(t, Config{Adapter: func(h adapter.Host) adapter.Adapter {
			down = &deaf{Adapter: adapter.MemoryFactory(h)}
			return down
		}})
		p, s := r.join()
		ctx := context.Background()
		cyclic := map[string]any{}
		cyclic["self"] = cyclic

		type failure struct {
			what string
			err  error
			is   []error // all of these, and none of the other sentinels
			as   func(error) bool
		}
		isEncode := func(event string) func(error) bool {
			return func(err error) bool { e, ok := errors.AsType[*EncodeError](err); return ok && e.Event == event }
		}
		isPublish := func(event string) func(error) bool {
			return func(err error) bool { e, ok := errors.AsType[*PublishError](err); return ok && e.Event == event }
		}
		var failures []failure
		check := func(what string, err error, as func(error) bool, is ...error) {
			failures = append(failures, failure{what, err, is, as})
		}
		check("Emit of a cycle", s.Emit("x", cyclic), isEncode("x"), codec.ErrValueTooDeep)
		check("broadcast of a cycle", r.srv.Emit("x", cyclic), isEncode("x"), codec.ErrValueTooDeep)
		check("Emit of a reserved name", s.Emit("connect"), isEncode("connect"), ErrReservedEvent)
		check("broadcast of a reserved name", r.srv.Emit("disconnect"), isEncode("disconnect"), ErrReservedEvent)
		_, err := Call[int](ctx, s, "x", cyclic)
		check("Call with a cycle", err, isEncode("x"), codec.ErrValueTooDeep)

		down.err = lost
		check("broadcast without the cluster", r.srv.Emit("x"), isPublish("x"), lost)
		p.want(`42["x"]`) // here it arrives all the same
		check("Join without the cluster", r.srv.All().Join("room"), isPublish(""), lost)
		_, err = Call[int](ctx, r.srv, "y")
		check("Call of many without the cluster", err, isPublish("y"), lost)
		p.next()
		check("event for other servers", r.srv.ServerSide().Emit("x"), isPublish("x"), lost)
		_, err = r.srv.ServerSide().Call(ctx, "x")
		check("call of other servers", err, isPublish("x"), lost)
		down.err = nil

		_, err = Call[int](ctx, r.srv.To("nobody"), "x")
		check("Call of nobody", err, nil, ErrNoReceivers)
		done := make(chan error)
		go func() { _, err := Call[int](ctx, s, "number"); done <- err }()
		answer := strings.Replace(p.next().data, `["number"]`, `["not a number"]`, 1)
		p.send("43" + answer[2:])
		check("answer that does not fit", receive(t, done), func(err error) bool {
			e, ok := errors.AsType[*codec.DecodeError](err)
			return ok && e.Arg == 0
		})
		go func() { _, err := Call[int](ctx, s.Timeout(1), "late"); done <- err }()
		p.next()
		check("answer that does not come", receive(t, done), nil, ErrAckTimeout)
		go func() { _, err := Call[int](ctx, s, "left"); done <- err }()
		p.next()
		p.send("41")
		check("client that leaves", receive(t, done), nil, ErrClosed, net.ErrClosed, ClientDisconnect)
		check("Emit after that", s.Emit("x"), nil, ErrClosed, net.ErrClosed)

		sentinels := []error{
			ErrClosed, net.ErrClosed, ErrBufferFull, ErrDropped, ErrAckTimeout, ErrNoReceivers,
			ErrReservedEvent, codec.ErrValueTooDeep, lost, ClientDisconnect,
		}
		for _, f := range failures {
			if f.err == nil || (f.as != nil && !f.as(f.err)) {
				t.Errorf("%s: got %v", f.what, f.err)
			}
			if f.as == nil && (isEncode("x")(f.err) || isPublish("x")(f.err)) {
				t.Errorf("%s: %v is something else, too", f.what, f.err)
			}
			for _, e := range sentinels {
				if got, want := errors.Is(f.err, e), slices.Contains(f.is, e); got != want {
					t.Errorf("%s: %v is %v: %v, want %v", f.what, f.err, e, got, want)
				}
			}
		}
	})
}

// Emit to many says who could not take it, if asked.
func TestStrict(t *testing.T) {
	bubble(t, func(t *testing.T) {
		lost := errors.New("connection lost")
		var down *deaf
		r := memory(t, Config{
			WhenFull: DropWhenFull,
			Engine:   eio.Config{SendBuffer: 2000},
			Adapter: func(h adapter.Host) adapter.Adapter {
				down = &deaf{Adapter: adapter.MemoryFactory(h)}
				return down
			},
		})
		// A client on polling that does not poll takes what fits into its buffer.
		stuck := r.polling()
		full := stuck.join("/")
		p, _ := r.join()
		big := strings.Repeat("x", 1500)
		must(t, full.Emit("fill", big))

		must(t, r.srv.Emit("big", big)) // nobody asked
		p.next()
		synctest.Wait() // the other's buffer is empty again
		err := r.srv.All().Strict().Emit("big", big)
		p.next() // the others get it
		e, ok := errors.AsType[*BroadcastError](err)
		if !ok || e.Event != "big" || len(e.Sockets) != 1 || e.Sockets[0].ID != full.ID() || e.Publish != nil {
			t.Fatalf("got %v", err)
		}
		if !errors.Is(err, ErrBufferFull) || errors.Is(err, ErrDropped) || errors.Is(err, ErrClosed) {
			t.Errorf("got %v, want only ErrBufferFull in it", err)
		}
		synctest.Wait() // nothing is on its way to the other
		err = r.srv.Volatile().Strict().Emit("x")
		p.next()
		if se, ok := errors.AsType[*SocketError](err); !ok || se.ID != full.ID() || !errors.Is(err, ErrDropped) || errors.Is(err, ErrBufferFull) {
			t.Errorf("volatile: got %v", err)
		}
		down.err = lost
		err = r.srv.All().Strict().Emit("big", big)
		p.next()
		if e, _ := errors.AsType[*BroadcastError](err); e == nil || e.Publish == nil || !errors.Is(err, lost) || !errors.Is(err, ErrBufferFull) {
			t.Errorf("without the cluster: got %v", err)
		}
		down.err = nil
		must(t, r.srv.Except(full.ID()).Strict().Emit("fine"))
		p.want(`42["fine"]`)
	})
}

// What came through an adapter is decoded like what came from a client.
func TestAnswersOfOtherServersAreDecoded(t *testing.T) {
	type point struct{ X, Y int }
	var p point
	var n int
	var b []byte
	var a any
	for _, test := range []struct {
		arg  any
		into any
		ok   func() bool
	}{
		{map[string]any{"X": 1.0, "Y": 2.0}, &p, func() bool { return p == point{1, 2} }},
		{7.0, &n, func() bool { return n == 7 }},
		{uint64(1 << 60), &n, func() bool { return n == 1<<60 }},
		{[]byte("raw"), &b, func() bool { return string(b) == "raw" }},
		{[]byte("raw"), &a, func() bool { got, _ := a.([]byte); return string(got) == "raw" }},
		{nil, &b, func() bool { return b == nil }},
		{nil, &n, func() bool { return n == 1<<60 }}, // as encoding/json does
	} {
		if err := convert(test.arg, test.into); err != nil || !test.ok() {
			t.Errorf("%v into %T: %v", test.arg, test.into, err)
		}
	}
	for _, test := range []struct{ arg, into any }{{"text", &n}, {1.5, &n}, {1, nil}, {1, n}, {make(chan int), &n}} {
		if _, ok := errors.AsType[*codec.DecodeError](convert(test.arg, test.into)); !ok {
			t.Errorf("%v into %T is no *codec.DecodeError", test.arg, test.into)
		}
	}
}
