package sio

import (
	"context"
	"reflect"

	"github.com/epio-go/epio/codec"
)

// None stands for "no value": the result of an acknowledgement without arguments.
type None struct{}

// On registers a handler for an event with one argument, decoded into T by the
// rules of encoding/json. A missing argument leaves T's zero value, as undefined
// would; further ones are ignored. An argument that does not fit T makes the event
// fail without the handler being called. []byte in T receives binary.
func On[T any](r Registrar, event string, fn func(ctx context.Context, s *Socket, arg T) error) *Registration {
	prepare[T]()
	return r.Handle(event, HandlerFunc(func(ctx context.Context, s *Socket, m *Message) error {
		var a T
		if err := m.in.Decode(0, &a); err != nil {
			return err
		}
		return fn(ctx, s, a)
	}))
}

// On0 registers a handler for an event without arguments.
func On0(r Registrar, event string, fn func(ctx context.Context, s *Socket) error) *Registration {
	return r.Handle(event, HandlerFunc(func(ctx context.Context, s *Socket, _ *Message) error { return fn(ctx, s) }))
}

// On2 is On with two arguments.
func On2[T1, T2 any](r Registrar, event string, fn func(ctx context.Context, s *Socket, a T1, b T2) error) *Registration {
	prepare[T1]()
	prepare[T2]()
	return r.Handle(event, HandlerFunc(func(ctx context.Context, s *Socket, m *Message) error {
		var a T1
		var b T2
		if err := m.Scan(&a, &b); err != nil {
			return err
		}
		return fn(ctx, s, a, b)
	}))
}

// On3 is On with three arguments.
func On3[T1, T2, T3 any](r Registrar, event string, fn func(ctx context.Context, s *Socket, a T1, b T2, c T3) error) *Registration {
	prepare[T1]()
	prepare[T2]()
	prepare[T3]()
	return r.Handle(event, HandlerFunc(func(ctx context.Context, s *Socket, m *Message) error {
		var a T1
		var b T2
		var c T3
		if err := m.Scan(&a, &b, &c); err != nil {
			return err
		}
		return fn(ctx, s, a, b, c)
	}))
}

// On4 is On with four arguments.
func On4[T1, T2, T3, T4 any](r Registrar, event string, fn func(ctx context.Context, s *Socket, a T1, b T2, c T3, d T4) error) *Registration {
	prepare[T1]()
	prepare[T2]()
	prepare[T3]()
	prepare[T4]()
	return r.Handle(event, HandlerFunc(func(ctx context.Context, s *Socket, m *Message) error {
		var a T1
		var b T2
		var c T3
		var d T4
		if err := m.Scan(&a, &b, &c, &d); err != nil {
			return err
		}
		return fn(ctx, s, a, b, c, d)
	}))
}

// OnAck registers a handler for an event with one argument whose result is the
// acknowledgement. R may be [None] for one without arguments. When the client asked for
// none, the result is dropped. See [Error] for what a failure answers.
func OnAck[T, R any](r Registrar, event string, fn func(ctx context.Context, s *Socket, arg T) (R, error)) *Registration {
	prepare[T]()
	return r.Handle(event, HandlerFunc(func(ctx context.Context, s *Socket, m *Message) error {
		var a T
		if err := m.in.Decode(0, &a); err != nil {
			return err
		}
		v, err := fn(ctx, s, a)
		return reply(m, v, err)
	}))
}

// OnAck0 is OnAck without arguments.
func OnAck0[R any](r Registrar, event string, fn func(ctx context.Context, s *Socket) (R, error)) *Registration {
	return r.Handle(event, HandlerFunc(func(ctx context.Context, s *Socket, m *Message) error {
		v, err := fn(ctx, s)
		return reply(m, v, err)
	}))
}

// OnAck2 is OnAck with two arguments.
func OnAck2[T1, T2, R any](r Registrar, event string, fn func(ctx context.Context, s *Socket, a T1, b T2) (R, error)) *Registration {
	prepare[T1]()
	prepare[T2]()
	return r.Handle(event, HandlerFunc(func(ctx context.Context, s *Socket, m *Message) error {
		var a T1
		var b T2
		if err := m.Scan(&a, &b); err != nil {
			return err
		}
		v, err := fn(ctx, s, a, b)
		return reply(m, v, err)
	}))
}

// OnAck3 is OnAck with three arguments.
func OnAck3[T1, T2, T3, R any](r Registrar, event string, fn func(ctx context.Context, s *Socket, a T1, b T2, c T3) (R, error)) *Registration {
	prepare[T1]()
	prepare[T2]()
	prepare[T3]()
	return r.Handle(event, HandlerFunc(func(ctx context.Context, s *Socket, m *Message) error {
		var a T1
		var b T2
		var c T3
		if err := m.Scan(&a, &b, &c); err != nil {
			return err
		}
		v, err := fn(ctx, s, a, b, c)
		return reply(m, v, err)
	}))
}

// OnAck4 is OnAck with four arguments.
func OnAck4[T1, T2, T3, T4, R any](r Registrar, event string, fn func(ctx context.Context, s *Socket, a T1, b T2, c T3, d T4) (R, error)) *Registration {
	prepare[T1]()
	prepare[T2]()
	prepare[T3]()
	prepare[T4]()
	return r.Handle(event, HandlerFunc(func(ctx context.Context, s *Socket, m *Message) error {
		var a T1
		var b T2
		var c T3
		var d T4
		if err := m.Scan(&a, &b, &c, &d); err != nil {
			return err
		}
		v, err := fn(ctx, s, a, b, c, d)
		return reply(m, v, err)
	}))
}

// reply sends a handler's result as acknowledgement.
func reply[R any](m *Message, v R, err error) error {
	if err != nil {
		return err
	}
	if _, none := any((*R)(nil)).(*None); none {
		return m.Ack()
	}
	return m.Ack(v)
}

// prepare compiles the decoder of T now, so that the first event does not pay the
// milliseconds that takes.
func prepare[T any]() {
	// A type that cannot be decoded fails again, with a better place to report
	// it, when an event arrives.
	_ = codec.Pretouch(reflect.TypeFor[T]())
}
