package sio

import (
	"fmt"
	"sync"
)

// Key names a value of type T that is kept with a socket, a namespace or the server. Make
// one for each purpose, as a package variable; two keys never meet, even with the same name
// and type:
//
//	var user = sio.NewKey[*User]("user")
//
//	user.Set(s, u)         // in a middleware
//	u, ok := user.Get(s)   // in a handler
//
// What belongs to the whole application is kept with the server:
//
//	database.Set(srv, db)
//	db, ok := database.Get(s.Server())
//
// Values are for this process only; [Socket.SetData] is for what other servers of a cluster
// should see. All methods are safe for concurrent use. The zero Key is not usable.
type Key[T any] struct{ id *keyID }

type keyID struct{ name string }

// NewKey makes a key. The name is for messages only.
func NewKey[T any](name string) Key[T] { return Key[T]{&keyID{name}} }

// Holder keeps values: a *Socket, a *Namespace or a *Server. A socket's values go with the
// socket, those of a child with the child; both can still be read by handlers that run at
// that time.
type Holder interface {
	// kept returns where they are, nil if there are none and make is false.
	kept(make bool) *store
}

// String returns the name.
func (k Key[T]) String() string { return k.id.name }

// Set keeps v, and returns what it replaces.
func (k Key[T]) Set(h Holder, v T) (old T, replaced bool) {
	st := h.kept(true)
	st.mu.Lock()
	defer st.mu.Unlock()
	old, replaced = st.m[k.id].(T)
	if st.m == nil {
		st.m = make(map[*keyID]any)
	}
	st.m[k.id] = v
	return old, replaced
}

// Get returns the value, and whether there is one.
func (k Key[T]) Get(h Holder) (v T, ok bool) {
	st := h.kept(false)
	if st == nil {
		return v, false
	}
	st.mu.RLock()
	defer st.mu.RUnlock()
	found, ok := st.m[k.id]
	v, _ = found.(T) // a nil interface value is of no type
	return v, ok
}

// Require returns the value, or a *[KeyError] when there is none: the short form for
// handlers that cannot work without it.
func (k Key[T]) Require(h Holder) (T, error) {
	v, ok := k.Get(h)
	if !ok {
		return v, &KeyError{Key: k.id.name, Holder: fmt.Sprintf("%T", h)}
	}
	return v, nil
}

// GetOrSet returns the value that is there, or else what makeValue returns, which is kept
// then. makeValue is called with the holder locked: it must not use it.
func (k Key[T]) GetOrSet(h Holder, makeValue func() T) T {
	st := h.kept(true)
	st.mu.Lock()
	defer st.mu.Unlock()
	if found, ok := st.m[k.id]; ok {
		v, _ := found.(T)
		return v
	}
	v := makeValue()
	if st.m == nil {
		st.m = make(map[*keyID]any)
	}
	st.m[k.id] = v
	return v
}

// Delete forgets the value, and returns it.
func (k Key[T]) Delete(h Holder) (old T, deleted bool) {
	st := h.kept(false)
	if st == nil {
		return old, false
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	found, deleted := st.m[k.id]
	delete(st.m, k.id)
	old, _ = found.(T)
	return old, deleted
}

// Values tells how many values h keeps.
func Values(h Holder) int {
	st := h.kept(false)
	if st == nil {
		return 0
	}
	st.mu.RLock()
	defer st.mu.RUnlock()
	return len(st.m)
}

// ClearValues forgets all values that h keeps, whatever their keys.
func ClearValues(h Holder) {
	if st := h.kept(false); st != nil {
		st.mu.Lock()
		st.m = nil
		st.mu.Unlock()
	}
}

// KeyError says that a value that a handler needs was not set.
type KeyError struct {
	// Key is the name given to NewKey.
	Key string
	// Holder is the type it was looked for in: "*sio.Socket", "*sio.Namespace" or
	// "*sio.Server".
	Holder string
}

// Error implements error.
func (e *KeyError) Error() string { return fmt.Sprintf("sio: no %q in %s", e.Key, e.Holder) }

// store holds values by key.
type store struct {
	mu sync.RWMutex
	m  map[*keyID]any // guarded by mu
}

func (srv *Server) kept(bool) *store { return &srv.store }

func (n *Namespace) kept(bool) *store { return &n.store }

// A socket's values are beside its context, which whoever sets some in a middleware has
// made already: a socket without either pays nothing.
func (s *Socket) kept(make bool) *store {
	if make {
		s.Context()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.life == nil {
		return nil
	}
	if s.life.store == nil && make {
		s.life.store = new(store)
	}
	return s.life.store
}
