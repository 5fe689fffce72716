package sio

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"
	"time"

	"github.com/epio-go/epio/adapter"
	"github.com/epio-go/epio/codec"
)

// ackWaiter waits for acknowledgements. Its methods are called without locks, from
// goroutines that must not be blocked.
type ackWaiter interface {
	// answered brings the answer of s. It takes in.
	answered(s *Socket, in *codec.In)
	// failed says that s will not answer.
	failed(s *Socket, err error)
}

// expect registers w for the acknowledgement id. It reports false when the socket
// is gone.
func (s *Socket) expect(id uint64, w ackWaiter) bool {
	s.mu.Lock()
	if s.state.Load() == gone {
		s.mu.Unlock()
		return false
	}
	if s.acks == nil {
		s.acks = ackMaps.Get().(map[uint64]ackWaiter)
	}
	s.acks[id] = w
	s.mu.Unlock()
	s.c.calling(1)
	return true
}

// unexpect forgets an acknowledgement and returns who waited for it, or nil.
func (s *Socket) unexpect(id uint64) ackWaiter {
	s.mu.Lock()
	w := s.acks[id]
	delete(s.acks, id)
	if s.acks != nil && len(s.acks) == 0 {
		ackMaps.Put(s.acks)
		s.acks = nil
	}
	s.mu.Unlock()
	if w != nil {
		s.c.calling(-1)
	}
	return w
}

// acknowledged hands an incoming ACK to who waits for it. It takes in. Unknown ids
// are ignored, as in the reference: the wait may have timed out.
func (s *Socket) acknowledged(in *codec.In) {
	var w ackWaiter
	if in.HasID && in.HasPayload {
		w = s.unexpect(in.ID)
	}
	if w == nil {
		in.Release()
		return
	}
	w.answered(s, in)
}

// Answer is one client's acknowledgement.
type Answer[T any] struct {
	// ID is the socket's id. It is empty for sockets on other servers whose
	// adapter's wire format does not carry it.
	ID string
	// Value is the first argument of the acknowledgement, zero if there was none.
	Value T
}

// Args is a type for Call and Gather that keeps all arguments of the
// acknowledgement, undecoded. It owns its memory.
type Args struct {
	in  *codec.In // nil for an answer that came through an adapter
	arg any
}

// Len returns the number of arguments.
func (a Args) Len() int {
	if a.in == nil {
		return 1
	}
	return a.in.Len()
}

// Scan decodes the arguments, see Message.Scan.
func (a Args) Scan(dst ...any) error {
	for i, d := range dst {
		if a.in == nil {
			if i == 0 {
				return convert(a.arg, d)
			}
			continue
		}
		if err := a.in.Decode(i, d); err != nil {
			return err
		}
	}
	return nil
}

// Callee is what can be asked for an acknowledgement: a *Socket, a Target, a
// *Namespace or a *Server.
type Callee interface{ callee() Target }

func (s *Socket) callee() Target    { return Target{ns: s.ns, only: s} }
func (t Target) callee() Target     { return t }
func (n *Namespace) callee() Target { return n.All() }
func (srv *Server) callee() Target  { return srv.All() }

// Gather emits an event to all selected sockets and iterates over their
// acknowledgements as they come: one item for every socket, with the answer, or
// with ErrAckTimeout, the Reason of its disconnect, or a *codec.DecodeError.
// Failures that concern no single socket (the event cannot be encoded, ctx ended)
// come as an item without ID. Leaving the loop forgets the rest.
func Gather[T any](ctx context.Context, to Callee, event string, args ...any) iter.Seq2[Answer[T], error] {
	return func(yield func(Answer[T], error) bool) {
		if ctx.Err() != nil { // nobody would hear the answers
			yield(Answer[T]{}, fmt.Errorf("sio: %q: %w", event, context.Cause(ctx)))
			return
		}
		t := to.callee()
		wait := t.wait()
		var limit <-chan time.Time
		if _, has := ctx.Deadline(); t.timeout > 0 || !has {
			timer := time.NewTimer(wait)
			defer timer.Stop()
			limit = timer.C
		}
		t.timeout = wait
		seen := observeAcks(t.ns.srv, event)
		g := newGathering()
		defer g.drop()
		if err := t.gather(g, event, args); err != nil {
			seen.answer("", err)
			yield(Answer[T]{}, err)
			return
		}
		for {
			item, ok := g.next()
			if !ok {
				if g.complete() {
					return
				}
				select {
				case <-g.wake:
				case <-limit:
					silent := g.stop()
					for item, ok := g.next(); ok; item, ok = g.next() { // in the meantime
						if !answer(item, &seen, yield) {
							return
						}
					}
					for _, s := range silent {
						seen.answer(s.id, ErrAckTimeout)
						if !yield(Answer[T]{ID: s.id}, ErrAckTimeout) {
							return
						}
					}
					for range g.missing() { // on other servers
						seen.answer("", ErrAckTimeout)
						if !yield(Answer[T]{}, ErrAckTimeout) {
							return
						}
					}
					return
				case <-ctx.Done():
					err := fmt.Errorf("sio: %q: %w", event, context.Cause(ctx))
					seen.answer("", err)
					yield(Answer[T]{}, err)
					return
				}
				continue
			}
			if !answer(item, &seen, yield) {
				return
			}
		}
	}
}

// answer decodes an answer and hands it out. It takes i.
func answer[T any](i gathered, seen *ackObserver, yield func(Answer[T], error) bool) bool {
	a := Answer[T]{ID: i.id}
	err := i.decode(&a.Value)
	seen.answer(i.id, err)
	return yield(a, err)
}

// wait returns how long to wait for acknowledgements.
func (t *Target) wait() time.Duration {
	if t.timeout > 0 {
		return t.timeout
	}
	return t.ns.srv.cfg.AckTimeout
}

// gather sends the event and has the answers collected in g.
func (t *Target) gather(g *gathering, event string, args []any) error {
	if s := t.only; s != nil {
		g.id = s.ns.ackID.Add(1) - 1
		g.reached(s)
		if !s.expect(g.id, g) {
			return s.cause()
		}
		g.Count(1)
		g.servers(1)
		if err := s.emitAs(event, int64(g.id), args, t.flags&^adapter.Volatile, t.full.policy(s.c.srv)); err != nil {
			if errors.Is(err, ErrClosed) {
				err = s.cause()
			}
			return err
		}
		return nil
	}
	for _, ns := range t.namespaces() {
		c := *t
		c.ns = ns
		b, err := c.newBroadcast(event, args, g)
		if err != nil {
			return err
		}
		n, err := ns.connectedAdapter().BroadcastWithAck(b, b.opts(), g)
		b.observe(err)
		b.finish()
		if err != nil {
			return &PublishError{Event: event, Err: err}
		}
		g.servers(n)
	}
	if len(t.namespaces()) == 0 {
		g.servers(0)
	}
	return nil
}

// cause returns why the socket is gone.
func (s *Socket) cause() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.reason == "" {
		return ErrClosed
	}
	return s.reason
}

// gathering collects the acknowledgements of one event: an ackWaiter for sockets
// here and the adapter's Acks for those elsewhere.
type gathering struct {
	id   uint64
	wake chan struct{} // capacity 1

	mu sync.Mutex
	// guarded by mu
	items    []gathered
	waiting  map[*Socket]uint64 // acknowledgement ids by socket
	expected int                // sum of the counts
	received int
	counts   int // calls of Count so far
	total    int // calls of Count there will be
	settled  bool
	stopped  bool
}

// gathered is one answer, not decoded yet: user types are decoded on the
// goroutine that iterates.
type gathered struct {
	id  string
	in  *codec.In // owned
	arg any
	err error
}

func newGathering() *gathering {
	return &gathering{wake: make(chan struct{}, 1), waiting: make(map[*Socket]uint64)}
}

// decode stores the answer in *v and gives up the packet.
func (i *gathered) decode(v any) error {
	switch {
	case i.err != nil:
		return i.err
	case i.in != nil:
		defer i.in.Release()
		switch v := v.(type) {
		case *None:
			return nil
		case *Args:
			v.in = i.in.Clone()
			return nil
		}
		return i.in.Decode(0, v)
	}
	switch v := v.(type) {
	case *None:
		return nil
	case *Args:
		v.arg = i.arg
		return nil
	}
	return convert(i.arg, v)
}

// drop is decode for an answer that nobody wants.
func (i *gathered) drop() {
	if i.in != nil {
		i.in.Release()
	}
}

// convert stores an answer that came through an adapter, as a generic value, in
// *v.
func convert(arg, v any) error { return convertArg(0, arg, v) }

func (g *gathering) signal() {
	select {
	case g.wake <- struct{}{}:
	default:
	}
}

// reached says that the event is about to be queued for s, which may answer at
// once.
func (g *gathering) reached(s *Socket) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.stopped {
		g.waiting[s] = g.id
	}
}

// missed undoes reached.
func (g *gathering) missed(s *Socket) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.waiting, s)
}

func (g *gathering) put(s *Socket, i gathered) {
	g.mu.Lock()
	if g.stopped {
		g.mu.Unlock()
		i.drop()
		return
	}
	delete(g.waiting, s)
	g.received++
	g.items = append(g.items, i)
	g.mu.Unlock()
	g.signal()
}

func (g *gathering) answered(s *Socket, in *codec.In) { g.put(s, gathered{id: s.id, in: in}) }

func (g *gathering) failed(s *Socket, err error) { g.put(s, gathered{id: s.id, err: err}) }

// Count implements adapter.Acks.
func (g *gathering) Count(n int) {
	g.mu.Lock()
	g.expected += n
	g.counts++
	g.mu.Unlock()
	g.signal()
}

// Ack implements adapter.Acks.
func (g *gathering) Ack(id string, arg any) { g.put(nil, gathered{id: id, arg: arg}) }

// Lost implements adapter.Acks.
func (g *gathering) Lost(n int) {
	g.mu.Lock()
	g.expected -= n
	g.mu.Unlock()
	g.signal()
}

// servers says how many more calls of Count there are in total.
func (g *gathering) servers(n int) {
	g.mu.Lock()
	g.total += n
	g.settled = true
	g.mu.Unlock()
	g.signal()
}

func (g *gathering) next() (gathered, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.items) == 0 {
		return gathered{}, false
	}
	i := g.items[0]
	g.items[0] = gathered{}
	g.items = g.items[1:]
	return i, true
}

// complete reports whether every answer has been taken.
func (g *gathering) complete() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.settled && g.counts >= g.total && g.received >= g.expected && len(g.items) == 0
}

// missing returns how many answers from elsewhere are outstanding after stop. A server that
// has not even said how many clients it asked owes one.
func (g *gathering) missing() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return max(g.expected-g.received, 0) + max(g.total-g.counts, 0)
}

// stop ends the wait and returns the sockets here that had not answered. Answers
// that came in time can still be taken.
func (g *gathering) stop() []*Socket {
	g.mu.Lock()
	g.stopped = true
	waiting := g.waiting
	g.waiting = nil
	g.received += len(waiting)
	g.mu.Unlock()
	sockets := make([]*Socket, 0, len(waiting))
	for s, id := range waiting {
		s.unexpect(id)
		sockets = append(sockets, s)
	}
	return sockets
}

// drop is stop for when nobody takes answers any more.
func (g *gathering) drop() {
	g.stop()
	for i, ok := g.next(); ok; i, ok = g.next() {
		i.drop()
	}
}

// forward passes the answers to another server's request until all are in or the
// time is up.
func (g *gathering) forward(srv *Server, wait time.Duration, ack func(id string, arg any)) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	defer g.drop()
	for {
		for i, ok := g.next(); ok; i, ok = g.next() {
			var v any
			if i.decode(&v) == nil {
				ack(i.id, v)
			}
		}
		if g.complete() {
			return
		}
		select {
		case <-g.wake:
		case <-timer.C:
			return
		}
	}
}
