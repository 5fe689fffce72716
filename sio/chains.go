package sio

import "context"

// chains remembers the handlers of a socket that has some of its own, with the wraps
// around them, for as long as neither its table nor its namespace's changes.
type chains struct {
	own, shared *handlers // the snapshots they were made from
	made        map[*entry]Handler
}

// find returns the handler for an event, wrapped.
func (s *Socket) find(shared *handlers, name []byte) Handler {
	if own := s.own.Load(); own != nil {
		if h := own.find(own.load(), shared, name); h != nil {
			return h
		}
	}
	if e := shared.events[string(name)]; e != nil {
		return e.chain
	}
	if e := shared.fallback; e != nil {
		return e.chain
	}
	if shared.nothing != nil {
		return shared.nothing // wraps see every event
	}
	return doNothing
}

// find returns the handler for an event of the socket whose table this is, or nil if
// nothing in the table concerns it.
func (t *handlerTable) find(own, shared *handlers, name []byte) Handler {
	e, mine := own.events[string(name)], true
	if e == nil {
		if e = shared.events[string(name)]; e != nil {
			mine = false
		} else if e = own.fallback; e == nil {
			e, mine = shared.fallback, false
		}
	}
	if !mine && len(own.wraps.fns) == 0 {
		return nil
	}
	c := t.chains
	if c == nil || c.own != own || c.shared != shared {
		c = &chains{own: own, shared: shared, made: make(map[*entry]Handler)}
		t.chains = c
	}
	h := c.made[e]
	if h == nil {
		h = chained(e, own, shared)
		c.made[e] = h
	}
	return h
}

// chained puts the socket's wraps and, outside of them, its namespace's around a handler. A
// wrap that panics makes the event fail.
func chained(e *entry, own, shared *handlers) (h Handler) {
	h = doNothing
	if e != nil {
		h = e.bare
	}
	err := protected(func() error {
		h = wrap(wrap(h, own.wraps.fns), shared.wraps.fns)
		return nil
	})
	if err != nil {
		return HandlerFunc(func(context.Context, *Socket, *Message) error { return err })
	}
	return h
}
