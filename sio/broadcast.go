package sio

import (
	"errors"
	"sync"

	"github.com/epio-go/epio/adapter"
	"github.com/epio-go/epio/codec"
	"github.com/epio-go/epio/engine"
)

// broadcast is one event on its way to many sockets: the adapter's Packet. It is
// encoded before the walk, because encoding may run user code, which must not
// happen under the index's locks.
type broadcast struct {
	target Target
	event  string
	args   []any

	forms forms // empty when nobody on this server listens; owned by the walk

	acks     *gathering // collects acknowledgements; nil without
	ackID    uint64
	outgoing bool // reached is wanted, of all sockets
	reached  []*Socket
	failed   []*SocketError // with Strict: who could not take it
}

var broadcasts = sync.Pool{New: func() any { return new(broadcast) }}

// Event implements adapter.Packet.
func (b *broadcast) Event() string { return b.event }

// Args implements adapter.Packet.
func (b *broadcast) Args() []any { return b.args }

// emit sends an event to this socket alone. id is that of the acknowledgement
// that is waited for, or negative. Of the flags, Volatile and NoCompress matter;
// a volatile event has no acknowledgement.
func (s *Socket) emit(event string, id int64, args []any, flags adapter.Flags) error {
	if s.state.Load() == gone {
		return ErrClosed
	}
	f, err := s.c.srv.cfg.Parser.EncodeEvent(s.nsp, id, event, args)
	if err != nil {
		return &EncodeError{Event: event, Err: err}
	}
	s.c.srv.warnAttachments(event, f)
	if flags.Has(adapter.NoCompress) {
		f.SetNoCompress()
	}
	s.sendOutgoing(event, args)
	if flags.Has(adapter.Volatile) {
		if s.state.Load() == gone {
			f.Release()
			return ErrClosed
		}
		if !s.c.sess.SendVolatile(f) {
			return ErrDropped
		}
		return nil
	}
	return s.send(f)
}

// sendOutgoing calls the outgoing catch-alls.
func (s *Socket) sendOutgoing(event string, args []any) {
	for _, fn := range s.ns.tbl.load().outgoing.fns {
		s.protect("outgoing handler", func() error { fn(s, event, args); return nil })
	}
	for _, fn := range s.ownHandlers().outgoing.fns {
		s.protect("outgoing handler", func() error { fn(s, event, args); return nil })
	}
}

// broadcast sends an event to the selected sockets.
func (t *Target) broadcast(event string, args []any) error {
	if t.ns.match != nil {
		var errs []error // one child's trouble is not the others'
		for _, child := range t.ns.srv.children(t.ns) {
			c := *t
			c.ns = child
			if err := c.broadcast(event, args); err != nil {
				errs = append(errs, err)
			}
		}
		return errors.Join(errs...)
	}
	b, err := t.newBroadcast(event, args, nil)
	if err != nil {
		return err
	}
	if err = t.ns.connectedAdapter().Broadcast(b, b.opts()); err != nil {
		err = &PublishError{Event: event, Err: err}
	}
	err = b.undelivered(err)
	b.finish()
	return err
}

// deliverLocal sends an event that came from another server to this server's
// sockets and returns how many it reached. ack, if not nil, gets the answers.
func (t *Target) deliverLocal(event string, args []any, ack func(id string, arg any)) (int, error) {
	var g *gathering
	if ack != nil {
		g = newGathering()
	}
	b, err := t.newBroadcast(event, args, g)
	if err != nil {
		return 0, err
	}
	n := t.ns.index.Broadcast(b, b.opts())
	b.finish()
	if g != nil {
		g.Count(n)
		g.servers(1)
		go g.forward(t.ns.srv, t.wait(), ack)
	}
	return n, nil
}

// newBroadcast encodes the event if somebody on this server may get it. Without
// receivers it is still checked that the event may be sent.
func (t *Target) newBroadcast(event string, args []any, g *gathering) (*broadcast, error) {
	ns := t.ns
	b := broadcasts.Get().(*broadcast)
	b.target, b.event, b.args, b.acks = *t, event, args, g
	id := int64(-1)
	if g != nil {
		b.ackID = ns.ackID.Add(1) - 1
		id = int64(b.ackID)
		g.id = b.ackID
	}
	b.outgoing = len(ns.tbl.load().outgoing.fns) > 0
	o := adapter.Opts{Rooms: b.target.rooms.slice()}
	if codec.Reserved(event) {
		b.finish()
		return nil, &EncodeError{Event: event, Err: ErrReservedEvent}
	}
	if ns.index.HasReceivers(o) {
		f, err := ns.srv.cfg.Parser.EncodeEvent(ns.name, id, event, args)
		if err != nil {
			b.finish()
			return nil, &EncodeError{Event: event, Err: err}
		}
		ns.srv.warnAttachments(event, f)
		if t.flags.Has(adapter.NoCompress) {
			f.SetNoCompress()
		}
		b.forms.variants[codec.FormPlain].frame = f
	}
	return b, nil
}

// opts returns the selection; its slices live as long as b.
func (b *broadcast) opts() adapter.Opts {
	o := b.target.opts()
	o.Batch = b.target.ns.srv.engine.Engine().NewBatch()
	return o
}

// finish ends the broadcast and recycles b.
func (b *broadcast) finish() {
	b.forms.release()
	for _, s := range b.reached {
		s.sendOutgoing(b.event, b.args)
	}
	clear(b.reached)
	*b = broadcast{reached: b.reached[:0]}
	broadcasts.Put(b)
}

// receiver is a Socket as its adapter's index sees it.
type receiver Socket

// ID implements adapter.Receiver.
func (r *receiver) ID() string { return r.id }

// Deliver implements adapter.Receiver. An index lock is held.
func (r *receiver) Deliver(p adapter.Packet, batch adapter.Batch) bool {
	s := (*Socket)(r)
	b := p.(*broadcast)
	if b.forms.variants[codec.FormPlain].frame == nil || s.state.Load() != connected {
		return false // the only receivers came after the check for receivers
	}
	if b.acks != nil {
		b.acks.reached(s)
		if !s.expect(b.ackID, b.acks) {
			b.acks.missed(s)
			return false
		}
	}
	if err := s.queueBroadcast(b, batch.(*engine.Batch), b.target.flags.Has(adapter.Volatile)); err != nil {
		if b.acks == nil {
			if b.target.strict {
				b.failed = append(b.failed, &SocketError{ID: s.id, Err: err})
			}
			return false
		}
		if s.unexpect(b.ackID) == nil {
			return true // it left just now, which has been counted as its answer
		}
		b.acks.missed(s)
		return false
	}
	if b.outgoing || len(s.ownHandlers().outgoing.fns) > 0 {
		b.reached = append(b.reached, s)
	}
	return true
}

// Disconnect implements adapter.Receiver.
func (r *receiver) Disconnect(close bool) { (*Socket)(r).Disconnect(close) }

// Info implements adapter.Receiver.
func (r *receiver) Info() adapter.SocketInfo { return (*Socket)(r).info() }
