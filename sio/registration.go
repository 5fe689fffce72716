package sio

import (
	"context"
	"slices"
	"sync/atomic"
)

// Registration is a handler's entry in its table. Whoever registered the handler may
// take it out again; who never will need not keep the Registration.
type Registration struct {
	table *handlerTable
	take  func(h *handlers, reg *Registration)
}

// Off removes the handler. What began before goes on to its end with it. Calling Off
// again does nothing. It may be called from anywhere, also from the handler itself.
func (r *Registration) Off() {
	r.table.change(func(h *handlers) { r.take(h, r) })
}

// register changes the snapshot with put, in a way that take undoes.
func (t *handlerTable) register(put, take func(h *handlers, reg *Registration)) *Registration {
	reg := &Registration{table: t, take: take}
	t.change(func(h *handlers) { put(h, reg) })
	return reg
}

// ordered is a list of functions in a snapshot. Changing it leaves the lists of older
// snapshots as they are.
type ordered[T any] struct {
	fns  []T
	regs []*Registration // of the same length
}

func (l *ordered[T]) add(fn T, reg *Registration) {
	l.fns = append(slices.Clip(l.fns), fn)
	l.regs = append(slices.Clip(l.regs), reg)
}

func (l *ordered[T]) prepend(fn T, reg *Registration) {
	l.fns = append([]T{fn}, l.fns...)
	l.regs = append([]*Registration{reg}, l.regs...)
}

func (l *ordered[T]) remove(reg *Registration) {
	i := slices.Index(l.regs, reg)
	if i < 0 {
		return
	}
	l.fns = slices.Delete(slices.Clone(l.fns), i, i+1)
	l.regs = slices.Delete(slices.Clone(l.regs), i, i+1)
}

// enlist adds fn to the end of one of the table's lists.
func enlist[T any](t *handlerTable, of func(h *handlers) *ordered[T], fn T) *Registration {
	return t.register(
		func(h *handlers, reg *Registration) { of(h).add(fn, reg) },
		func(h *handlers, reg *Registration) { of(h).remove(reg) })
}

// enlistFirst adds fn to the beginning.
func enlistFirst[T any](t *handlerTable, of func(h *handlers) *ordered[T], fn T) *Registration {
	return t.register(
		func(h *handlers, reg *Registration) { of(h).prepend(fn, reg) },
		func(h *handlers, reg *Registration) { of(h).remove(reg) })
}

// What a caller of enlist means.
func anys(h *handlers) *ordered[Handler] { return &h.any }

func uses(h *handlers) *ordered[func(context.Context, *Socket) error] { return &h.use }

func connects(h *handlers) *ordered[func(context.Context, *Socket) error] { return &h.connect }

func disconnects(h *handlers) *ordered[func(*Socket, Reason)] { return &h.disconnect }

func outgoings(h *handlers) *ordered[func(*Socket, string, []any)] { return &h.outgoing }

func errorHooks(h *handlers) *ordered[func(*Socket, error)] { return &h.errors }

// off removes the handler of an event.
func (t *handlerTable) off(event string) {
	t.change(func(h *handlers) { delete(h.events, event) })
}

// offAll removes the handlers of all events, and the fallback.
func (t *handlerTable) offAll() {
	t.change(func(h *handlers) { h.events, h.fallback = nil, nil })
}

// Once returns a Registrar for handlers that run once: each is removed by the first event
// that reaches it. It works with every function that registers:
//
//	sio.On(sio.Once(s), "ready", func(ctx context.Context, s *sio.Socket, p Player) error { … })
//	sio.OnAck0(sio.Once(s), "confirm", …)
//
// On a *Socket that is the first event of this socket, on a *Namespace or a *Server the
// first of any. An event that a Wrap refuses does not count; one whose arguments do not
// fit does.
func Once(r Registrar) Registrar { return once{r} }

type once struct{ to Registrar }

func (o once) table() *handlerTable { return o.to.table() }

// Handle implements Registrar.
func (o once) Handle(event string, h Handler) *Registration {
	if h == nil {
		return o.to.Handle(event, nil) // panics
	}
	return o.to.Handle(event, &onceHandler{handler: h, table: o.table(), event: event})
}

// onceHandler removes itself.
type onceHandler struct {
	handler Handler
	table   *handlerTable
	event   string
	used    atomic.Bool
}

// Handle implements Handler.
func (o *onceHandler) Handle(ctx context.Context, s *Socket, m *Message) error {
	if o.used.Swap(true) {
		// Another socket's event was quicker. This one has no handler any more.
		if e := s.ns.tbl.load().fallback; e != nil {
			return e.bare.Handle(ctx, s, m)
		}
		return nil
	}
	o.table.change(func(h *handlers) {
		// The Registration may not be known yet, but the handler is unique.
		if e := h.events[o.event]; e != nil && e.bare == Handler(o) {
			delete(h.events, o.event)
		}
	})
	return o.handler.Handle(ctx, s, m)
}
